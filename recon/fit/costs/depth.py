"""The body at or a little inside its measured surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.config import WeightConfig
from simulacra.recon.fit.evidence import DepthPoints, Evidence, Round, independent_share
from simulacra.recon.fit.residuals import Kernel, PointCost, Selection
from simulacra.render.body import BodyModel
from simulacra.render.mesh import vertex_normals

_BARE_PARTS = ("face", "lips", "hand_l", "hand_r")
_LEGS = ("thigh_l", "thigh_r", "shin_l", "shin_r")
# Farther than this a measured point belongs to something else, or the body is not there yet.
_REACH_M = 0.15
_INDEPENDENT_POINTS = 1000
_LEVEL_SIGMAS = 3


@dataclass(frozen=True)
class DepthCost(PointCost):
    """``normal . (point - vertex)`` of measured points and the vertices next to them: clothes and hair stand off from
    the body, skin does not.

    Attributes:
        frame: of each correspondence.
        column: of its vertex among those posed.
        point: world, metres.
        normal: unit, outwards.
        outside_m: standard deviation of a body behind the point: how far clothes hang off that part.
        inside_m: of one in front of it.
        share: as how much of an independent frame each frame counts.
    """

    frame: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    point: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    outside_m: Float[Tensor, " n"]
    inside_m: float
    share: float = 1.0

    # Behind the surface linear far off, and not levelling off: in wide trousers a leg that hugs the front would else be
    # cheaper than one in the middle, whatever the landmarks say.
    kernels: ClassVar[tuple[Kernel, ...]] = ("geman_mcclure", "pseudo_huber")

    @property
    def selection(self) -> Selection:
        return Selection("verts", self.column, self.frame)

    @property
    def weights(self) -> Float[Tensor, "2"]:
        # Thousands of points of one sensor's picture of one garment err together: a frame's count as so many at most.
        share = min(1.0, _INDEPENDENT_POINTS * self.frame.unique().numel() / len(self.frame))
        return self.share * share * self.point.new_tensor([_LEVEL_SIGMAS**2, 1])

    def residuals(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2 1"]:
        gap = (self.normal * (self.point - points)).sum(-1)
        inside = torch.relu(-gap) / (_LEVEL_SIGMAS * self.inside_m)
        return torch.stack([inside, torch.relu(gap) / self.outside_m], -1)[..., None]


def make_depth_cost(evidence: Evidence, this: Round, state: BodyState) -> DepthCost | None:
    """The vertex next to each measured point; None without depth.

    Correspondences are found with the body held still and kept for a round (iterative closest points).
    """
    if not this.surface or not evidence.depth:
        return None
    body = evidence.body
    outside = _outside_m(body, evidence.config.weights)
    posed = body.pose(state.rest, state.space.pose(state.unknowns))
    columns = state.columns(evidence.vertices)
    found: list[tuple[Tensor, ...]] = []
    for row, depth in evidence.depth.items():
        points, nearest, normals = _match_points(body, posed.verts[row], depth, evidence.vertices)
        slack = outside[body.part_labels[evidence.vertices[nearest]].long()]
        found.append((torch.full((len(nearest),), row), columns[nearest], points, normals, slack))
    once = independent_share(evidence.tracks.seconds)
    frame, column, point, normal, slack = (torch.cat(each) for each in zip(*found, strict=True))
    if len(frame) == 0:
        return None
    return DepthCost(
        frame,
        column,
        point,
        normal,
        slack,
        evidence.config.weights.depth_inside_m,
        once,
    )


def _outside_m(body: BodyModel, weights: WeightConfig) -> Float[Tensor, " p"]:
    """Of each part of the body: skirts and wide trousers stand off by decimetres, a sleeve by centimetres, skin not."""
    of = dict.fromkeys(_BARE_PARTS, weights.skin_outside_m)
    of |= dict.fromkeys(_LEGS, weights.leg_outside_m) | {"torso": weights.torso_outside_m}
    return torch.tensor([of.get(name, weights.depth_outside_m) for name in body.part_names])


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
