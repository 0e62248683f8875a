"""Our body is anny's: against arrays that the anny package itself made (make_golden.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.render.body import BodyModel, BodyPose, BodyShape, PosedBody, RestBody

# What the issue allows. The rest of the pipeline agrees to 1e-6: float32 rounding and the golden file's.
TOLERANCE_M = 1e-4
VERTEX_STEP = 11
CASES = 6
Y_UP_FROM_Z_UP = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("golden.npz")) as file:
        return dict(file)


def posed(body: BodyModel, golden: dict[str, np.ndarray], case: int) -> tuple[RestBody, PosedBody]:
    """Our answer to the parameters of one case, in our axes, the root put where anny's is."""

    def parameter(name: str) -> Tensor:
        return torch.from_numpy(golden[name][case]).to(body.dtype)

    turn = Y_UP_FROM_Z_UP.to(body.dtype)
    rest = body.rest(BodyShape(parameter("phenotypes"), parameter("local_changes")))
    root = turn @ parameter("root") - rest.T_world_bone[0, :3, 3]
    rotations = parameter("rotations") @ turn.T
    return rest, body.pose(rest, BodyPose(rotations[None], root[None], parameter("expression")[None]))


def test_names_are_annys_in_annys_order(body: BodyModel, golden: dict[str, np.ndarray]) -> None:
    assert list(body.bone_names) == golden["bone_names"].tolist() and len(body.bone_names) == 104
    assert (
        list(body.expression_names) == golden["expression_names"].tolist()
        and len(body.expression_names) == 52
    )
    assert list(body.phenotype_names) == golden["phenotype_names"].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", range(CASES))
def test_vertices_and_bones_agree(
    body: BodyModel, golden: dict[str, np.ndarray], case: int, dtype: torch.dtype
) -> None:
    rest, answer = posed(body.to(dtype), golden, case)
    turn = Y_UP_FROM_Z_UP.to(dtype)
    expected = torch.from_numpy(golden["vertices"][case]).to(dtype) @ turn.T
    bones = turn @ torch.from_numpy(golden["bone_poses"][case]).to(dtype)
    assert (answer.verts[0, ::VERTEX_STEP] - expected).norm(dim=-1).max() < TOLERANCE_M
    assert (answer.T_world_bone[0, :, :3] - bones).abs().max() < TOLERANCE_M
    rest_bones = turn @ torch.from_numpy(golden["rest_bone_poses"][case]).to(dtype)
    lift = rest.T_world_bone[:, 1, 3] - rest_bones[:, 1, 3]
    assert (
        lift - lift[0]
    ).abs().max() < TOLERANCE_M  # ours stands on the floor, anny's hangs about its origin
    assert (rest.T_world_bone[:, :3, :3] - rest_bones[..., :3]).abs().max() < TOLERANCE_M


def test_the_comparison_can_fail(body: BodyModel, golden: dict[str, np.ndarray]) -> None:
    """A hundredth of a phenotype, or of a radian, would be seen."""
    turn = Y_UP_FROM_Z_UP
    expected = torch.from_numpy(golden["vertices"][3]) @ turn.T
    for name in ("phenotypes", "local_changes", "rotations", "expression"):
        changed = golden | {name: golden[name] + np.float32(0.01)}
        answer = posed(body, changed, 3)[1]
        assert (answer.verts[0, ::VERTEX_STEP] - expected).norm(dim=-1).max() > TOLERANCE_M
