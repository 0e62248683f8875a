"""Compiled kernels of ``render.mesh.lighting``.

``q`` are the light's nine coefficients times the basis functions' factors and A_l / pi, so that E / pi is a
polynomial of the normal: q0 + q1 y + q2 z + q3 x + q4 xy + q5 yz + q6 (3 z^2 - 1) + q7 xz + q8 (x^2 - y^2).
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__)


@njit(inline="always")
@no_type_check
def _irradiance(q, k, x, y, z):
    return (
        q[0, k] + q[1, k] * y + q[2, k] * z + q[3, k] * x
        + q[4, k] * x * y + q[5, k] * y * z + q[6, k] * (3 * z * z - 1) + q[7, k] * x * z + q[8, k] * (x * x - y * y)
    )  # fmt: skip


@kernel()
@no_type_check
def shade(normals, q, albedo, start, stop, result):
    """Rows start..stop."""
    for i in range(start, stop):
        x, y, z = np.float64(normals[i, 0]), np.float64(normals[i, 1]), np.float64(normals[i, 2])
        for k in range(q.shape[1]):
            result[i, k] = albedo[i, k] * _irradiance(q, k, x, y, z)


@kernel()
@no_type_check
def shade_backward(normals, q, albedo, grad_result, start, stop, grad_normals, grad_albedo, grad_q):
    """Rows start..stop; ``grad_q`` is theirs alone."""
    grad_q[:] = 0.0
    for i in range(start, stop):
        x, y, z = np.float64(normals[i, 0]), np.float64(normals[i, 1]), np.float64(normals[i, 2])
        grad_x, grad_y, grad_z = 0.0, 0.0, 0.0
        for k in range(q.shape[1]):
            upstream = np.float64(grad_result[i, k])
            grad_albedo[i, k] = upstream * _irradiance(q, k, x, y, z)
            g = upstream * albedo[i, k]
            grad_x += g * (q[3, k] + q[4, k] * y + q[7, k] * z + 2 * q[8, k] * x)
            grad_y += g * (q[1, k] + q[4, k] * x + q[5, k] * z - 2 * q[8, k] * y)
            grad_z += g * (q[2, k] + q[5, k] * y + 6 * q[6, k] * z + q[7, k] * x)
            grad_q[0, k] += g
            grad_q[1, k] += g * y
            grad_q[2, k] += g * z
            grad_q[3, k] += g * x
            grad_q[4, k] += g * x * y
            grad_q[5, k] += g * y * z
            grad_q[6, k] += g * (3 * z * z - 1)
            grad_q[7, k] += g * x * z
            grad_q[8, k] += g * (x * x - y * y)
        grad_normals[i, 0], grad_normals[i, 1], grad_normals[i, 2] = grad_x, grad_y, grad_z
