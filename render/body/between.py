"""Poses on the way from one to another."""

from __future__ import annotations

import torch

from simulacra.render.body.records import BodyPose
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle


def pose_between(first: BodyPose, second: BodyPose, share: float) -> BodyPose:
    """A pose on the way from one (``share`` 0) to another (1): bones turn evenly about one axis each."""
    start, end = axis_angle_to_matrix(first.rotations), axis_angle_to_matrix(second.rotations)
    turn = matrix_to_axis_angle(start.transpose(-1, -2) @ end)
    rotations = matrix_to_axis_angle(start @ axis_angle_to_matrix(share * turn))
    return BodyPose(
        rotations,
        torch.lerp(first.translation, second.translation, share),
        torch.lerp(first.expression, second.expression, share),
    )
