"""People have mass: accelerations are small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, BodyState
from simulacra.recon.fit.evidence import Evidence, Round
from simulacra.recon.fit.residuals import MotionCosts, Track


@dataclass(frozen=True)
class MotionCost(MotionCosts):
    """Accelerations of bones, joint angles and facial actions.

    Attributes:
        seconds: of the frames.
        acceleration: standard deviation of bones, metres a square second.
        turning: of joints, radians a square second, and of facial actions.
    """

    seconds: Float[Tensor, " t"]
    acceleration: float
    turning: float

    def tracks(self, space: BodySpace) -> tuple[Track, ...]:
        joints, turning = space.joints, self.seconds.new_tensor(1 / self.turning)
        return (
            Track(
                "bones",
                self.seconds.new_tensor(1 / self.acceleration),
                joints.bones[~joints.is_hand].unique(),
            ),
            Track("joints", joints.sigma * turning),
            Track("expression", turning),
        )


def make_motion_cost(evidence: Evidence, _: Round, __: BodyState) -> MotionCost:
    """The same in every round; 0 for fewer than three frames."""
    weights, seconds = evidence.config.weights, torch.from_numpy(evidence.tracks.seconds).float()
    return MotionCost(seconds, weights.acceleration, weights.turning)
