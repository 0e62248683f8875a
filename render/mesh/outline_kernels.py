"""Compiled kernels of ``render.mesh.antialias``, where the method is described.

Distance of a crossing. An edge a-b meets the line through both pixel centres where its coordinate
``beside`` the axis is the centres': with da, db those coordinates relative to the centre, t = da / (da -
db), and the distance is d = direction (a + t (b - a) - centre) along the axis. Hence dd/da_along =
direction (1 - t), dd/db_along = direction t, dd/dda = -direction (b - a) db / (da - db)^2, dd/ddb =
direction (b - a) da / (da - db)^2.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from render.compiled import kernel_compiler

kernel = kernel_compiler(__file__)


@kernel()
@no_type_check
def mark_outlines(local, faces, neighbours, near, outlines):
    """The compiled ``render.mesh.antialias.outline_edges`` for one camera."""
    away = np.empty(len(faces), np.bool_)
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        determinant = (
            local[a, 0] * (local[b, 1] * local[c, 2] - local[b, 2] * local[c, 1])
            + local[a, 1] * (local[b, 2] * local[c, 0] - local[b, 0] * local[c, 2])
            + local[a, 2] * (local[b, 0] * local[c, 1] - local[b, 1] * local[c, 0])
        )
        away[face] = determinant > 0
    for face in range(len(faces)):
        in_front = (
            local[faces[face, 0], 2] > near
            and local[faces[face, 1], 2] > near
            and local[faces[face, 2], 2] > near
        )
        for i in range(3):
            neighbour = neighbours[face, i]
            outlines[face, i] = in_front and (neighbour < 0 or away[neighbour] != away[face])


@kernel()
@no_type_check
def find(screen, faces, outlines, face_index, depth, integers, floats):
    """Fill the pairs' rows, pixel by pixel, to the right before downwards; returns how many."""
    height, width = face_index.shape
    count = 0
    for y in range(height):
        for x in range(width):
            here = face_index[y, x]
            for axis in range(2):
                x2, y2 = x + 1 - axis, y + axis
                if x2 >= width or y2 >= height:
                    continue
                there = face_index[y2, x2]
                if here == there:
                    continue
                first_nearer = here >= 0 and (there < 0 or depth[y, x] < depth[y2, x2])
                face = here if first_nearer else there
                if not (outlines[face, 0] or outlines[face, 1] or outlines[face, 2]):
                    continue
                nx, ny, direction = (x, y, 1.0) if first_nearer else (x2, y2, -1.0)
                if not _crossing(
                    screen, faces, outlines, face, nx, ny, axis, direction, integers[count], floats[count]
                ):
                    continue
                near, far = ny * width + nx, (y2 if first_nearer else y) * width + (x2 if first_nearer else x)
                beyond = floats[count, 0] > 0.5
                integers[count, 0], integers[count, 1] = (far, near) if beyond else (near, far)
                for i in range(1, 5):
                    floats[count, i] *= 1.0 if beyond else -1.0
                floats[count, 0] = abs(floats[count, 0] - 0.5)
                count += 1
    return count


@njit(inline="always")
@no_type_check
def _crossing(screen, faces, outlines, face, x, y, axis, direction, ends, numbers):
    """The last outline edge between two centres: its ends to ``ends[2:]``, distance and slopes to
    ``numbers``.
    """
    best = -1.0
    along, beside = (x + 0.5, y + 0.5) if axis == 0 else (y + 0.5, x + 0.5)
    for i in range(3):
        if not outlines[face, i]:
            continue
        a, b = faces[face, i], faces[face, (i + 1) % 3]
        da, db = screen[a, 1 - axis] - beside, screen[b, 1 - axis] - beside
        if (da < 0.0) == (db < 0.0):
            continue
        t = da / (da - db)
        length = np.float64(screen[b, axis]) - screen[a, axis]
        distance = (screen[a, axis] + t * length - along) * direction
        if distance < 0.0 or distance > 1.0 or distance <= best:
            continue
        best = distance
        ends[2], ends[3] = a, b
        slope = direction * length / ((da - db) * (da - db))
        numbers[0] = distance
        numbers[1 + axis], numbers[2 - axis] = direction * (1.0 - t), -slope * db
        numbers[3 + axis], numbers[4 - axis] = direction * t, slope * da
    return best >= 0.0


@kernel()
@no_type_check
def blend(integers, amounts, image, result):
    """result[target] += amount (image[source] - image[target])."""
    for i in range(len(amounts)):
        target, source = integers[i, 0], integers[i, 1]
        for channel in range(image.shape[1]):
            result[target, channel] += amounts[i] * (image[source, channel] - image[target, channel])


@kernel()
@no_type_check
def blend_backward(integers, amounts, slopes, image, grad_result, grad_image, grad_screen):
    """Adds to both gradients pair by pair; ``grad_image`` begins as ``grad_result``."""
    for i in range(len(amounts)):
        target, source, a, b = integers[i, 0], integers[i, 1], integers[i, 2], integers[i, 3]
        grad_amount = 0.0
        for channel in range(image.shape[1]):
            g = grad_result[target, channel]
            grad_amount += g * (image[source, channel] - image[target, channel])
            grad_image[source, channel] += amounts[i] * g
            grad_image[target, channel] -= amounts[i] * g
        for k in range(2):
            grad_screen[a, k] += grad_amount * slopes[i, k]
            grad_screen[b, k] += grad_amount * slopes[i, 2 + k]
