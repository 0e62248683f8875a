"""Compiled kernels of ``render.mesh.antialias``, where the method is described.

Distance of a crossing. The line through both pixel centres and the camera's centre span a plane. An edge
a-b (camera frame) meets it where e = p_other - s p_z is zero, s being the centres' place on the other axis
over the focal length: at P = a + t (b - a) with t = ea / (ea - eb), if ea and eb have different signs. The
distance is d = direction (f P_axis / P_z + c - centre).

Slopes. With n = a x b the edge's projection is the line n . (x, y, 1) = 0, so that for D = P / P_z
dd = -direction f / n_axis (D . dn), and as dn = da x b + a x db:

    dd/da = -direction f / n_axis (b x D),    dd/db = -direction f / n_axis (D x a).
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.mesh import reference
from simulacra.render.mesh.reference import NEAR
from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__, reference.__file__)

STEPS = 64  # edges that the way from centre to centre may cross before the outline, the outline included


@kernel()
@no_type_check
def mark_outlines(local, faces, neighbours, outlines, on_outline):
    """The compiled ``render.mesh.antialias.outline_edges`` for one camera, and the vertices on such edges."""
    on_outline[:] = False
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
        for i in range(3):
            neighbour = neighbours[face, i]
            outlines[face, i] = neighbour < 0 or away[neighbour] != away[face]
            if outlines[face, i]:
                on_outline[faces[face, i]] = on_outline[faces[face, (i + 1) % 3]] = True


@kernel()
@no_type_check
def find(local, K, faces, neighbours, outlines, on_outline, face_index, depth, integers, floats):
    """Fill the pairs' rows, pixel by pixel, to the right before downwards; returns how many."""
    height, width = face_index.shape
    count = 0
    for y in range(height):
        for x in range(width):
            here = face_index[y, x]
            right, below = x + 1 < width, y + 1 < height
            if (not right or face_index[y, x + 1] == here) and (not below or face_index[y + 1, x] == here):
                continue
            for axis in range(2):
                x2, y2 = x + 1 - axis, y + axis
                if x2 >= width or y2 >= height:
                    continue
                there = face_index[y2, x2]
                if here == there:
                    continue
                first_nearer = here >= 0 and (there < 0 or depth[y, x] < depth[y2, x2])
                face, beyond = (here, there) if first_nearer else (there, here)
                if _share_vertex(face, beyond, faces, on_outline):
                    continue
                nx, ny, direction = (x, y, 1.0) if first_nearer else (x2, y2, -1.0)
                row, numbers = integers[count], floats[count]
                if not _follow(
                    local, K, faces, neighbours, outlines, face, beyond, nx, ny, axis, direction, row, numbers
                ):
                    continue
                near, far = ny * width + nx, (y2 if first_nearer else y) * width + (x2 if first_nearer else x)
                beyond_middle = numbers[0] > 0.5
                row[0], row[1] = (far, near) if beyond_middle else (near, far)
                for i in range(1, 7):
                    numbers[i] *= 1.0 if beyond_middle else -1.0
                numbers[0] = abs(numbers[0] - 0.5)
                count += 1
    return count


@njit(inline="always")
@no_type_check
def _share_vertex(face, other, faces, on_outline):
    """Whether two triangles meet in a vertex within the surface that is seen."""
    if other < 0:
        return False
    found = False
    for i in range(3):
        vertex = faces[face, i]
        same = vertex == faces[other, 0] or vertex == faces[other, 1] or vertex == faces[other, 2]
        found |= same and not on_outline[vertex]
    return found


@njit
@no_type_check
def _follow(local, K, faces, neighbours, outlines, face, last, x, y, axis, direction, row, numbers):
    """Follow the way from centre to centre to an outline edge: its ends to ``row[2:]``, distance and slopes
    to ``numbers``.
    """
    other = 1 - axis
    along, beside = (x + 0.5, y + 0.5) if axis == 0 else (y + 0.5, x + 0.5)
    slope = (beside - K[other, 2]) / K[other, other]
    entry_a, entry_b = -1, -1
    for _ in range(STEPS):
        best, best_t, left = -1.0, 0.0, -1
        for i in range(3):
            a, b = faces[face, i], faces[face, (i + 1) % 3]
            ea, eb = local[a, other] - slope * local[a, 2], local[b, other] - slope * local[b, 2]
            if (ea < 0.0) == (eb < 0.0):
                continue
            if (a == entry_a and b == entry_b) or (a == entry_b and b == entry_a):
                continue
            t = ea / (ea - eb)
            z = local[a, 2] + t * (local[b, 2] - local[a, 2])
            if z < NEAR:
                continue
            place = local[a, axis] + t * (local[b, axis] - local[a, axis])
            distance = (K[axis, axis] * place / z + K[axis, 2] - along) * direction
            if distance < 0.0 or distance > 1.0 or distance <= best:
                continue
            best, best_t, left = distance, t, i
        if left < 0:
            return False
        entry_a, entry_b = faces[face, left], faces[face, (left + 1) % 3]
        if outlines[face, left]:
            row[2], row[3] = entry_a, entry_b
            numbers[0] = best
            return _slopes(local, K, entry_a, entry_b, best_t, axis, direction, numbers)
        face = neighbours[face, left]
        if face == last:
            return False
    return False


@njit
@no_type_check
def _slopes(local, K, a, b, t, axis, direction, numbers):
    """Derivatives of the distance by the ends' x, y, z; whether the edge is one for pairs along this axis."""
    a0, a1, a2 = local[a, 0], local[a, 1], local[a, 2]
    b0, b1, b2 = local[b, 0], local[b, 1], local[b, 2]
    n0, n1 = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2
    steep = abs(n0) * K[1, 1] >= abs(n1) * K[0, 0]
    if steep != (axis == 0):
        return False
    z = a2 + t * (b2 - a2)
    d0, d1 = (a0 + t * (b0 - a0)) / z, (a1 + t * (b1 - a1)) / z
    scale = -direction * K[axis, axis] / (n0 if axis == 0 else n1)
    numbers[1], numbers[2] = scale * (b1 - b2 * d1), scale * (b2 * d0 - b0)
    numbers[3] = scale * (b0 * d1 - b1 * d0)
    numbers[4], numbers[5] = scale * (d1 * a2 - a1), scale * (a0 - d0 * a2)
    numbers[6] = scale * (d0 * a1 - d1 * a0)
    return True


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
def blend_backward(integers, amounts, slopes, image, grad_result, grad_image, grad_local):
    """Adds to both gradients pair by pair; ``grad_image`` begins as ``grad_result``."""
    for i in range(len(amounts)):
        target, source, a, b = integers[i, 0], integers[i, 1], integers[i, 2], integers[i, 3]
        grad_amount = 0.0
        for channel in range(image.shape[1]):
            g = grad_result[target, channel]
            grad_amount += g * (image[source, channel] - image[target, channel])
            grad_image[source, channel] += amounts[i] * g
            grad_image[target, channel] -= amounts[i] * g
        for k in range(3):
            grad_local[a, k] += grad_amount * slopes[i, k]
            grad_local[b, k] += grad_amount * slopes[i, 3 + k]
