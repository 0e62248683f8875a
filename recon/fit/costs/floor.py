"""No soles under the floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.evidence import Evidence, Round
from simulacra.recon.fit.residuals import Kernel, PointCost, Selection

# What both feet together count for, in independent points.
_INDEPENDENT_POINTS = 100


@dataclass(frozen=True)
class FloorCost(PointCost):
    """Vertices of the feet that lie under the floor, by how far.

    Attributes:
        columns: of the feet's vertices among those posed.
        height_m: of the floor over the world's origin.
        below_m: standard deviation.
    """

    columns: Int[Tensor, " s"]
    height_m: float
    below_m: float

    kernels: ClassVar[tuple[Kernel, ...]] = ("square",)

    @property
    def selection(self) -> Selection:
        return Selection("verts", self.columns)

    @property
    def weights(self) -> Float[Tensor, "1"]:
        return torch.full((1,), _INDEPENDENT_POINTS / len(self.columns), dtype=torch.float64)

    def residuals(self, points: Float[Tensor, "t s 3"]) -> Float[Tensor, "t s 1 1"]:
        return torch.relu(self.height_m - points[..., 1])[..., None, None] / self.below_m


def make_floor_cost(evidence: Evidence, this: Round, state: BodyState) -> FloorCost | None:
    """The feet's vertices among those that depth is compared with; None where the floor is not known."""
    if not this.surface or evidence.floor_m is None:
        return None
    soles = evidence.vertices[torch.isin(evidence.vertices, evidence.body.soles)]
    return FloorCost(state.columns(soles), evidence.floor_m, evidence.config.weights.below_floor_m)
