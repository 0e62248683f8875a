"""Which vertices stand for the body's surface, and which measured outline or point each should meet.

Correspondences are found with the body held still and kept for a round of optimisation (iterative closest points).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.fit.energy import Contact, MaskTerm, Pull
from simulacra.recon.fit.evidence import Silhouettes, Surface
from simulacra.recon.fit.tracks import Tracks, Views
from simulacra.render.body import BodyModel, PosedBody, RestBody

_INNER_PARTS = (
    "mouth_cavity",
    "tongue",
    "eye_l",
    "eye_r",
    "eye_socket_l",
    "eye_socket_r",
)
_BARE_PARTS = ("face", "lips", "hand_l", "hand_r")
# Pose landmarks that must be seen for a mask to say something about a part: what a table hides is not outside
# the person.
_WITNESSES: dict[str, tuple[int, ...]] = {
    "torso": (11, 12, 23, 24), "neck": (11, 12), "face": (0,), "lips": (0,), "scalp": (0,),
    "ear_l": (0,), "ear_r": (0,),
    "upper_arm_l": (11, 13), "upper_arm_r": (12, 14), "lower_arm_l": (13, 15), "lower_arm_r": (14, 16),
    "hand_l": (15,), "hand_r": (16,), "thigh_l": (23, 25), "thigh_r": (24, 26),
    "shin_l": (25, 27), "shin_r": (26, 28), "foot_l": (27, 31), "foot_r": (28, 32),
}  # fmt: skip
# Farther than this a measured point or outline belongs to something else, or the body is not there yet; metres.
_REACH_OUTLINE_M = 0.15
_REACH_SURFACE_M = 0.15


def surface_vertices(body: BodyModel, rest: RestBody, count: int) -> Int[Tensor, " m"]:
    """About ``count`` outer vertices, evenly over the body: the one nearest to the middle of each cell of a grid."""
    inner = [body.part_names.index(name) for name in _INNER_PARTS]
    outer = torch.nonzero(~torch.isin(body.part_labels, torch.tensor(inner))).squeeze(-1)
    points = rest.verts.detach()[outer].double().numpy()
    low, high = 0.002, 0.3
    for _ in range(30):  # the number of occupied cells falls as cells grow
        side = 0.5 * (low + high)
        cells = len(np.unique(np.floor(points / side).astype(int), axis=0))
        low, high = (side, high) if cells > count else (low, side)
    cell = np.floor(points / high).astype(int)
    distance = np.linalg.norm(points / high - cell - 0.5, axis=-1)
    order = np.lexsort((distance, cell[:, 2], cell[:, 1], cell[:, 0]))
    _, first = np.unique(cell[order], axis=0, return_index=True)
    return torch.sort(outer[torch.from_numpy(order[first])]).values


def mask_term(
    body: BodyModel,
    silhouettes: Silhouettes,
    views: Views,
    tracks: Tracks,
    vertices: Int[Tensor, " v"],
    chosen: Int[Tensor, " m"],
) -> MaskTerm:
    """The distance images with each chosen vertex's say in every view.

    Args:
        vertices: those that are posed.
        chosen: those that masks are asked about.
    """
    size = torch.from_numpy(views.sizes).float()
    Ks = torch.from_numpy(views.Ks).float()
    scale = 2 * torch.stack([Ks[:, 0, 0], Ks[:, 1, 1]], -1) / size
    shift = 2 * Ks[:, :2, 2] / size - 1
    seen = torch.from_numpy(tracks.seen.astype(np.float32))
    labels = body.part_labels[chosen]
    weight = torch.zeros(*seen.shape[:2], len(chosen))
    for part, witnesses in _WITNESSES.items():
        mine = labels == body.part_names.index(part)
        weight[:, :, mine] = (seen[:, :, list(witnesses)].amin(-1, keepdim=True) > 0.3).float()
    weight = weight * silhouettes.known[..., None] * (2000 / len(chosen) / 8)
    return MaskTerm(silhouettes.outside, scale, shift, weight, torch.searchsorted(vertices, chosen))


def renew_pull(
    posed: PosedBody, columns: Int[Tensor, " m"], silhouettes: Silhouettes, views: Views
) -> Pull | None:
    """The vertex next to each outline ray."""
    viewmats = torch.from_numpy(views.viewmats).float()
    found: list[tuple[Tensor, ...]] = []
    outline = torch.from_numpy(silhouettes.outline.astype(np.float32))
    for row, column in torch.nonzero(silhouettes.known).tolist():
        rays = outline[row, column]
        rays = rays[torch.isfinite(rays).all(-1)]
        local = posed.verts[row, columns] @ viewmats[column, :3, :3].T + viewmats[column, :3, 3]
        distance, nearest = torch.cdist(rays, local[:, :2] / local[:, 2:]).min(1)
        near = distance * local[nearest, 2] < _REACH_OUTLINE_M
        where = torch.full((int(near.sum()),), row), torch.full((int(near.sum()),), column)
        found.append((*where, columns[nearest[near]], rays[near]))
    return Pull(*(torch.cat(each) for each in zip(*found, strict=True))) if found else None


def renew_contact(
    body: BodyModel,
    posed: PosedBody,
    surfaces: dict[int, Surface],
    vertices: Int[Tensor, " v"],
    columns: Int[Tensor, " m"],
) -> Contact | None:
    """The vertex next to each measured point that faces the same way as the camera saw it from.

    Args:
        posed: with all vertices of the body.
        surfaces: by row of the frame.
        vertices: those posed during optimisation.
        columns: of the candidates among these.
    """
    bare = [body.part_names.index(name) for name in _BARE_PARTS]
    found: list[tuple[Tensor, ...]] = []
    for row, surface in surfaces.items():
        verts = posed.verts[row].detach()
        normals = vertex_normals(verts, body.faces)[vertices[columns]]
        tree = cKDTree(verts[vertices[columns]].double().numpy())
        distance, nearest = tree.query(surface.points, k=4, distance_upper_bound=_REACH_SURFACE_M)
        padded = np.concatenate([normals.double().numpy(), np.zeros((1, 3))])
        facing = (padded[nearest] * surface.towards[:, None]).sum(-1) > 0.1
        distance = np.where(facing, distance, np.inf)
        best = distance.argmin(1)
        rows = np.flatnonzero(np.isfinite(distance[np.arange(len(best)), best]))
        chosen = torch.from_numpy(nearest[rows, best[rows]].astype(np.int64))
        labels = body.part_labels[vertices[columns[chosen]]]
        found.append(
            (
                torch.full((len(rows),), row),
                columns[chosen],
                torch.from_numpy(surface.points[rows].astype(np.float32)),
                normals[chosen],
                torch.isin(labels, torch.tensor(bare)),
            )
        )
    return Contact(*(torch.cat(each) for each in zip(*found, strict=True))) if found else None


def vertex_normals(verts: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Unit normals, each the mean of its faces' by area."""
    a, b, c = (verts[faces[:, i]] for i in range(3))
    area = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(verts)
    for corner in range(3):
        total = total.index_add(0, faces[:, corner], area)
    return torch.nn.functional.normalize(total, dim=-1)
