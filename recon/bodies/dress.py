"""What detectors and exports need of a foreign body, brought over from ours: parts, mirror images, keypoints.

Landmarks on the skin become points of triangles. Those that lie inside, where bones are or between
opposite sides, are brought over as points in space: sums of the vertices around them with the smallest weights that hit
the point, so that they move with the skin.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.avatar.binding import closest_barycentrics
from simulacra.recon.bodies.correspond import Correspondence
from simulacra.render.body import BodyModel, BodyShape, KeypointMap

# Vertices around a point inside, and triangles among which the nearest to one on the skin is.
_AROUND, _CANDIDATES = 32, 12
# What is further from the skin lies inside.
_SKIN_M = 0.002


def dress(foreign: BodyModel, default: BodyModel, found: Correspondence) -> BodyModel:
    """The foreign body with everything that the pipeline asks of a body."""
    shape = BodyShape(
        torch.full((len(foreign.phenotype_names),), 0.5), torch.zeros(len(foreign.local_change_names))
    )
    rest = foreign.rest(shape)
    verts = foreign.pose(rest, foreign.zero_pose()).verts[0]
    corners = default.faces[found.on_default.faces]
    nearest = corners.gather(1, found.on_default.barycentrics.argmax(1, keepdim=True)).squeeze(1)
    labels = default.part_labels[nearest]
    mirrored = verts * verts.new_tensor([-1.0, 1.0, 1.0])
    _, twins = cKDTree(verts.numpy()).query(mirrored.numpy())
    return replace(
        foreign,
        part_labels=labels,
        mirror_vertices=torch.from_numpy(np.asarray(twins, dtype=np.int64)),
        keypoints={
            name: _carried(keypoints, keypoints(found.laid)[0], foreign, verts)
            for name, keypoints in default.keypoints.items()
        },
    )


def _carried(
    keypoints: KeypointMap, points: Float[Tensor, "k 3"], foreign: BodyModel, verts: Float[Tensor, "v 3"]
) -> KeypointMap:
    """The map of another surface."""
    rows = [_place(point, foreign, verts) for point in points]
    nothing = torch.zeros(0, dtype=torch.long)
    return KeypointMap(
        names=keypoints.names,
        vertex_keypoint=torch.cat([torch.full((len(own),), k) for k, (own, _) in enumerate(rows)]),
        vertex_index=torch.cat([own for own, _ in rows]),
        vertex_weight=torch.cat([weights for _, weights in rows]),
        bone_keypoint=nothing,
        bone_index=nothing,
        bone_weight=torch.zeros(0),
        valid=keypoints.valid,
    )


def _place(
    point: Float[Tensor, "3"], foreign: BodyModel, verts: Float[Tensor, "v 3"]
) -> tuple[Tensor, Tensor]:
    """The vertices that a point is a sum of, and how much of each."""
    corners = verts[foreign.faces]
    near = (corners.mean(1) - point).norm(dim=1).topk(_CANDIDATES, largest=False).indices
    weights = closest_barycentrics(point.expand(len(near), 3), corners[near])
    gaps = ((corners[near] * weights[..., None]).sum(1) - point).norm(dim=1)
    best = int(gaps.argmin())
    if float(gaps[best]) < _SKIN_M:
        return foreign.faces[near[best]], weights[best]
    around = (verts - point).norm(dim=1).topk(_AROUND, largest=False).indices
    system = torch.cat([(verts[around] - point).T.double(), torch.ones(1, _AROUND, dtype=torch.float64)])
    own = torch.linalg.pinv(system) @ torch.tensor([0, 0, 0, 1.0], dtype=torch.float64)
    return around, own.float()
