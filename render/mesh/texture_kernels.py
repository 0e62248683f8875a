"""Compiled kernels of ``render.mesh.texture``, where coordinates and levels are defined.

Backward of a bilinear sample. With texels p q in the upper row and r s in the lower, shares a to the right
and b downwards, S = (1-b) ((1-a) p + a q) + b ((1-a) r + a s):

    dS/du = width ((1-b) (q - p) + b (s - r)),    dS/dv = -height ((1-a) (r - p) + a (s - q)),

and p q r s get the shares themselves. Between two levels everything is weighted with theirs.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__)

# Steps in the texture shorter than 2^-20 texels count as that: where a triangle's coordinates are all the same.
LEAST_SQUARE = 2.0**-40


@njit(inline="always")
@no_type_check
def _wrap_index(i, size, wrap):
    if wrap:
        return i % size
    return min(max(i, 0), size - 1)


@njit(inline="always")
@no_type_check
def _taps(sizes, level, u, v, wrap):
    """Rows of the four texels (upper left, right, lower left, right) and the shares to the right and below."""
    first, height, width = sizes[level, 0], sizes[level, 1], sizes[level, 2]
    x, y = u * width - 0.5, (1.0 - v) * height - 0.5
    column, row = math.floor(x), math.floor(y)
    j0, j1 = _wrap_index(np.int64(column), width, wrap), _wrap_index(np.int64(column) + 1, width, wrap)
    i0, i1 = _wrap_index(np.int64(row), height, wrap), _wrap_index(np.int64(row) + 1, height, wrap)
    i0, i1 = first + i0 * width, first + i1 * width
    return i0 + j0, i0 + j1, i1 + j0, i1 + j1, x - column, y - row


@njit(inline="always")
@no_type_check
def _levels(level, last):
    """The two levels between which to sample, and the second one's share."""
    level = min(max(np.float64(level), 0.0), np.float64(last))
    lower = np.int64(math.floor(level))
    return lower, min(lower + 1, last), level - lower


@kernel()
@no_type_check
def sample(texels, sizes, uvs, levels, mask, wrap, start, stop, image):
    """Image rows start..stop."""
    channels, last = texels.shape[1], len(sizes) - 1
    for y in range(start, stop):
        for x in range(mask.shape[1]):
            for k in range(channels):
                image[y, x, k] = 0
            if not mask[y, x]:
                continue
            lower, upper, share = _levels(levels[y, x], last)
            u, v = np.float64(uvs[y, x, 0]), np.float64(uvs[y, x, 1])
            for step in range(1 if share == 0.0 else 2):
                weight = share if step else 1.0 - share
                p, q, r, s, a, b = _taps(sizes, upper if step else lower, u, v, wrap)
                wp, wq = np.float32(weight * (1 - a) * (1 - b)), np.float32(weight * a * (1 - b))
                wr, ws = np.float32(weight * (1 - a) * b), np.float32(weight * a * b)
                for k in range(channels):
                    image[y, x, k] += (
                        wp * texels[p, k] + wq * texels[q, k] + wr * texels[r, k] + ws * texels[s, k]
                    )


@kernel()
@no_type_check
def sample_backward(texels, sizes, uvs, levels, mask, wrap, grad_image, grad_texels, grad_uvs, grad_levels):
    """Adds to the texels' gradient pixel by pixel, one thread: always the same order, the same bits. The
    other two gradients are written.
    """
    channels, last = texels.shape[1], len(sizes) - 1
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            grad_uvs[y, x, 0], grad_uvs[y, x, 1], grad_levels[y, x] = 0, 0, 0
            if not mask[y, x]:
                continue
            lower, upper, share = _levels(levels[y, x], last)
            u, v = np.float64(uvs[y, x, 0]), np.float64(uvs[y, x, 1])
            grad_u, grad_v, grad_level = 0.0, 0.0, 0.0
            for step in range(1 if lower == upper else 2):
                weight = share if step else 1.0 - share
                level = upper if step else lower
                p, q, r, s, a, b = _taps(sizes, level, u, v, wrap)
                wp, wq, wr, ws = (1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b
                along, down, value = 0.0, 0.0, 0.0
                for k in range(channels):
                    g = np.float64(grad_image[y, x, k])
                    tp, tq = np.float64(texels[p, k]), np.float64(texels[q, k])
                    tr, ts = np.float64(texels[r, k]), np.float64(texels[s, k])
                    along += g * ((1 - b) * (tq - tp) + b * (ts - tr))
                    down += g * ((1 - a) * (tr - tp) + a * (ts - tq))
                    value += g * (wp * tp + wq * tq + wr * tr + ws * ts)
                    scaled = g * weight
                    grad_texels[p, k] += scaled * wp
                    grad_texels[q, k] += scaled * wq
                    grad_texels[r, k] += scaled * wr
                    grad_texels[s, k] += scaled * ws
                grad_u += weight * sizes[level, 2] * along
                grad_v -= weight * sizes[level, 1] * down
                grad_level += value if step else -value
            grad_uvs[y, x, 0], grad_uvs[y, x, 1] = grad_u, grad_v
            if lower < upper and levels[y, x] >= 0.0:
                grad_levels[y, x] = grad_level


@kernel()
@no_type_check
def mip_levels(uvs, face_uvs, local, faces, K, height, width, face_index, start, stop, levels):
    """The compiled ``render.mesh.texture.mip_levels`` for image rows start..stop of one camera.

    Barycentrics times D / depth are E_i = n_i . d, which are computed anew: in float64 they cost little.
    """
    fx, fy, cx, cy = np.float64(K[0, 0]), np.float64(K[1, 1]), np.float64(K[0, 2]), np.float64(K[1, 2])
    n = np.empty((3, 3), np.float64)
    e = np.empty(3, np.float64)
    for y in range(start, stop):
        for x in range(face_index.shape[1]):
            face = face_index[y, x]
            levels[y, x] = 0
            if face < 0:
                continue
            d0, d1 = (x + 0.5 - cx) / fx, (y + 0.5 - cy) / fy
            for i in range(3):
                p, q = faces[face, (i + 1) % 3], faces[face, (i + 2) % 3]
                p0, p1, p2 = np.float64(local[p, 0]), np.float64(local[p, 1]), np.float64(local[p, 2])
                q0, q1, q2 = np.float64(local[q, 0]), np.float64(local[q, 1]), np.float64(local[q, 2])
                n[i, 0], n[i, 1], n[i, 2] = p1 * q2 - p2 * q1, p2 * q0 - p0 * q2, p0 * q1 - p1 * q0
                e[i] = n[i, 0] * d0 + n[i, 1] * d1 + n[i, 2]
            total = e[0] + e[1] + e[2]
            if total == 0.0:
                continue
            across, down = 0.0, 0.0
            for k in range(2):
                texels = width if k == 0 else height
                u0, u1 = np.float64(uvs[face_uvs[face, 0], k]), np.float64(uvs[face_uvs[face, 1], k])
                u2 = np.float64(uvs[face_uvs[face, 2], k])
                u = (e[0] * u0 + e[1] * u1 + e[2] * u2) / total
                dx = (n[0, 0] * (u0 - u) + n[1, 0] * (u1 - u) + n[2, 0] * (u2 - u)) / (fx * total)
                dy = (n[0, 1] * (u0 - u) + n[1, 1] * (u1 - u) + n[2, 1] * (u2 - u)) / (fy * total)
                across, down = across + (texels * dx) ** 2, down + (texels * dy) ** 2
            levels[y, x] = 0.5 * math.log2(max(across, down, LEAST_SQUARE))
