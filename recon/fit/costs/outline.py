"""The body's outline near the masks' outlines, where no depth says more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.evidence import Evidence, Round, independent_share
from simulacra.recon.fit.residuals import PointCost, Selection

# Farther than this an outline belongs to something else, or the body is not there yet.
_REACH_M = 0.15
_LEVEL_SIGMAS = 2


@dataclass(frozen=True)
class OutlineCost(PointCost):
    """Outline rays pull the vertices next to them; levels off at twice the scale: clothes, hair, a mask's errors.

    Attributes:
        viewmats: world to camera.
        frame: of each correspondence.
        camera: of each.
        column: of its vertex among those posed.
        ray: x/z, y/z in the camera's frame.
        contour_m: standard deviation, transverse metres.
        share: as how much of an independent one each counts.
    """

    viewmats: Float[Tensor, "c 4 4"]
    frame: Int[Tensor, " n"]
    camera: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    ray: Float[Tensor, "n 2"]
    contour_m: float
    share: float = 1.0

    @property
    def selection(self) -> Selection:
        return Selection("verts", self.column, self.frame)

    @property
    def weights(self) -> Float[Tensor, "1"]:
        return self.ray.new_full((1,), self.share * _LEVEL_SIGMAS**2)

    def residuals(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 1 2"]:
        views = self.viewmats[self.camera]
        local = (views[:, :3, :3] @ points[..., None]).squeeze(-1) + views[:, :3, 3]
        return (local[:, :2] - self.ray * local[:, 2:])[:, None] / (_LEVEL_SIGMAS * self.contour_m)


def make_outline_cost(evidence: Evidence, this: Round, state: BodyState) -> OutlineCost | None:
    """The vertex next to each outline ray; None without masks, or with depth, which says more than clothes' outlines.

    Correspondences are found with the body held still and kept for a round (iterative closest points).
    """
    silhouettes = evidence.silhouettes
    if not this.surface or silhouettes is None or evidence.depth:
        return None
    viewmats, columns = torch.from_numpy(evidence.views.viewmats).float(), state.columns(evidence.vertices)
    found: list[tuple[Tensor, ...]] = []
    outline = torch.from_numpy(silhouettes.outline.astype(np.float32))
    for row, view in torch.nonzero(silhouettes.known).tolist():
        rays = outline[row, view]
        rays = rays[torch.isfinite(rays).all(-1)]
        local = state.posed.verts[row, columns] @ viewmats[view, :3, :3].T + viewmats[view, :3, 3]
        distance, nearest = torch.cdist(rays, local[:, :2] / local[:, 2:]).min(1)
        near = distance * local[nearest, 2] < _REACH_M
        where = torch.full((int(near.sum()),), row), torch.full((int(near.sum()),), view)
        found.append((*where, columns[nearest[near]], rays[near]))
    if not found:
        return None
    once = independent_share(evidence.tracks.seconds)
    frame, camera, column, ray = (torch.cat(each) for each in zip(*found, strict=True))
    return OutlineCost(
        viewmats,
        frame,
        camera,
        column,
        ray,
        evidence.config.weights.contour_m,
        once,
    )
