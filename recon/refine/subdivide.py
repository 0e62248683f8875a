"""The body's mesh with its long edges halved until none is longer than asked: still closed, still with its texture
coordinates, each new vertex bound to the body's triangle that it lies on.

An edge is halved for both of its triangles alike, so that no cracks open ("red-green" refinement: Bank, Sherman and
Weiser, "Refinement algorithms and data structures for regular local mesh refinement", 1983).

Symbols: ``v`` vertices, ``f`` triangles, ``t`` texture coordinates, ``e`` edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from simulacra.recon.fit.skin import INNER_PARTS
from simulacra.render.avatar import Binding
from simulacra.render.body.model import BodyModel
from simulacra.render.skinned_mesh import SkinnedMesh

# Halvings after which an edge of half a metre is a centimetre long.
MOST_ROUNDS = 6
# Corners of the parts that a triangle falls into, by which of its edges are halved: 0 to 2 are its own corners, 3 to 5
# the middles of the edges from 0, from 1 and from 2 to the next one.
_ONE = {0: ((0, 3, 2), (3, 1, 2)), 1: ((0, 1, 4), (0, 4, 2)), 2: ((0, 1, 5), (1, 2, 5))}
_ALL = ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5))


@dataclass(frozen=True)
class _Mesh:
    """The mesh between two rounds.

    Attributes:
        origin: the body's triangle that each triangle lies on.
        corners: barycentrics in it of each triangle's corners.
        outer: vertices that can be seen from outside.
    """

    verts: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uvs: Float[np.ndarray, "t 2"]
    face_uvs: Int[np.ndarray, "f 3"]
    origin: Int[np.ndarray, " f"]
    corners: Float[np.ndarray, "f 3 3"]
    outer: Bool[np.ndarray, " v"]


def subdivide_body(body: BodyModel, rest: Float[torch.Tensor, "v 3"], longest: float) -> SkinnedMesh:
    """The body as a mesh whose edges are at most so long; what lies inside the mouth and behind the eyes stays as it
    is.

    Args:
        rest: vertices of the body at rest, metres.
        longest: metres.
    """
    inner = torch.tensor([name in INNER_PARTS for name in body.part_names])
    count = len(body.faces)
    mesh = _Mesh(
        rest.double().numpy(),
        body.faces.numpy(),
        body.uvs.double().numpy(),
        body.face_uvs.numpy(),
        np.arange(count),
        np.broadcast_to(np.eye(3), (count, 3, 3)).copy(),
        ~inner[body.part_labels].numpy(),
    )
    for _ in range(MOST_ROUNDS):
        finer = _halve_edges(mesh, longest)
        if finer is None:
            break
        mesh = finer
    # Any corner of a vertex says where it hangs.
    corner = np.empty(len(mesh.verts), np.int64)
    corner[mesh.faces.ravel()] = np.arange(mesh.faces.size)
    places = mesh.corners.reshape(-1, 3)[corner]
    binding = Binding(torch.from_numpy(mesh.origin[corner // 3]), torch.from_numpy(places).float())
    return SkinnedMesh(
        binding,
        torch.from_numpy(mesh.verts).float(),
        torch.from_numpy(mesh.faces.astype(np.int64)),
        torch.from_numpy(mesh.uvs).float(),
        torch.from_numpy(mesh.face_uvs.astype(np.int64)),
    )


def _halve_edges(mesh: _Mesh, longest: float) -> _Mesh | None:
    """One round; None where no edge is too long."""
    ends = np.stack([mesh.faces, np.roll(mesh.faces, -1, 1)], -1)
    length = np.linalg.norm(mesh.verts[ends[..., 0]] - mesh.verts[ends[..., 1]], axis=-1)
    marked = (length > longest) & mesh.outer[ends].any(-1)
    if not marked.any():
        return None
    verts, middles = _middles(mesh.verts, ends, marked)
    uv_ends = np.stack([mesh.face_uvs, np.roll(mesh.face_uvs, -1, 1)], -1)
    uvs, uv_middles = _middles(mesh.uvs, uv_ends, marked)
    six = np.concatenate([mesh.faces, middles], 1)
    six_uvs = np.concatenate([mesh.face_uvs, uv_middles], 1)
    six_corners = np.concatenate([mesh.corners, (mesh.corners + np.roll(mesh.corners, -1, 1)) / 2], 1)
    rows, parts = _split(marked, verts, six)
    outer = np.concatenate([mesh.outer, np.ones(len(verts) - len(mesh.verts), bool)])
    at = rows[:, None], parts
    return _Mesh(verts, six[at], uvs, six_uvs[at], mesh.origin[rows], six_corners[at], outer)


def _middles(
    values: Float[np.ndarray, "v d"], ends: Int[np.ndarray, "f 3 2"], marked: Bool[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w d"], Int[np.ndarray, "f 3"]]:
    """The values with those of new vertices appended, and the row of the one on each edge, -1 for none."""
    pairs, place = np.unique(np.sort(ends[marked], 1), axis=0, return_inverse=True)
    rows = np.full(marked.shape, -1)
    rows[marked] = len(values) + place.ravel()
    return np.concatenate([values, values[pairs].mean(1)]), rows


def _split(
    marked: Bool[np.ndarray, "f 3"], verts: Float[np.ndarray, "v 3"], six: Int[np.ndarray, "f 6"]
) -> tuple[Int[np.ndarray, " g"], Int[np.ndarray, "g 3"]]:
    """The triangle of each part and the corners that it takes of its six."""
    count = marked.sum(1)
    rows, parts = [np.flatnonzero(count == 0)], [(0, 1, 2)]
    for edge in range(3):
        alone = np.flatnonzero((count == 1) & marked[:, edge])
        for part in _ONE[edge]:
            rows.append(alone)
            parts.append(part)
        # Two are halved, this one is not: a corner, and a quad along the whole edge, cut by its shorter diagonal.
        a, b, c = edge, (edge + 1) % 3, (edge + 2) % 3
        two = np.flatnonzero((count == 2) & ~marked[:, edge])
        middle_b, middle_c = 3 + b, 3 + c
        rows.append(two)
        parts.append((middle_b, c, middle_c))
        near = np.linalg.norm(verts[six[two, a]] - verts[six[two, middle_b]], axis=1)
        far = np.linalg.norm(verts[six[two, b]] - verts[six[two, middle_c]], axis=1)
        for chosen, pair in (
            (two[near <= far], ((a, b, middle_b), (a, middle_b, middle_c))),
            (two[near > far], ((a, b, middle_c), (b, middle_b, middle_c))),
        ):
            for part in pair:
                rows.append(chosen)
                parts.append(part)
    whole = np.flatnonzero(count == 3)
    for part in _ALL:
        rows.append(whole)
        parts.append(part)
    return np.concatenate(rows), np.concatenate(
        [np.broadcast_to(part, (len(each), 3)) for each, part in zip(rows, parts, strict=True)]
    )
