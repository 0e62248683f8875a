"""Compiled kernels of ``render.mesh.normals``.

A vertex's normal is s / |s| with s the sum of n = (b - a) x (c - a) over its triangles a b c. Backward, with g
the normal's gradient: ds = (g - (g . s^) s^) / |s|; every triangle has m = ds of a + ds of b + ds of c, and
n . m changes with a by (b - c) x m, with b by (c - a) x m, with c by (a - b) x m.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__)

LEAST_LENGTH = 1e-12  # square metres: below it a normal is divided by this, as torch's normalize does


@njit(inline="always")
@no_type_check
def _cross(a0, a1, a2, b0, b1, b2):
    return a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0


@njit(inline="always")
@no_type_check
def _side(verts, p, q):
    """From vertex p to vertex q."""
    return (
        np.float64(verts[q, 0]) - verts[p, 0],
        np.float64(verts[q, 1]) - verts[p, 1],
        np.float64(verts[q, 2]) - verts[p, 2],
    )


@kernel()
@no_type_check
def vertex_normals(verts, faces, sums, normals):
    """Sums of the triangles' normals, and unit normals."""
    sums[:] = 0.0
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        (p0, p1, p2), (q0, q1, q2) = _side(verts, a, b), _side(verts, a, c)
        n = _cross(p0, p1, p2, q0, q1, q2)
        for k in range(3):
            sums[a, k] += n[k]
            sums[b, k] += n[k]
            sums[c, k] += n[k]
    for vertex in range(len(verts)):
        s0, s1, s2 = sums[vertex, 0], sums[vertex, 1], sums[vertex, 2]
        length = max(math.sqrt(s0 * s0 + s1 * s1 + s2 * s2), LEAST_LENGTH)
        normals[vertex, 0], normals[vertex, 1], normals[vertex, 2] = s0 / length, s1 / length, s2 / length


@kernel()
@no_type_check
def vertex_normals_backward(verts, faces, sums, upstream, grad):
    """Gradient of the vertices, triangle by triangle: always the same order, the same bits."""
    inner = np.empty((len(verts), 3), np.float64)
    for vertex in range(len(verts)):
        s0, s1, s2 = sums[vertex, 0], sums[vertex, 1], sums[vertex, 2]
        length = math.sqrt(s0 * s0 + s1 * s1 + s2 * s2)
        g0, g1, g2 = (
            np.float64(upstream[vertex, 0]),
            np.float64(upstream[vertex, 1]),
            np.float64(upstream[vertex, 2]),
        )
        along = 0.0
        if length > LEAST_LENGTH:
            along = (g0 * s0 + g1 * s1 + g2 * s2) / (length * length)
        length = max(length, LEAST_LENGTH)
        inner[vertex, 0], inner[vertex, 1] = (g0 - along * s0) / length, (g1 - along * s1) / length
        inner[vertex, 2] = (g2 - along * s2) / length
    grad[:] = 0.0
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        m0 = inner[a, 0] + inner[b, 0] + inner[c, 0]
        m1 = inner[a, 1] + inner[b, 1] + inner[c, 1]
        m2 = inner[a, 2] + inner[b, 2] + inner[c, 2]
        (p0, p1, p2), (q0, q1, q2), (r0, r1, r2) = _side(verts, c, b), _side(verts, a, c), _side(verts, b, a)
        to_a, to_b, to_c = (
            _cross(p0, p1, p2, m0, m1, m2),
            _cross(q0, q1, q2, m0, m1, m2),
            _cross(r0, r1, r2, m0, m1, m2),
        )
        for k in range(3):
            grad[a, k] += to_a[k]
            grad[b, k] += to_b[k]
            grad[c, k] += to_c[k]
