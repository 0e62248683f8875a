"""The triangles of a mesh in few bytes: each mostly lies at an edge of a recent one, and takes its third corner from
few places (after Touma and Gotsman's and the vertex-cache coders of meshes).

Three streams. A byte a face: 3 i + r where its edge r (from corner r to corner r + 1) runs against the i-th youngest of
the last 16 edges, or 255. For each corner that this leaves open, a byte: 0 for the next vertex that no face has had,
i for the i-th of the last 254 corners that were told so, or 255; and then, as uint16, which vertex it is. Vertices are
numbered by their first face. Corners keep their order.

Symbols: ``f`` faces, ``v`` vertices.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Int64, UInt8, UInt16

from simulacra.render.export.codec.errors import CodecError
from simulacra.render.runtime.compiled import kernel_compiler

EDGES, CORNERS, NONE = 16, 254, 255
compiled = kernel_compiler(__file__)


def first_use_order(faces: Int64[np.ndarray, "f 3"], verts: int) -> Int64[np.ndarray, "v"]:
    """The vertices in the order in which faces use them; those of no face come last."""
    used, first = np.unique(faces.reshape(-1), return_index=True)
    ordered = used[np.argsort(first, kind="stable")]
    return np.concatenate([ordered, np.setdiff1d(np.arange(verts), ordered)])


def encode_faces(
    faces: Int64[np.ndarray, "f 3"],
) -> tuple[UInt8[np.ndarray, "f"], UInt8[np.ndarray, "c"], UInt16[np.ndarray, "e"]]:
    """Edges, corners and vertices: the three streams of faces whose vertices are numbered by first use."""
    edges = np.empty(len(faces), np.uint8)
    corners, verts = np.empty(3 * len(faces), np.uint8), np.empty(3 * len(faces), np.uint16)
    told, named = _walk(faces.copy(), edges, corners, verts, True)
    return edges, corners[:told], verts[:named]


def decode_faces(
    edges: UInt8[np.ndarray, "f"], corners: UInt8[np.ndarray, "c"], verts: UInt16[np.ndarray, "e"]
) -> Int64[np.ndarray, "f 3"]:
    """The faces.

    Raises:
        CodecError: the streams do not fit each other.
    """
    faces = np.empty((len(edges), 3), np.int64)
    if _walk(faces, edges, corners, verts, False) != (len(corners), len(verts)):
        raise CodecError("the faces of the body are damaged")
    return faces


@no_type_check
@compiled()
def _walk(faces, edges, corners, verts, encoding):
    """Both directions: how many corners and vertices were told; (-1, -1) where a stream ends too early."""
    recent = np.full((EDGES, 2), -1, np.int64)
    known = np.full(CORNERS, -1, np.int64)
    edge_at, corner_at, told, named, fresh = 0, 0, 0, 0, 0
    for face in range(len(edges)):
        code = NONE
        if encoding:
            for back in range(EDGES):
                slot = (edge_at - 1 - back) % EDGES
                for r in range(3):
                    if (
                        code == NONE
                        and recent[slot, 0] == faces[face, (r + 1) % 3]
                        and recent[slot, 1] == faces[face, r]
                    ):
                        code = 3 * back + r
            edges[face] = code
        else:
            code = edges[face]
            if code != NONE and code >= 3 * EDGES:
                return -1, -1
        first = 0
        shared = code != NONE
        if shared:
            slot, first = (edge_at - 1 - code // 3) % EDGES, code % 3
            faces[face, first], faces[face, (first + 1) % 3] = recent[slot, 1], recent[slot, 0]
            if recent[slot, 0] < 0:
                return -1, -1
        for k in range(2 if shared else 0, 3):
            place = (first + k) % 3
            if encoding:
                vertex, how = faces[face, place], NONE
                if vertex == fresh:
                    how = 0
                else:
                    for back in range(1, CORNERS + 1):
                        if how == NONE and known[(corner_at - back) % CORNERS] == vertex:
                            how = back
                corners[told] = how
                if how == NONE:
                    verts[named] = vertex
            else:
                if told >= len(corners):
                    return -1, -1
                how = corners[told]
                if how == 0:
                    vertex = fresh
                elif how == NONE:
                    if named >= len(verts):
                        return -1, -1
                    vertex = np.int64(verts[named])
                else:
                    vertex = known[(corner_at - np.int64(how)) % CORNERS]
                    if vertex < 0:
                        return -1, -1
                faces[face, place] = vertex
            told += 1
            named += how == NONE
            if how == 0:
                fresh += 1
            if how == 0 or how == NONE:
                known[corner_at] = vertex
                corner_at = (corner_at + 1) % CORNERS
        for r in range(3):
            if not shared or r != first:
                recent[edge_at, 0], recent[edge_at, 1] = faces[face, r], faces[face, (r + 1) % 3]
                edge_at = (edge_at + 1) % EDGES
    return told, named
