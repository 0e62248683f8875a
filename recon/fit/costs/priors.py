"""What is known of every person before anything is observed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.evidence import Evidence, Round

_BEYOND_LIMIT_RAD = 0.05
_EXPRESSION, _BEYOND_EXPRESSION = 0.3, 0.03


@dataclass(frozen=True)
class PriorCost:
    """Poses near rest within limits, shapes near the mean, quiet faces, unbiased detectors.

    Attributes:
        pose: weight of the squared joint coordinates; limits count fully.
        shape: of the shape coordinates.
        expression: of the facial actions.
    """

    pose: float
    shape: float
    expression: float

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        unknowns, expression = state.unknowns, state.unknowns.expression
        beyond = state.space.joints.beyond(unknowns.joints) / _BEYOND_LIMIT_RAD
        total = self.pose * (unknowns.joints**2).sum() + (beyond**2).sum()
        total = total + self.shape * (unknowns.shape**2).sum() + (unknowns.bias**2).sum()
        outside = torch.relu(-expression) + torch.relu(expression - 1)
        total = total + self.expression * ((expression / _EXPRESSION) ** 2).sum()
        return total + ((outside / _BEYOND_EXPRESSION) ** 2).sum()


def make_prior_cost(evidence: Evidence, _: Round, __: BodyState) -> PriorCost:
    """The same in every round."""
    weights = evidence.config.weights
    return PriorCost(weights.pose, weights.shape, weights.expression)
