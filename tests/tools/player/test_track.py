"""What a camera sees of a visitor turns the avatar's bones the same way. Needs node; skips without."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import simulacra.tools.player
from simulacra.render.body import BodyModel

SOURCE = Path(simulacra.tools.player.__path__[0]) / "src"
LIMBS = [
    ("upperarm01", "lowerarm01"),
    ("lowerarm01", "wrist"),
    ("upperleg01", "lowerleg01"),
    ("lowerleg01", "foot"),
]
# Landmarks of MediaPipe's 33 that are joints of the body, on the left; on the right they are one further.
JOINTS = {11: "upperarm01", 13: "lowerarm01", 15: "wrist", 23: "upperleg01", 25: "lowerleg01", 27: "foot"}


def run_node(script: str, given: Any) -> Any:
    """What a module of JavaScript prints as JSON, with `given` in its scope."""
    if not shutil.which("node"):
        pytest.skip("no node")
    imports = "".join(
        f"import * as {name} from {json.dumps((SOURCE / f'{name}.js').as_uri())};"
        for name in ("track", "rig")
    )
    text = f"{imports} const given = {json.dumps(given)}; console.log(JSON.stringify({script}))"
    told = subprocess.run(
        ["node", "--input-type=module", "-e", text], capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)


def seen(body: BodyModel, rotations: torch.Tensor) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Heads of all bones in a pose, and the landmarks that a camera in front sees of them."""
    rest, pose = body.rest(body.neutral_shape()), body.zero_pose()
    pose.rotations[0] = rotations
    heads = body.pose(rest, pose).T_world_bone[0, :, :3, 3].numpy()
    landmarks = [{"x": 0.0, "y": 0.0, "z": 0.0, "visibility": 0.0} for _ in range(33)]
    for left, name in JOINTS.items():
        for side, further in (("L", 0), ("R", 1)):
            x, y, z = map(float, heads[body.bone_names.index(f"{name}.{side}")])
            landmarks[left + further] = {"x": x, "y": -y, "z": -z, "visibility": 1.0}
    return heads, landmarks


def avatar_of(body: BodyModel) -> dict[str, Any]:
    heads, _ = seen(body, torch.zeros(len(body.bone_names), 3))
    arrays = {"rig.parents": body.bone_parents.tolist(), "rig.heads": heads.flatten().tolist()}
    return {"header": {"bones": list(body.bone_names)}, "arrays": arrays}


def turned_by(
    body: BodyModel, landmarks: list[dict[str, float]], head: list[float] | None = None
) -> torch.Tensor:
    turns = run_node(
        "[...track.turnsOf(given.avatar, given.landmarks, given.head)]",
        {"avatar": avatar_of(body), "landmarks": landmarks, "head": head},
    )
    rotations = torch.zeros(len(body.bone_names), 3)
    for bone, turn in turns:
        rotations[bone] = torch.tensor(turn)
    return rotations


def limb(body: BodyModel, heads: np.ndarray, name: str, end: str, side: str) -> np.ndarray:
    along = heads[body.bone_names.index(f"{end}.{side}")] - heads[body.bone_names.index(f"{name}.{side}")]
    unit: np.ndarray = along / np.linalg.norm(along)
    return unit


def test_limbs_point_where_those_of_the_visitor_do(body: BodyModel) -> None:
    generator = torch.Generator().manual_seed(4)
    rotations = torch.zeros(len(body.bone_names), 3)
    rotations[0] = torch.tensor([0.1, 0.5, -0.1])
    for name, _ in LIMBS:
        for side in "LR":
            turn = 0.6 * torch.randn(3, generator=generator)
            rotations[body.bone_names.index(f"{name}.{side}")] = turn
    heads, landmarks = seen(body, rotations)
    again, _ = seen(body, turned_by(body, landmarks))
    still, _ = seen(body, torch.zeros_like(rotations))
    for name, end in LIMBS:
        for side in "LR":
            wanted = limb(body, heads, name, end, side)
            assert wanted @ limb(body, again, name, end, side) > np.cos(np.radians(1.0))
    assert limb(body, heads, *LIMBS[1], "L") @ limb(body, still, *LIMBS[1], "L") < np.cos(np.radians(10.0))


def test_nobody_in_view_turns_nothing(body: BodyModel) -> None:
    assert not turned_by(body, []).abs().max() > 1e-9
    hidden = [{"x": 0.3, "y": 0.1, "z": 0.2, "visibility": 0.1}] * 33
    assert not turned_by(body, hidden).abs().max() > 1e-9


def test_the_head_is_shared_out_between_neck_and_head(body: BodyModel) -> None:
    c, s = float(np.cos(0.8)), float(np.sin(0.8))
    rotations = turned_by(body, [], [c, 0, s, 0, 1, 0, -s, 0, c])
    neck = [body.bone_names.index(name) for name in ("neck01", "neck02", "neck03", "head")]
    assert torch.allclose(rotations[neck], torch.tensor([0.0, 0.2, 0.0]).expand(4, 3), atol=1e-6)
    assert float(rotations.abs().sum()) == pytest.approx(0.8, abs=1e-5)


def test_matrices_of_bones_are_those_of_the_body(body: BodyModel) -> None:
    """The page's forward kinematics against ours, with the sliders' turns applied before the pose's."""
    generator = torch.Generator().manual_seed(5)
    rest, pose = body.rest(body.neutral_shape()), body.zero_pose()
    zero = body.pose(rest, pose).T_world_bone[0]
    pose.rotations[0] = 0.4 * torch.randn(len(body.bone_names), 3, generator=generator)
    pose.translation[0] = torch.tensor([0.3, -0.2, 1.0])
    avatar = avatar_of(body)
    bind = zero @ torch.linalg.inv(rest.T_world_bone)
    avatar["arrays"]["rig.bind"] = bind[:, :3].flatten().tolist()
    given = {
        "avatar": avatar,
        "rotations": pose.rotations[0].flatten().tolist(),
        "translation": [0.3, -0.2, 1.0],
    }
    told = run_node("[...rig.boneMatrices(given.avatar, given.rotations, given.translation)]", given)
    ours = body.pose(rest, pose).T_skin[0, :, :3]
    assert torch.allclose(torch.tensor(told).reshape(-1, 3, 4), ours, atol=2e-5)
