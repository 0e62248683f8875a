"""Compiled bookkeeping of triangle meshes."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from simulacra.render.runtime.compiled import njit


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


@njit(nogil=True, cache=True)
@no_type_check
def used_first(faces, place):
    """New numbers of the vertices that faces use, in their order; ``place`` comes filled with -1. How many."""
    for f in range(len(faces)):
        for i in range(3):
            place[faces[f, i]] = 0
    number = 0
    for vertex in range(len(place)):
        if place[vertex] == 0:
            place[vertex] = number
            number += 1
    return number


@njit(nogil=True, cache=True)
@no_type_check
def renumbered(faces, place):
    """Faces with other numbers of their vertices."""
    out = np.empty_like(faces)
    for f in range(len(faces)):
        for i in range(3):
            out[f, i] = place[faces[f, i]]
    return out


@njit(nogil=True, cache=True)
@no_type_check
def divided(faces, which, number):
    """Triangles cut at the middles of their edges into four, three or two.

    Args:
        number: of the vertex in the middle of each edge, -1 if it stays whole.
    """
    out = np.empty((4 * len(faces), 3), np.int64)
    n = 0
    for f in range(len(faces)):
        halved = 0
        for i in range(3):
            if number[which[f, i]] >= 0:
                halved += 1
        # Turned so that the one halved edge, or the one whole edge, is the first.
        turn = 0
        if halved == 1 or halved == 2:
            while (number[which[f, turn]] >= 0) != (halved == 1):
                turn += 1
        v0, v1, v2 = faces[f, turn], faces[f, (turn + 1) % 3], faces[f, (turn + 2) % 3]
        m0, m1, m2 = (
            number[which[f, turn]],
            number[which[f, (turn + 1) % 3]],
            number[which[f, (turn + 2) % 3]],
        )
        if halved == 0:
            pieces = ((v0, v1, v2), (-1, -1, -1), (-1, -1, -1), (-1, -1, -1))
        elif halved == 1:
            pieces = ((v0, m0, v2), (m0, v1, v2), (-1, -1, -1), (-1, -1, -1))
        elif halved == 2:
            pieces = ((v0, v1, m1), (v0, m1, m2), (m2, m1, v2), (-1, -1, -1))
        else:
            pieces = ((v0, m0, m2), (m0, v1, m1), (m2, m1, v2), (m0, m1, m2))
        for k in range(halved + 1):
            out[n, 0], out[n, 1], out[n, 2] = pieces[k][0], pieces[k][1], pieces[k][2]
            n += 1
    return out[:n].copy()


@njit(nogil=True, cache=True)
@no_type_check
def clipped(faces, which, number, place):
    """The parts of triangles where ``place`` of the vertices is positive.

    Args:
        number: of the vertex on each crossed edge, -1 on others.
    """
    out = np.empty((2 * len(faces), 3), np.int64)
    n = 0
    for f in range(len(faces)):
        plus, minus = 0, 0
        for i in range(3):
            value = place[faces[f, i]]
            if value > 0:
                plus += 1
            elif value < 0:
                minus += 1
        if plus == 0:
            continue
        # Turned so that the corner that is unlike the other two comes first; the positive one if all differ.
        turn = 0
        if minus > 0:
            while (place[faces[f, turn]] >= 0) if plus == 2 else (place[faces[f, turn]] <= 0):
                turn += 1
        v0, v1, v2 = faces[f, turn], faces[f, (turn + 1) % 3], faces[f, (turn + 2) % 3]
        m0, m2 = number[which[f, turn]], number[which[f, (turn + 2) % 3]]
        if minus == 0:
            out[n, 0], out[n, 1], out[n, 2] = v0, v1, v2
            n += 1
        elif plus == 2:
            out[n, 0], out[n, 1], out[n, 2] = m0, v1, v2
            out[n + 1, 0], out[n + 1, 1], out[n + 1, 2] = m0, v2, m2
            n += 2
        else:
            out[n, 0], out[n, 1], out[n, 2] = v0, m0 if m0 >= 0 else v1, m2 if m2 >= 0 else v2
            n += 1
    return out[:n].copy()


@njit(nogil=True, cache=True)
@no_type_check
def rounded_middles(verts, normals, a, b, rounding):
    """Between two ends each, moved from the middle towards the planes through both ends by a share."""
    out = np.empty((len(a), 3), np.float32)
    for i in range(len(a)):
        p, q = a[i], b[i]
        off_p, off_q = 0.0, 0.0
        for k in range(3):
            middle = (verts[p, k] + verts[q, k]) / 2
            off_p += (middle - verts[p, k]) * normals[p, k]
            off_q += (middle - verts[q, k]) * normals[q, k]
        for k in range(3):
            lift = (off_p * normals[p, k] + off_q * normals[q, k]) / 2
            out[i, k] = (verts[p, k] + verts[q, k]) / 2 - rounding * lift
    return out
