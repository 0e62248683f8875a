"""The surface that Gaussians hang on, in whole numbers: the order of its faces, how dense they are, where points lie.

Everything that decides how a file is decoded is computed here from whole numbers alone, so that every machine finds the
same. Vertices are in 2^-12 m (a quarter of a millimetre) and all other lengths in 2^-16 m.

Symbols: ``v`` vertices, ``f`` faces, ``n`` Gaussians; A, B, C the corners of a face.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from simulacra.render.export.codec.errors import CodecError

VERTEX_UNITS = 1 << 12  # a metre
UNITS = 1 << 16  # a metre
FINER = UNITS // VERTEX_UNITS
MOST_VERTEX = 8 * VERTEX_UNITS - 1  # which fits 16 bits
MOST_EDGE = UNITS // 2  # half a metre: whose cross products, squared, still fit 64 bits
MOST_DIVISIONS = 1 << 14  # of an edge
WINDOW = 4  # neighbours to either side in the faces' order, over which density is measured
MORTON_BITS = 10
MOST_HEIGHT_SHIFT = 6

Whole = Int64[np.ndarray, "n"]


@dataclass(frozen=True)
class Surface:
    """A body at rest.

    Attributes:
        verts: in 2^-12 m.
        faces: indices of their corners.
    """

    verts: Int64[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]

    def __post_init__(self) -> None:
        if len(self.verts) and np.abs(self.verts).max() > MOST_VERTEX:
            raise CodecError("a vertex is more than 8 m from the origin")
        if max(np.abs(edge).max(initial=0) for edge in self.edges) > MOST_EDGE:
            raise CodecError("a face has an edge of more than half a metre")

    @functools.cached_property
    def edges(self) -> tuple[Int64[np.ndarray, "f 3"], Int64[np.ndarray, "f 3"]]:
        """From A to B and from A to C, 2^-16 m."""
        corners = self.verts[self.faces] * FINER
        return corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]

    @functools.cached_property
    def doubled_areas(self) -> Int64[np.ndarray, "f"]:
        """Twice each face's area, 2^-32 m^2."""
        first, second = self.edges
        return whole_root((whole_cross(first, second) ** 2).sum(1))

    @functools.cached_property
    def order(self) -> Int64[np.ndarray, "f"]:
        """The faces along a Morton curve through their centroids: neighbours in it are mostly neighbours in space."""
        centroids = self.verts[self.faces].sum(1)
        centroids = centroids - centroids.min(0, initial=0)
        shift = max(0, int(centroids.max(initial=0)).bit_length() - MORTON_BITS)
        return np.argsort(morton(centroids >> shift), kind="stable")

    def spacings(self, counts: Int64[np.ndarray, "f"]) -> Int64[np.ndarray, "f"]:
        """How far apart the Gaussians of each face are, by the faces around it in the order, 2^-16 m; 0: none is."""
        used = self.order[counts[self.order] > 0]
        area = np.concatenate([[0], np.cumsum(self.doubled_areas[used])])
        count = np.concatenate([[0], np.cumsum(counts[used])])
        at = np.arange(len(used))
        low, high = np.maximum(at - WINDOW, 0), np.minimum(at + WINDOW + 1, len(used))
        found = np.zeros(len(self.faces), np.int64)
        found[used] = np.maximum(whole_root((area[high] - area[low]) // (2 * (count[high] - count[low]))), 16)
        return found


@dataclass(frozen=True)
class Places:
    """What the counts of Gaussians a face say of each Gaussian, in the order of the faces.

    Attributes:
        faces: on which it hangs.
        divisions: into how many steps the edges AB and AC are divided for it.
        spacings: how far its neighbours are, 2^-16 m.
        height_shifts: its height is in steps of 2 to this power times the finest.
        least_spacing: of all, 2^-16 m.
    """

    faces: Whole
    divisions: Int64[np.ndarray, "2 n"]
    spacings: Whole
    height_shifts: Whole
    least_spacing: int

    def at(self, rows: Int64[np.ndarray, "r"]) -> Places:
        """Of some Gaussians alone."""
        return Places(
            self.faces[rows],
            self.divisions[:, rows],
            self.spacings[rows],
            self.height_shifts[rows],
            self.least_spacing,
        )


def find_places(surface: Surface, counts: Int64[np.ndarray, "f"], tangent_step: int) -> Places:
    """Args:
    surface: that they hang on.
    counts: of Gaussians on each face.
    tangent_step: along the surface, in 4096ths of the spacing.
    """
    faces = np.repeat(surface.order, counts[surface.order])
    by_face = surface.spacings(counts)
    step = np.maximum(by_face * tangent_step, 4096)
    divisions = np.stack(
        [
            np.clip((whole_root((edge**2).sum(1)) * 4096 + step // 2) // step, 1, MOST_DIVISIONS)
            for edge in surface.edges
        ]
    )
    spacings = by_face[faces]
    least = int(spacings.min(initial=1 << 20))
    shifts = np.zeros(len(faces), np.int64)
    for power in range(1, MOST_HEIGHT_SHIFT + 1):
        shifts += spacings**2 >= least**2 << (2 * power - 1)  # the nearest power of two
    return Places(faces, divisions[:, faces], spacings, shifts, least)


def points_on_surface(
    surface: Surface, places: Places, steps: Int64[np.ndarray, "2 n"]
) -> Int64[np.ndarray, "n 3"]:
    """Where Gaussians are, but for their height over the surface, 2^-16 m.

    Args:
        surface: that they hang on.
        places: which faces.
        steps: along the edges AB and AC, in their divisions.
    """
    found = surface.verts[surface.faces[places.faces, 0]] * FINER
    for edge, step, division in zip(surface.edges, steps, places.divisions, strict=True):
        found = found + edge[places.faces] * step[:, None] // division[:, None]
    return found


def first_ranges(
    rows: Int64[np.ndarray, "r"], stride: int, faces: Whole, divisions: Whole, steps: Whole
) -> tuple[Int64[np.ndarray, "r"], Int64[np.ndarray, "r"]]:
    """Where the first steps of a level's Gaussians are expected, and in how wide a range.

    On a face they are in rising order, so that those before and behind, which earlier levels told, are bounds.

    Args:
        rows: of the level.
        stride: from a Gaussian to these two; 0 at the first level, which has none.
        faces: of all Gaussians.
        divisions: of all, along the first edge.
        steps: of all that are known.
    """
    own = divisions[rows]
    low, high = np.zeros(len(rows), np.int64), own.copy()
    if stride:
        for side, bound in ((-stride, low), (stride, high)):
            other = np.clip(rows + side, 0, len(faces) - 1)
            known = (other == rows + side) & (faces[other] == faces[rows])
            bound[known] = (steps[other] * own // divisions[other])[known]
    low, high = np.minimum(low, high), np.maximum(low, high)
    return (low + high) >> 1, high - low


def second_ranges(divisions: Int64[np.ndarray, "2 n"], first: Whole) -> tuple[Whole, Whole]:
    """Likewise along the second edge, of which the first step leaves a part."""
    left = np.clip(divisions[0] - first, 0, divisions[0]) * divisions[1] // divisions[0]
    return left >> 1, left


def level_rows(count: int, levels: int) -> list[np.ndarray]:
    """Which Gaussians are of each level, coarsest first: each level fills the middles between all earlier ones."""
    at = np.arange(count)
    found = [at[:: 1 << (levels - 1)]]
    for level in range(1, levels):
        stride = 1 << (levels - 1 - level)
        found.append(at[stride :: 2 * stride])
    return found


def morton(cells: Int64[np.ndarray, "f 3"]) -> Int64[np.ndarray, "f"]:
    """The bits of three coordinates in turns."""
    keys = np.zeros(len(cells), np.int64)
    for bit in range(MORTON_BITS):
        for axis in range(3):
            keys |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return keys


def whole_root(values: Whole) -> Whole:
    """The whole part of square roots, exactly."""
    root = np.sqrt(values.astype(np.float64)).astype(np.int64)
    root -= root * root > values
    root += (root + 1) * (root + 1) <= values
    return root


def whole_cross(a: Int64[np.ndarray, "f 3"], b: Int64[np.ndarray, "f 3"]) -> Int64[np.ndarray, "f 3"]:
    """Cross products of rows."""
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        1,
    )
