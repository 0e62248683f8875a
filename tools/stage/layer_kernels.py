"""Compiled bookkeeping of triangle meshes."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def edges(faces, count):
    """All edges once, as ends a < b, and which of them each face's three (corner i to i + 1) are."""
    total = 3 * len(faces)
    first = np.full(count, -1, np.int64)  # of each lower end, the latest edge; they are chained by ``after``
    after = np.empty(total, np.int64)
    low, high = np.empty(total, np.int64), np.empty(total, np.int64)
    which = np.empty(faces.shape, np.int64)
    number = 0
    for f in range(len(faces)):
        for i in range(3):
            a, b = faces[f, i], faces[f, (i + 1) % 3]
            if a > b:
                a, b = b, a
            edge = first[a]
            while edge >= 0 and high[edge] != b:
                edge = after[edge]
            if edge < 0:
                edge = number
                low[edge], high[edge], after[edge] = a, b, first[a]
                first[a] = edge
                number += 1
            which[f, i] = edge
    return low[:number].copy(), high[:number].copy(), which


@njit(nogil=True, cache=True)
@no_type_check
def border_steps(faces, low, which, after):
    """Of every vertex on a border, the next one along it (the mesh on the left); ``after`` comes filled with -1."""
    uses = np.zeros(len(low), np.int64)
    for f in range(len(faces)):
        for i in range(3):
            uses[which[f, i]] += 1
    for f in range(len(faces)):
        for i in range(3):
            if uses[which[f, i]] == 1:
                after[faces[f, i]] = faces[f, (i + 1) % 3]


@njit(nogil=True, cache=True)
@no_type_check
def strongest(starts, columns, values, bones, weights):
    """The largest entries of each sparse row, the largest first, scaled to sum 1."""
    most = bones.shape[1]
    for row in range(len(bones)):
        for k in range(most):
            bones[row, k], weights[row, k] = 0, 0.0
        for entry in range(starts[row], starts[row + 1]):
            value, column = values[entry], columns[entry]
            for k in range(most):
                if value > weights[row, k] or (
                    value == weights[row, k] and value > 0 and column < bones[row, k]
                ):
                    value, weights[row, k] = weights[row, k], value
                    column, bones[row, k] = bones[row, k], column
        total = 0.0
        for k in range(most):
            total += weights[row, k]
        for k in range(most):
            weights[row, k] /= total
