"""No soles under the floor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.evidence import Evidence, Round

# What both feet together count for, in independent points.
_INDEPENDENT_POINTS = 100


@dataclass(frozen=True)
class FloorCost:
    """Vertices of the feet that lie under the floor, by how far.

    Attributes:
        columns: of the feet's vertices among those posed.
        height_m: of the floor over the world's origin.
        below_m: standard deviation.
    """

    columns: Int[Tensor, " s"]
    height_m: float
    below_m: float

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        below = torch.relu(self.height_m - state.posed.verts[:, self.columns, 1]) / self.below_m
        return _INDEPENDENT_POINTS / len(self.columns) * (below**2).sum()


def make_floor_cost(evidence: Evidence, this: Round, state: BodyState) -> FloorCost | None:
    """The feet's vertices among those that depth is compared with; None where the floor is not known."""
    if not this.surface or evidence.floor_m is None:
        return None
    soles = evidence.vertices[torch.isin(evidence.vertices, evidence.body.soles)]
    return FloorCost(state.columns(soles), evidence.floor_m, evidence.config.weights.below_floor_m)
