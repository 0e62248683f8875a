"""Compiled z-buffer: set-up of triangles, visibility, barycentrics and depth, and their reverse.

Symbols: M has a triangle's corners v0 v1 v2 (camera frame, metres) as columns, d a pixel's ray with z = 1,
n_i = v_j x v_k for cyclic i j k, D = det M = v0 . n0.

Forward (rules: ``render.mesh.reference``): E_i = n_i . d is linear in the pixel's place; a pixel is hit
where all E_i sign(D) > 0, or = 0 on the edges that the triangle owns; its inverse depth is s = sum E_i / D,
its barycentrics E_i / sum E. The E_i are not divided by D before their signs are looked at: two triangles
that share an edge then get exactly opposite numbers for it (in float64 and without fused multiply-add), so
that no pixel falls between them or to both.

Backward. With q = M^-1 d = barycentrics / z and upstream gradients g_b, g_z: dL/dq_k = z (g_b_k - g_b . b -
z g_z), and as dq = -M^-1 dM q, the corners get dL/dv_j = -y q_j with y = M^-T dL/dq = sum_k (dL/dq_k) n_k /
D.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.mesh import reference
from simulacra.render.mesh.reference import FLAT, NEAR
from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__, reference.__file__)

# One row a triangle: (a b c) of E_0, E_1, E_2 at a pixel centre: a x + b y + c, times sign(D); |D|; then the
# least E_0, E_1, E_2 that are inside: 0 on edges that the triangle owns, else the least number above it.
SETUP = 13
LEAST = 2.0**-1022
FLAT_SHARE = FLAT * 2.0**-52

# What of a triangle's two sides is drawn, as the kernels take it.
CULL = {"none": 0, "back": 1, "front": 2}


@njit(inline="always")
@no_type_check
def _cross(a0, a1, a2, b0, b1, b2):
    return a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0


@kernel()
@no_type_check
def set_up(local, faces, K, width, height, cull, start, stop, setup, boxes):
    """Edge functions and pixel boxes (x0 x1 y0 y1, inclusive; empty if x1 < x0) of triangles start..stop."""
    fx, fy, cx, cy = np.float64(K[0, 0]), np.float64(K[1, 1]), np.float64(K[0, 2]), np.float64(K[1, 2])
    camera = (1.0 / fx, 1.0 / fy, cx / fx, cy / fy)
    corner = np.empty((3, 3), np.float64)
    for face in range(start, stop):
        for i in range(3):
            for k in range(3):
                corner[i, k] = local[faces[face, i], k]
        a0, a1, a2 = corner[0, 0], corner[0, 1], corner[0, 2]
        b0, b1, b2 = corner[1, 0], corner[1, 1], corner[1, 2]
        c0, c1, c2 = corner[2, 0], corner[2, 1], corner[2, 2]
        n = _cross(b0, b1, b2, c0, c1, c2)
        determinant = a0 * n[0] + a1 * n[1] + a2 * n[2]
        size = (
            abs(a0) * (abs(b1 * c2) + abs(b2 * c1))
            + abs(a1) * (abs(b2 * c0) + abs(b0 * c2))
            + abs(a2) * (abs(b0 * c1) + abs(b1 * c0))
        )
        culled = (cull == 1 and determinant > 0) or (cull == 2 and determinant < 0)
        if culled or not abs(determinant) > FLAT_SHARE * size or not math.isfinite(determinant):
            boxes[face, 0], boxes[face, 1], boxes[face, 2], boxes[face, 3] = 0, -1, 0, -1
            continue
        sign = 1.0 if determinant > 0 else -1.0
        row = setup[face]
        _edge_function(n, sign, camera, row, 0)
        _edge_function(_cross(c0, c1, c2, a0, a1, a2), sign, camera, row, 1)
        _edge_function(_cross(a0, a1, a2, b0, b1, b2), sign, camera, row, 2)
        row[9] = sign * determinant
        _box(corner, fx, fy, cx, cy, width, height, boxes[face])


@njit(inline="always")
@no_type_check
def _edge_function(n, sign, camera, row, i):
    """Entries of edge i in a triangle's row of the set-up."""
    a, b = sign * n[0] * camera[0], sign * n[1] * camera[1]
    row[3 * i], row[3 * i + 1] = a, b
    row[3 * i + 2] = sign * (n[2] - n[0] * camera[2] - n[1] * camera[3])
    row[10 + i] = 0.0 if a > 0 or (a == 0 and b > 0) else LEAST


@njit(inline="always")
@no_type_check
def _box(corner, fx, fy, cx, cy, width, height, box):
    """Pixels around what lies beyond the near plane; a hair too large, the edge functions decide."""
    x_low, x_high, y_low, y_high = 1e30, -1e30, 1e30, -1e30
    crossing = False
    for i in range(3):
        if corner[i, 2] < NEAR:
            crossing = True
            continue
        inverse = 1.0 / corner[i, 2]
        x, y = fx * corner[i, 0] * inverse + cx, fy * corner[i, 1] * inverse + cy
        x_low, x_high, y_low, y_high = min(x_low, x), max(x_high, x), min(y_low, y), max(y_high, y)
    if crossing:
        for i in range(3):  # where an edge goes through the near plane
            j = (i + 1) % 3
            if (corner[i, 2] < NEAR) == (corner[j, 2] < NEAR):
                continue
            t = (NEAR - corner[i, 2]) / (corner[j, 2] - corner[i, 2])
            x = fx * (corner[i, 0] + t * (corner[j, 0] - corner[i, 0])) / NEAR + cx
            y = fy * (corner[i, 1] + t * (corner[j, 1] - corner[i, 1])) / NEAR + cy
            x_low, x_high, y_low, y_high = min(x_low, x), max(x_high, x), min(y_low, y), max(y_high, y)
    hair = 1e-3
    box[0] = int(min(max(math.ceil(x_low - 0.5 - hair), 0.0), float(width)))
    box[1] = int(max(min(math.floor(x_high - 0.5 + hair), width - 1.0), -1.0))
    box[2] = int(min(max(math.ceil(y_low - 0.5 - hair), 0.0), float(height)))
    box[3] = int(max(min(math.floor(y_high - 0.5 + hair), height - 1.0), -1.0))


@kernel()
@no_type_check
def draw(setup, boxes, start, stop, face_index, nearest, barycentrics, depth):
    """Image rows start..stop: the triangle of greatest inverse depth, first come first served, then its
    numbers.
    """
    width = face_index.shape[1]
    for y in range(start, stop):
        for x in range(width):
            face_index[y, x] = -1
            nearest[y, x] = 0.0
    farthest_inverse = 1.0 / NEAR
    for face in range(len(setup)):
        x0, x1, y0, y1 = (
            boxes[face, 0],
            boxes[face, 1],
            max(start, boxes[face, 2]),
            min(stop - 1, boxes[face, 3]),
        )
        if x1 < x0 or y1 < y0:
            continue
        a0, b0, c0 = setup[face, 0], setup[face, 1], setup[face, 2]
        a1, b1, c1 = setup[face, 3], setup[face, 4], setup[face, 5]
        a2, b2, c2 = setup[face, 6], setup[face, 7], setup[face, 8]
        t0, t1, t2 = setup[face, 10], setup[face, 11], setup[face, 12]
        scale = 1.0 / setup[face, 9]
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                e0, e1, e2 = a0 * px + (b0 * py + c0), a1 * px + (b1 * py + c1), a2 * px + (b2 * py + c2)
                if e0 >= t0 and e1 >= t1 and e2 >= t2:
                    inverse = (e0 + e1 + e2) * scale
                    if inverse > nearest[y, x] and inverse < farthest_inverse:
                        nearest[y, x] = inverse
                        face_index[y, x] = face
    for y in range(start, stop):
        for x in range(width):
            face = face_index[y, x]
            if face < 0:
                depth[y, x] = 0
                barycentrics[y, x, 0], barycentrics[y, x, 1], barycentrics[y, x, 2] = 0, 0, 0
                continue
            e0, e1, e2 = _edges(setup, face, x + 0.5, y + 0.5)
            total = 1.0 / (e0 + e1 + e2)
            barycentrics[y, x, 0], barycentrics[y, x, 1] = e0 * total, e1 * total
            barycentrics[y, x, 2] = e2 * total
            depth[y, x] = setup[face, 9] * total


@njit(inline="always")
@no_type_check
def _edges(setup, face, px, py):
    return (
        setup[face, 0] * px + (setup[face, 1] * py + setup[face, 2]),
        setup[face, 3] * px + (setup[face, 4] * py + setup[face, 5]),
        setup[face, 6] * px + (setup[face, 7] * py + setup[face, 8]),
    )


@kernel()
@no_type_check
def draw_backward(
    local, faces, setup, boxes, start, stop, face_index, grad_barycentrics, grad_depth, grad_corners
):
    """Gradients of the corners (camera frame) of triangles start..stop, summed over the pixels that show
    them.
    """
    for face in range(start, stop):
        for i in range(3):
            for k in range(3):
                grad_corners[face, i, k] = 0.0
        if boxes[face, 1] < boxes[face, 0]:
            continue
        scale = 1.0 / setup[face, 9]
        # sum over pixels of (dL/dq_k) q_j
        s00, s01, s02, s10, s11, s12, s20, s21, s22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        seen = False
        for y in range(boxes[face, 2], boxes[face, 3] + 1):
            for x in range(boxes[face, 0], boxes[face, 1] + 1):
                if face_index[y, x] != face:
                    continue
                seen = True
                e0, e1, e2 = _edges(setup, face, x + 0.5, y + 0.5)
                q0, q1, q2 = e0 * scale, e1 * scale, e2 * scale
                z = 1.0 / (q0 + q1 + q2)
                g0, g1 = np.float64(grad_barycentrics[y, x, 0]), np.float64(grad_barycentrics[y, x, 1])
                g2 = np.float64(grad_barycentrics[y, x, 2])
                common = z * (g0 * q0 + g1 * q1 + g2 * q2 + grad_depth[y, x])
                h0, h1, h2 = z * (g0 - common), z * (g1 - common), z * (g2 - common)
                s00, s01, s02 = s00 + h0 * q0, s01 + h0 * q1, s02 + h0 * q2
                s10, s11, s12 = s10 + h1 * q0, s11 + h1 * q1, s12 + h1 * q2
                s20, s21, s22 = s20 + h2 * q0, s21 + h2 * q1, s22 + h2 * q2
        if seen:
            _corners(local, faces, face, ((s00, s01, s02), (s10, s11, s12), (s20, s21, s22)), grad_corners)


@njit(inline="always")
@no_type_check
def _corners(local, faces, face, sums, grad_corners):
    """dL/dv_j = -sum_k sums[k][j] n_k / D."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    a0, a1, a2 = np.float64(local[a, 0]), np.float64(local[a, 1]), np.float64(local[a, 2])
    b0, b1, b2 = np.float64(local[b, 0]), np.float64(local[b, 1]), np.float64(local[b, 2])
    c0, c1, c2 = np.float64(local[c, 0]), np.float64(local[c, 1]), np.float64(local[c, 2])
    n0 = _cross(b0, b1, b2, c0, c1, c2)
    n1 = _cross(c0, c1, c2, a0, a1, a2)
    n2 = _cross(a0, a1, a2, b0, b1, b2)
    scale = -1.0 / (a0 * n0[0] + a1 * n0[1] + a2 * n0[2])
    for j in range(3):
        for k in range(3):
            grad_corners[face, j, k] = scale * (sums[0][j] * n0[k] + sums[1][j] * n1[k] + sums[2][j] * n2[k])


@kernel()
@no_type_check
def gather(attributes, faces, face_index, barycentrics, start, stop, image):
    """Attributes of the corners, weighted, for image rows start..stop; zero where there is no triangle."""
    for y in range(start, stop):
        for x in range(face_index.shape[1]):
            face = face_index[y, x]
            for d in range(attributes.shape[1]):
                image[y, x, d] = 0
            if face >= 0:
                for i in range(3):
                    vertex, weight = faces[face, i], barycentrics[y, x, i]
                    for d in range(attributes.shape[1]):
                        image[y, x, d] += weight * attributes[vertex, d]


@kernel()
@no_type_check
def gather_backward(
    attributes, faces, face_index, barycentrics, grad_image, grad_attributes, grad_barycentrics
):
    """Adds to the attributes' gradient pixel by pixel, one thread: always the same order, the same bits."""
    for y in range(face_index.shape[0]):
        for x in range(face_index.shape[1]):
            face = face_index[y, x]
            for i in range(3):
                total = np.float32(0)
                if face >= 0:
                    vertex, weight = faces[face, i], barycentrics[y, x, i]
                    for d in range(attributes.shape[1]):
                        total += grad_image[y, x, d] * attributes[vertex, d]
                        grad_attributes[vertex, d] += weight * grad_image[y, x, d]
                grad_barycentrics[y, x, i] = total


@kernel()
@no_type_check
def add_to_vertices(faces, grad_corners, grad_vertices):
    """Corners' gradients to the vertices they belong to, in the order of the triangles."""
    for face in range(len(faces)):
        for i in range(3):
            for k in range(3):
                grad_vertices[faces[face, i], k] += grad_corners[face, i, k]
