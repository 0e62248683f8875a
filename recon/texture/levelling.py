"""Colors of neighbours from different photographs, evened out; and colors for what no photograph shows.

Where two photographs meet, exposure, light and focus differ. Each photograph gets a correction that varies smoothly
over the triangles taken from it and makes up the difference along the seams: least squares over one unknown for each
vertex and photograph (after Lempitsky and Ivanov, "Seamless mosaicing of image-based texture maps", 2007).

Symbols: ``v`` vertices, ``f`` triangles, ``p`` photographs, ``k`` pairs of a vertex and a photograph.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from simulacra.recon.texture.labels import UNSEEN

# Weights beside 1 for a seam: of neighbours to be corrected alike, and of no correction at all, so that the whole does
# not drift.
ALIKE, NONE = 0.1, 1e-3
# Parts of their mean by which two photographs may differ and still show the same place in other light: one is twice the
# other. Where they differ by more, one has something else there, and the next parts must not be colored for it. Of dark
# places (linear, of 1) the sensor's noise is more than that.
MOST_UNEVEN, DARK = 2 / 3, 0.01
MOST_CORRECTION = 1.35
# What an unseen vertex is drawn to beside its neighbours: the nearest seen ones, for parts that hang on nothing seen.
NEAREST = 1e-4


def seam_corrections(
    colors: Float[np.ndarray, "p v 3"], labels: Int[np.ndarray, " f"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "f 3 3"]:
    """What is added to the colors of each triangle's photograph at its three corners; 0 for unseen triangles.

    Args:
        colors: of each vertex in each photograph that shows it.
    """
    seen = labels != UNSEEN
    corrections = np.zeros((len(faces), 3, 3))
    if not seen.any():
        return corrections
    photographs = len(colors)
    keys = faces[seen] * photographs + labels[seen, None]
    known, place = np.unique(keys, return_inverse=True)
    place = place.reshape(keys.shape)
    vertex, photograph = known // photographs, known % photographs
    own = colors[photograph, vertex]
    meet = np.flatnonzero(vertex[1:] == vertex[:-1])  # pairs are sorted by vertex
    apart, both = np.abs(own[meet + 1] - own[meet]), own[meet + 1] + own[meet]
    meet = meet[(apart <= MOST_UNEVEN / 2 * (both + DARK)).all(1)]
    edges = np.unique(
        np.sort(np.concatenate([place[:, [0, 1]], place[:, [1, 2]], place[:, [2, 0]]]), 1), axis=0
    )
    rows = [
        _differences(meet, meet + 1, len(known)),
        ALIKE**0.5 * _differences(edges[:, 0], edges[:, 1], len(known)),
    ]
    rows.append(NONE**0.5 * sparse.identity(len(known)))
    wanted = np.zeros((len(meet) + len(edges) + len(known), 3))
    wanted[: len(meet)] = own[meet + 1] - own[meet]
    corrections[seen] = _least_squares(sparse.vstack(rows), wanted)[place]
    return corrections


def add_corrections(
    colors: Float[np.ndarray, "*n 3"], corrections: Float[np.ndarray, "*n 3"]
) -> Float[np.ndarray, "*n 3"]:
    """Corrected colors, none by more than light and exposure make: a sum would take dark cloth's red below zero."""
    return np.clip(colors + corrections, colors / MOST_CORRECTION, colors * MOST_CORRECTION)


def fill_unseen(
    points: Float[np.ndarray, "v 3"],
    colors: Float[np.ndarray, "v 3"],
    seen: Bool[np.ndarray, " v"],
    faces: Int[np.ndarray, "f 3"],
) -> Float[np.ndarray, "v 3"]:
    """The colors, those of unseen vertices continued smoothly over the surface; grey where nothing is seen.

    Args:
        points: of the surface, where near means near.
    """
    if not seen.any():
        return np.full_like(colors, 0.2)
    if seen.all():
        return colors
    nearest = colors[seen][cKDTree(points[seen]).query(points[~seen])[1]]
    edges = np.unique(
        np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0
    )
    edges = edges[~seen[edges].all(1)]
    differences = _differences(edges[:, 0], edges[:, 1], len(points)).tocsc()
    unknown = np.flatnonzero(~seen)
    wanted = -differences[:, np.flatnonzero(seen)] @ colors[seen]
    rows = sparse.vstack([differences[:, unknown], NEAREST**0.5 * sparse.identity(len(unknown))])
    filled = colors.copy()
    filled[unknown] = _least_squares(rows, np.concatenate([wanted, NEAREST**0.5 * nearest]))
    return filled


def _differences(first: np.ndarray, second: np.ndarray, count: int) -> sparse.csr_matrix:
    """Rows of the second unknown's coefficient -1 and the first's 1."""
    rows = np.tile(np.arange(len(first)), 2)
    signs = np.repeat([1.0, -1.0], len(first))
    return sparse.csr_matrix((signs, (rows, np.concatenate([first, second]))), (len(first), count))


def _least_squares(rows: sparse.spmatrix, wanted: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "k 3"]:
    return splu((rows.T @ rows).tocsc()).solve(rows.T @ wanted)
