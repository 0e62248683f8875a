"""What is known of every person before anything is observed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, BodyState, Unknowns
from simulacra.recon.fit.evidence import Evidence, Round, independent_share
from simulacra.recon.fit.residuals import UnknownCost

_BEYOND_LIMIT_RAD = 0.05
_EXPRESSION, _BEYOND_EXPRESSION = 0.3, 0.03


@dataclass(frozen=True)
class PriorCost(UnknownCost):
    """Poses near rest within limits, shapes near the mean, quiet faces, unbiased detectors.

    Attributes:
        pose: weight of the squared joint coordinates; limits count fully.
        shape: of the shape coordinates.
        expression: of the facial actions.
    """

    pose: float
    shape: float
    expression: float

    def residuals(self, space: BodySpace, unknowns: Unknowns) -> dict[str, Float[Tensor, "*n k"]]:
        joints, expression = unknowns.joints, unknowns.expression
        beyond = space.joints.beyond(joints) / _BEYOND_LIMIT_RAD
        outside = (torch.relu(-expression) + torch.relu(expression - 1)) / _BEYOND_EXPRESSION
        return {
            "joints": torch.stack([self.pose**0.5 * joints, beyond], -1),
            "shape": self.shape**0.5 * unknowns.shape[..., None],
            "bias": unknowns.bias[..., None],
            "expression": torch.stack([self.expression**0.5 * expression / _EXPRESSION, outside], -1),
        }


def make_prior_cost(evidence: Evidence, _: Round, __: BodyState) -> PriorCost:
    """The same in every round.

    Neighbouring frames show nearly the same pose, of which the prior speaks once: counted anew in each of a hundred
    frames it would move joints to rest by way of the detector's offsets, which cost but once.
    """
    weights, seconds = evidence.config.weights, evidence.tracks.seconds
    once = independent_share(seconds)
    return PriorCost(once * weights.pose, weights.shape, once * weights.expression)
