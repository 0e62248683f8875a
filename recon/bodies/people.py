"""Made-up people whose conversion between bodies is measured."""

from __future__ import annotations

import torch

from simulacra.render.body import BodyModel, BodyPose, BodyShape
from simulacra.render.body.smplx import BONE_OF_JOINT

# Of every phenotype, and of every turn of a joint that both bodies have; radians.
_SHAPE, _TURN = 0.15, 0.15


def made_people(body: BodyModel, frames: int, seed: int = 0) -> tuple[BodyShape, BodyPose]:
    """A person near the neutral one, in so many poses of which the first is zero pose."""
    rng = torch.Generator().manual_seed(seed)
    neutral = body.neutral_shape()
    phenotypes = neutral.phenotypes + _SHAPE * (2 * torch.rand(neutral.phenotypes.shape, generator=rng) - 1)
    zero = body.zero_pose(frames)
    turns = _TURN * torch.randn(zero.rotations.shape, generator=rng)
    turns[0] = 0.0
    turned = torch.tensor([name in BONE_OF_JOINT for name in body.bone_names])
    turns[:, ~turned] = 0.0
    return BodyShape(phenotypes.clamp(0, 1), neutral.local_changes), BodyPose(
        turns, zero.translation, zero.expression
    )
