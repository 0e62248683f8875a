"""The body at or a little inside its measured surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.energy import geman_mcclure
from simulacra.recon.fit.evidence import DepthPoints, Evidence, Round
from simulacra.render.body import BodyModel
from simulacra.render.mesh import vertex_normals

_BARE_PARTS = ("face", "lips", "hand_l", "hand_r")
# Farther than this a measured point belongs to something else, or the body is not there yet.
_REACH_M = 0.15
_INDEPENDENT_POINTS = 2000
_LEVEL_SIGMAS = 3


@dataclass(frozen=True)
class DepthCost:
    """``normal . (point - vertex)`` of measured points and the vertices next to them: clothes and hair stand off from
    the body, skin does not.

    Attributes:
        frame: of each correspondence.
        column: of its vertex among those posed.
        point: world, metres.
        normal: unit, outwards.
        is_skin: whether the vertex is bare.
        inside_m: standard deviation of a body in front of the points.
        outside_m: of one behind them, where clothed.
        skin_outside_m: and where bare.
    """

    frame: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    point: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    is_skin: Bool[Tensor, " n"]
    inside_m: float
    outside_m: float
    skin_outside_m: float

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        # Thousands of points of one sensor's picture of one garment err together: a frame's count as so many at most.
        share = min(1.0, _INDEPENDENT_POINTS * self.frame.unique().numel() / len(self.frame))
        gap = (self.normal * (self.point - state.posed.verts[self.frame, self.column])).sum(-1)
        outer = torch.where(self.is_skin, self.skin_outside_m, self.outside_m)
        level = _LEVEL_SIGMAS**2
        inside = level * geman_mcclure((torch.relu(-gap) / self.inside_m) ** 2 / level)
        # Linear far off, and not levelling off: in wide trousers a leg that hugs the front would else be cheaper than
        # one in the middle, whatever the landmarks say.
        outside = 2 * (torch.sqrt(1 + (torch.relu(gap) / outer) ** 2) - 1)
        return share * (inside + outside).sum()


def make_depth_cost(evidence: Evidence, this: Round, state: BodyState) -> DepthCost | None:
    """The vertex next to each measured point; None without depth.

    Correspondences are found with the body held still and kept for a round (iterative closest points).
    """
    if not this.surface or not evidence.depth:
        return None
    body, weights = evidence.body, evidence.config.weights
    posed = body.pose(state.rest, state.space.pose(state.unknowns))
    columns = state.columns(evidence.vertices)
    found: list[tuple[Tensor, ...]] = []
    for row, depth in evidence.depth.items():
        points, nearest, normals = _match_points(body, posed.verts[row], depth, evidence.vertices)
        is_skin = torch.isin(body.part_labels[evidence.vertices[nearest]], _bare_labels(body))
        found.append((torch.full((len(nearest),), row), columns[nearest], points, normals, is_skin))
    frame, column, point, normal, is_skin = (torch.cat(each) for each in zip(*found, strict=True))
    if len(frame) == 0:
        return None
    inside, outside, bare = weights.depth_inside_m, weights.depth_outside_m, weights.skin_outside_m
    return DepthCost(frame, column, point, normal, is_skin, inside, outside, bare)


def _bare_labels(body: BodyModel) -> Int[Tensor, " p"]:
    return torch.tensor([body.part_names.index(name) for name in _BARE_PARTS])


def _match_points(
    body: BodyModel, verts: Float[Tensor, "v 3"], depth: DepthPoints, vertices: Int[Tensor, " m"]
) -> tuple[Float[Tensor, "n 3"], Int[Tensor, " n"], Float[Tensor, "n 3"]]:
    """Measured points, the nearest of ``vertices`` that faces the camera which saw each, and its normal."""
    normals = vertex_normals(verts, body.faces)[vertices]
    tree = cKDTree(verts[vertices].double().numpy())
    distance, nearest = tree.query(depth.points, k=4, distance_upper_bound=_REACH_M)
    padded = np.concatenate(
        [normals.double().numpy(), np.zeros((1, 3))]
    )  # the tree's "none" is one past the end
    facing = (padded[nearest] * depth.towards[:, None]).sum(-1) > 0.1
    distance = np.where(facing, distance, np.inf)
    best = distance.argmin(1)
    rows = np.flatnonzero(np.isfinite(distance[np.arange(len(best)), best]))
    chosen = torch.from_numpy(nearest[rows, best[rows]].astype(np.int64))
    return torch.from_numpy(depth.points[rows].astype(np.float32)), chosen, normals[chosen]
