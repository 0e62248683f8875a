"""People have mass: accelerations are small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.evidence import Evidence, Round

_GAP_S = 0.5


@dataclass(frozen=True)
class MotionCost:
    """Accelerations of bones, joint angles and facial actions.

    Attributes:
        seconds: of the frames.
        acceleration: standard deviation of bones, metres a square second.
        turning: of joints, radians a square second, and of facial actions.
    """

    seconds: Float[Tensor, " t"]
    acceleration: float
    turning: float

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        joints = state.space.joints
        bones = torch.unique(joints.bones[~joints.is_hand])
        heads = second_differences(state.posed.T_world_bone[:, bones, :3, 3], self.seconds)
        angles = second_differences(state.unknowns.joints * joints.sigma, self.seconds)
        faces = second_differences(state.unknowns.expression, self.seconds)
        total = ((heads / self.acceleration) ** 2).sum() + ((angles / self.turning) ** 2).sum()
        return total + ((faces / self.turning) ** 2).sum()


def make_motion_cost(evidence: Evidence, _: Round, __: BodyState) -> MotionCost:
    """The same in every round; 0 for fewer than three frames."""
    weights, seconds = evidence.config.weights, torch.from_numpy(evidence.tracks.seconds).float()
    return MotionCost(seconds, weights.acceleration, weights.turning)


def second_differences(values: Float[Tensor, "t *k"], seconds: Float[Tensor, " t"]) -> Float[Tensor, "u *k"]:
    """Accelerations at inner frames, for uneven spacing; 0 across gaps of half a second."""
    step = seconds[1:] - seconds[:-1]
    view = (-1, *([1] * (values.ndim - 1)))
    speed = (values[1:] - values[:-1]) / step.view(view)
    near = ((step[1:] < _GAP_S) & (step[:-1] < _GAP_S)).to(values.dtype)
    return (speed[1:] - speed[:-1]) * (near / (0.5 * (step[1:] + step[:-1]))).view(view)
