"""A stature that was given, or has to be assumed: what makes a picture of one camera a person of some size."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, BodyState
from simulacra.recon.fit.evidence import Evidence, Round
from simulacra.recon.fit.residuals import ShapeCost


@dataclass(frozen=True)
class StatureCost(ShapeCost):
    """Soles to crown of the body at rest.

    Attributes:
        stature_m: what it should be.
        sigma_m: standard deviation.
    """

    stature_m: float
    sigma_m: float

    def residuals(self, space: BodySpace, shape: Float[Tensor, " s"]) -> Float[Tensor, "1"]:
        heights = space.body.shapes.evaluate(space.shapes.shape(shape)).verts[:, 1]
        return (heights.max() - heights.min() - self.stature_m)[None] / self.sigma_m


def make_stature_cost(evidence: Evidence, _: Round, __: BodyState) -> StatureCost | None:
    """The same in every round; None where nothing was given and the scale is measured."""
    if evidence.stature_m is None:
        return None
    return StatureCost(evidence.stature_m, evidence.config.weights.stature_m)
