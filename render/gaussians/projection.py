"""Compiled projection of Gaussians to one screen, eight at a time; ``projection_backward`` is its reverse.

Symbols, all per Gaussian: ``R`` its rotation, ``s`` its scales, ``W t`` the camera's rotation and
translation, ``x y z`` its centre in the camera, ``J`` the Jacobian of the perspective there (2x3).

Forward. With M = R diag(s) and the 2x3 matrix U = J W M, the screen covariance is C = U U^T + 0.3 I. Its
determinant is taken as |u0 x u1|^2 + 0.3 (|u0|^2 + |u1|^2) + 0.09 (Lagrange's identity), which cannot
cancel. What blending needs is e = log2(alpha) at an offset (dx, dy) from the centre,

    e = log2(opacity) - A dx^2 + B' dx dy - D dy^2,    (A, -B'/2, D) = C^-1 log2(e) / 2,

and the half sizes of the box in which alpha can reach 1/255: sqrt(2 ln(255 opacity) C_xx), and the same
with C_yy. Opacities come as logits and scales as logarithms: their functions cost less here than as passes
over memory.

In mode ``antialiased`` the opacity is multiplied by |u0 x u1| / sqrt(determinant), in logarithms. Numbers
are those of ``render.gaussians.reference``.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.gaussians import reference, simd, simd_math, simd_memory
from simulacra.render.gaussians.simd import (
    FAST,
    LANES,
    any_lane,
    both,
    ceil,
    floor,
    greater,
    greater_equal,
    less,
    maximum,
    minimum,
    select,
    square_root,
)
from simulacra.render.gaussians.simd_math import exp2, log2, log2_sigmoid
from simulacra.render.gaussians.simd_memory import load_rows, store_rows
from simulacra.render.runtime.compiled import kernel_compiler

SOURCES = (__file__, simd.__file__, simd_math.__file__, simd_memory.__file__, reference.__file__)
kernel = kernel_compiler(*SOURCES)

# One record a Gaussian and camera, 16 floats: one cache line.
RECORD = 16
X, Y, A, B, D, LOG2_OPACITY, HALF_X, HALF_Y, RED, GREEN, BLUE, DEPTH = range(12)
# One slot a Gaussian and tile: sums over the tile's pixels of v times the monomials, then the color's
# gradients.
SLOT = 10
SUM_1, SUM_X, SUM_Y, SUM_XX, SUM_XY, SUM_YY, SUM_RED, SUM_GREEN, SUM_BLUE, SUM_DEPTH = range(SLOT)
CAMERA = 16  # rows of (rotation | translation), then fx fy cx cy

f32 = np.float32
ZERO, HALF, ONE, TWO = f32(0), f32(0.5), f32(1), f32(2)
NEAR = f32(reference.NEAR)
MARGIN = f32(0.5 * reference.JACOBIAN_MARGIN)
MAX_DETERMINANT = f32(reference.MAX_DETERMINANT)
LOG2_ALPHA_MIN = f32(math.log2(reference.ALPHA_MIN))
LOG2_E = f32(math.log2(math.e))
HALF_LOG2_E = f32(0.5 * math.log2(math.e))
TWO_LN_2 = f32(2.0 * math.log(2.0))
SHORTEST_SQUARED = f32(1e-30)  # of a quaternion's length
FARTHEST = f32(60)  # of the logarithm of a scale, in base 2
LEAST_RATIO = f32(1e-30)  # of determinants: a Gaussian that faint is not drawn
NOWHERE = f32(-1e6)  # half size of a box that holds no pixel


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def rotation(w, x, y, z):
    """Matrix of a unit quaternion, rows first."""
    return (
        ONE - TWO * (y * y + z * z),
        TWO * (x * y - w * z),
        TWO * (x * z + w * y),
        TWO * (x * y + w * z),
        ONE - TWO * (x * x + z * z),
        TWO * (y * z - w * x),
        TWO * (x * z - w * y),
        TWO * (y * z + w * x),
        ONE - TWO * (x * x + y * y),
    )


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def clamp(value, low, high):
    return minimum(maximum(value, low), high)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def scale(log_scale):
    """Its exponential; beyond 1e-18 and 1e18 metres nothing is drawn, so it may as well stop there."""
    return exp2(clamp(log_scale * LOG2_E, -FARTHEST, FARTHEST))


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def project(
    means,
    quats,
    log_scales,
    logit_opacities,
    rgb,
    offsets,
    camera,
    width,
    height,
    tile_width,
    tile_height,
    antialiased,
    dilation,
    start,
    stop,
    records,
    depths,
    tiles,
    radii,
):
    """Records, depths, tile ranges (x0 x1 y0 y1, inclusive; x1 < x0 if not drawn) and radii of Gaussians
    start..stop. Returns whether every quaternion has a direction.
    """
    w00, w01, w02, t0 = camera[0], camera[1], camera[2], camera[3]
    w10, w11, w12, t1 = camera[4], camera[5], camera[6], camera[7]
    w20, w21, w22, t2 = camera[8], camera[9], camera[10], camera[11]
    fx, fy, cx, cy = camera[12], camera[13], camera[14], camera[15]
    columns, rows = f32(width), f32(height)
    u_low, u_high = -(cx + MARGIN * columns) / fx, (columns - cx + MARGIN * columns) / fx
    v_low, v_high = -(cy + MARGIN * rows) / fy, (rows - cy + MARGIN * rows) / fy
    last = stop - 1
    sound = True
    for i in range(start, stop, LANES):
        mx, my, mz = (
            load_rows(means, i, last, 3, 0),
            load_rows(means, i, last, 3, 1),
            load_rows(means, i, last, 3, 2),
        )
        x = mx * w00 + my * w01 + mz * w02 + t0
        y = mx * w10 + my * w11 + mz * w12 + t1
        depth = mx * w20 + my * w21 + mz * w22 + t2
        in_front = greater(depth, NEAR)
        z = select(in_front, depth, ONE)

        qw, qx = load_rows(quats, i, last, 4, 0), load_rows(quats, i, last, 4, 1)
        qy, qz = load_rows(quats, i, last, 4, 2), load_rows(quats, i, last, 4, 3)
        squared = qw * qw + qx * qx + qy * qy + qz * qz
        sound = sound and not any_lane(less(squared, SHORTEST_SQUARED))
        norm = ONE / square_root(squared)
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(qw * norm, qx * norm, qy * norm, qz * norm)
        s0, s1, s2 = (
            scale(load_rows(log_scales, i, last, 3, 0)),
            scale(load_rows(log_scales, i, last, 3, 1)),
            scale(load_rows(log_scales, i, last, 3, 2)),
        )

        iz = ONE / z
        xz, yz = x * iz, y * iz
        u, v = clamp(xz, u_low, u_high), clamp(yz, v_low, v_high)
        # Rows of J W: J = [[fx/z, 0, -fx u/z], [0, fy/z, -fy v/z]].
        jx, jy = iz * fx, iz * fy
        a0, a1, a2 = jx * (w00 - u * w20), jx * (w01 - u * w21), jx * (w02 - u * w22)
        b0, b1, b2 = jy * (w10 - v * w20), jy * (w11 - v * w21), jy * (w12 - v * w22)
        u00, u01, u02 = (
            (a0 * r00 + a1 * r10 + a2 * r20) * s0,
            (a0 * r01 + a1 * r11 + a2 * r21) * s1,
            (a0 * r02 + a1 * r12 + a2 * r22) * s2,
        )
        u10, u11, u12 = (
            (b0 * r00 + b1 * r10 + b2 * r20) * s0,
            (b0 * r01 + b1 * r11 + b2 * r21) * s1,
            (b0 * r02 + b1 * r12 + b2 * r22) * s2,
        )
        raw_xx, raw_yy = u00 * u00 + u01 * u01 + u02 * u02, u10 * u10 + u11 * u11 + u12 * u12
        c_xx, c_yy = raw_xx + dilation, raw_yy + dilation
        c_xy = u00 * u10 + u01 * u11 + u02 * u12
        n0, n1, n2 = u01 * u12 - u02 * u11, u02 * u10 - u00 * u12, u00 * u11 - u01 * u10
        raw = n0 * n0 + n1 * n1 + n2 * n2
        determinant = raw + (raw_xx + raw_yy) * dilation + dilation * dilation
        conic = HALF_LOG2_E / determinant

        log2_opacity = log2_sigmoid(load_rows(logit_opacities, i, last, 1, 0) * LOG2_E)
        if antialiased:
            ratio = maximum(minimum(raw / determinant, ONE), LEAST_RATIO)
            log2_opacity = log2_opacity + log2(ratio) * HALF
        headroom = log2_opacity - LOG2_ALPHA_MIN
        drawn = both(both(in_front, greater_equal(headroom, ZERO)), less(determinant, MAX_DETERMINANT))
        reach = maximum(headroom, ZERO) * TWO_LN_2
        half_x = select(drawn, square_root(reach * c_xx), NOWHERE)
        half_y = select(drawn, square_root(reach * c_yy), NOWHERE)
        px = select(drawn, xz * fx + cx + load_rows(offsets, i, last, 2, 0), ZERO)
        py = select(drawn, yz * fy + cy + load_rows(offsets, i, last, 2, 1), ZERO)

        store_rows(records, i, last, RECORD, X, px)
        store_rows(records, i, last, RECORD, Y, py)
        store_rows(records, i, last, RECORD, A, c_yy * conic)
        store_rows(records, i, last, RECORD, B, c_xy * conic * TWO)
        store_rows(records, i, last, RECORD, D, c_xx * conic)
        store_rows(records, i, last, RECORD, LOG2_OPACITY, log2_opacity)
        store_rows(records, i, last, RECORD, HALF_X, half_x)
        store_rows(records, i, last, RECORD, HALF_Y, half_y)
        store_rows(records, i, last, RECORD, RED, load_rows(rgb, i, last, 3, 0))
        store_rows(records, i, last, RECORD, GREEN, load_rows(rgb, i, last, 3, 1))
        store_rows(records, i, last, RECORD, BLUE, load_rows(rgb, i, last, 3, 2))
        store_rows(records, i, last, RECORD, DEPTH, depth)
        store_rows(depths, i, last, 1, 0, depth)

        # Pixels whose centres are in the box, then the tiles that hold them.
        x_first, x_last = (
            maximum(ceil(px - half_x - HALF), ZERO),
            minimum(floor(px + half_x - HALF), columns - ONE),
        )
        y_first, y_last = (
            maximum(ceil(py - half_y - HALF), ZERO),
            minimum(floor(py + half_y - HALF), rows - ONE),
        )
        seen = both(greater_equal(x_last, x_first), greater_equal(y_last, y_first))
        store_rows(tiles, i, last, 4, 0, floor(select(seen, x_first, ZERO) / f32(tile_width)))
        store_rows(
            tiles, i, last, 4, 1, select(seen, floor(select(seen, x_last, ZERO) / f32(tile_width)), -ONE)
        )
        store_rows(tiles, i, last, 4, 2, floor(select(seen, y_first, ZERO) / f32(tile_height)))
        store_rows(
            tiles, i, last, 4, 3, select(seen, floor(select(seen, y_last, ZERO) / f32(tile_height)), -ONE)
        )
        store_rows(radii, i, last, 1, 0, select(seen, maximum(half_x, half_y), ZERO))
    return sound
