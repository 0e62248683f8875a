"""How far from a single camera the landmarks are, as the network guesses or depth says: no other camera does.

Masks and outlines in transverse metres shrink towards a lens: a body that does not fit yet would go there. The mean
distance of the landmarks is held too, loosely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import MAPS, BodyState
from simulacra.recon.fit.evidence import Evidence, Round
from simulacra.recon.fit.residuals import Kernel, PointCost, Selection

# The network's guesses of one moment err together; those of a face are one.
_SHARE, _FACE_SHARE, _FACE = 0.5, 0.1, slice(0, 11)
# Standard deviation of their mean, share of the distance.
_MEAN = 0.02


@dataclass(frozen=True)
class LiftedCost(PointCost):
    """Distances along the line of sight of the landmarks from their mean, and of that mean, against the lifted ones'.

    Attributes:
        axis: of the camera, in the world, unit.
        depth: of the lifted landmarks along it, metres; 0 where they are not known.
        share: of each landmark, summing to 1 in each frame where any is known.
        precision: squared, of each landmark, 1/metres^2.
        mean_precision: squared, of their mean; 0 where none is known.
    """

    axis: Float[Tensor, "3"]
    depth: Float[Tensor, "t k"]
    share: Float[Tensor, "t k"]
    precision: Float[Tensor, "t k"]
    mean_precision: Float[Tensor, " t"]

    # Linear far off, and not levelling off: a thigh that points away looks like one that points at the camera.
    kernels: ClassVar[tuple[Kernel, ...]] = ("pseudo_huber", "square")

    @property
    def selection(self) -> Selection:
        return Selection("landmarks", torch.arange(self.depth.shape[1]), maps=MAPS[:1])

    @property
    def weights(self) -> Float[Tensor, "t k 2"]:
        return torch.stack([torch.ones_like(self.share), self.share * self.mean_precision[:, None]], -1)

    def residuals(self, points: Float[Tensor, "t k 3"]) -> Float[Tensor, "t k 2 1"]:
        """A landmark apart from the mean, which is held still meanwhile, and the mean, of which it moves its share."""
        ours = points @ self.axis - self.depth
        mean = (self.share * ours).sum(1, keepdim=True).detach()
        apart = self.precision.sqrt() * (ours - mean)
        return torch.stack([apart, mean + ours - ours.detach()], -1)[..., None]


def make_lifted_cost(evidence: Evidence, _: Round, __: BodyState) -> LiftedCost | None:
    """The same in every round; None where several cameras triangulate."""
    if len(evidence.views.names) > 1:
        return None
    axis = evidence.views.viewmats[0, 2, :3]
    depth = evidence.tracks.points @ axis
    known = np.isfinite(depth)
    sure = np.where(known, evidence.tracks.weights[:, 0, : depth.shape[1]], 0.0)
    share = np.full(depth.shape, _SHARE)
    share[:, _FACE] *= _FACE_SHARE
    total = (sure * share).sum(1, keepdims=True)
    share_of_all = sure * share / np.maximum(total, 1e-9)
    shift = evidence.views.viewmats[0, 2, 3]
    distance = (share_of_all * np.where(known, depth + shift, 0.0)).sum(1)
    return LiftedCost(
        torch.from_numpy(axis).float(),
        torch.from_numpy(np.where(known, depth, 0.0)).float(),
        torch.from_numpy(share_of_all).float(),
        torch.from_numpy(sure * share / evidence.config.weights.lifted_m**2).float(),
        torch.from_numpy((total[:, 0] > 0) / (_MEAN * np.maximum(distance, 0.1)) ** 2).float(),
    )
