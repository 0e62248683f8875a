"""Compiled projection of Gaussians to one screen, eight at a time, and its reverse.

Symbols, all per Gaussian: ``R`` its rotation, ``s`` its scales, ``W t`` the camera's rotation and
translation, ``x y z`` its centre in the camera, ``J`` the Jacobian of the perspective there (2x3).

Forward. With M = R diag(s) and the 2x3 matrix U = J W M, the screen covariance is C = U U^T + 0.3 I. Its
determinant is taken as |u0 x u1|^2 + 0.3 (|u0|^2 + |u1|^2) + 0.09 (Lagrange's identity), which cannot
cancel. What blending needs is e = log2(alpha) at an offset (dx, dy) from the centre,

    e = log2(opacity) - A dx^2 + B' dx dy - D dy^2,    (A, -B'/2, D) = C^-1 log2(e) / 2,

and the half sizes of the box in which alpha can reach 1/255: sqrt(2 ln(255 opacity) C_xx), and the same
with C_yy.

Backward. Blending returns, for v = dL/d(ln alpha) at every pixel, the moments sum v {1, dx, dy, dx^2, dx
dy, dy^2}. With Q = C^-1: dL/d(ln opacity) = sum v, dL/d(centre) = Q (sum v d), dL/dC = Q (sum v d d^T) Q /
2, then dL/dU = 2 dL/dC U and the chain rule through J, W, M. Numbers are those of
``render.gaussians.reference``.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from render.compiled import kernel_compiler
from render.gaussians import reference, simd
from render.gaussians.simd import (
    FAST,
    LANES,
    any_lane,
    both,
    broadcast,
    ceil,
    floor,
    greater,
    greater_equal,
    iota,
    less,
    load,
    load_rows,
    maximum,
    minimum,
    peek,
    select,
    square_root,
    store,
    store_rows,
)

kernel = kernel_compiler(__file__, simd.__file__, reference.__file__)

# One record a Gaussian and camera, 16 floats: one cache line.
RECORD = 16
X, Y, A, B, D, LOG2_OPACITY, HALF_X, HALF_Y, RED, GREEN, BLUE, DEPTH = range(12)
# One slot a Gaussian and tile: sums over the tile's pixels of v times the monomials, then the colour's
# gradients.
SLOT = 10
SUM_1, SUM_X, SUM_Y, SUM_XX, SUM_XY, SUM_YY, SUM_RED, SUM_GREEN, SUM_BLUE, SUM_DEPTH = range(SLOT)
VIEW = 12  # gradient of a view matrix: nine of the rotation, three of the translation
VIEW_BLOCK = 4096  # Gaussians a partial sum
CAMERA = 16  # rows of (rotation | translation), then fx fy cx cy

f32 = np.float32
ZERO, HALF, ONE, TWO = f32(0), f32(0.5), f32(1), f32(2)
NEAR = f32(reference.NEAR)
DILATION = f32(reference.DILATION)
DILATION_SQUARED = f32(reference.DILATION**2)
MARGIN = f32(0.5 * reference.JACOBIAN_MARGIN)
MAX_DETERMINANT = f32(reference.MAX_DETERMINANT)
LOG2_ALPHA_MIN = f32(math.log2(reference.ALPHA_MIN))
LOG2_E = f32(math.log2(math.e))
HALF_LOG2_E = f32(0.5 * math.log2(math.e))
LN_2 = f32(math.log(2.0))
TWO_LN_2 = f32(2.0 * math.log(2.0))
SHORTEST_SQUARED = f32(1e-30)  # of a quaternion's length
NOWHERE = f32(-1e6)  # half size of a box that holds no pixel


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _rotation(w, x, y, z):
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
def _clamp(value, low, high):
    return minimum(maximum(value, low), high)


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def project(
    means,
    quats,
    scales,
    log_opacities,
    rgb,
    offsets,
    camera,
    width,
    height,
    tile_width,
    tile_height,
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
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(qw * norm, qx * norm, qy * norm, qz * norm)
        s0, s1, s2 = (
            load_rows(scales, i, last, 3, 0),
            load_rows(scales, i, last, 3, 1),
            load_rows(scales, i, last, 3, 2),
        )

        iz = ONE / z
        xz, yz = x * iz, y * iz
        u, v = _clamp(xz, u_low, u_high), _clamp(yz, v_low, v_high)
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
        c_xx, c_yy = raw_xx + DILATION, raw_yy + DILATION
        c_xy = u00 * u10 + u01 * u11 + u02 * u12
        n0, n1, n2 = u01 * u12 - u02 * u11, u02 * u10 - u00 * u12, u00 * u11 - u01 * u10
        determinant = n0 * n0 + n1 * n1 + n2 * n2 + (raw_xx + raw_yy) * DILATION + DILATION_SQUARED
        conic = HALF_LOG2_E / determinant

        log2_opacity = load_rows(log_opacities, i, last, 1, 0) * LOG2_E
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


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _accumulate(array, first, last, stride, column, value):
    """Add to one column of eight rows (lanes that repeat the last row write the same sum again)."""
    store_rows(array, first, last, stride, column, load_rows(array, first, last, stride, column) + value)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _add_lanes(array, index, value):
    store(array, index, load(array, index) + value)


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def project_backward(
    means,
    quats,
    scales,
    camera,
    width,
    height,
    start,
    stop,
    records,
    slot_starts,
    slots,
    grad_means,
    grad_quats,
    grad_scales,
    grad_log_opacities,
    grad_rgb,
    grad_offsets,
    grad_views,
):
    """Add the gradients of Gaussians start..stop of one camera.

    ``grad_rgb`` and ``grad_offsets`` are this camera's own and are written. ``grad_views`` holds one
    partial sum for every VIEW_BLOCK Gaussians, lane by lane, so that the order of summation does not depend
    on how the ranges are cut (which must be at multiples of VIEW_BLOCK).
    """
    w00, w01, w02, t0 = camera[0], camera[1], camera[2], camera[3]
    w10, w11, w12, t1 = camera[4], camera[5], camera[6], camera[7]
    w20, w21, w22, t2 = camera[8], camera[9], camera[10], camera[11]
    fx, fy, cx, cy = camera[12], camera[13], camera[14], camera[15]
    columns, rows = f32(width), f32(height)
    u_low, u_high = -(cx + MARGIN * columns) / fx, (columns - cx + MARGIN * columns) / fx
    v_low, v_high = -(cy + MARGIN * rows) / fy, (rows - cy + MARGIN * rows) / fy
    last = stop - 1
    sums = np.zeros((LANES, 2 * LANES), np.float32)
    for i in range(start, stop, LANES):
        inside = less(iota(), f32(stop - i))
        touched = False
        for lane in range(min(LANES, stop - i)):
            first_slot, end_slot = (
                np.int64(peek(slot_starts, i + lane)),
                np.int64(peek(slot_starts, i + lane + 1)),
            )
            head, tail = broadcast(ZERO), broadcast(ZERO)
            for slot in range(first_slot, end_slot):
                head = head + load(slots, slot * SLOT)
                tail = tail + load(
                    slots, slot * SLOT + LANES
                )  # two numbers; the other lanes are never looked at
            touched = touched or end_slot > first_slot
            store(sums, lane * 2 * LANES, head)
            store(sums, lane * 2 * LANES + LANES, tail)
        end = min(LANES, stop - i) - 1
        store_rows(grad_rgb, i, last, 3, 0, load_rows(sums, 0, end, 2 * LANES, SUM_RED))
        store_rows(grad_rgb, i, last, 3, 1, load_rows(sums, 0, end, 2 * LANES, SUM_GREEN))
        store_rows(grad_rgb, i, last, 3, 2, load_rows(sums, 0, end, 2 * LANES, SUM_BLUE))
        if not touched:
            store_rows(grad_offsets, i, last, 2, 0, broadcast(ZERO))
            store_rows(grad_offsets, i, last, 2, 1, broadcast(ZERO))
            continue
        _accumulate(grad_log_opacities, i, last, 1, 0, load_rows(sums, 0, end, 2 * LANES, SUM_1))

        # Lanes that were not drawn have sums of zero, but their numbers may overflow: exchange them for
        # harmless ones.
        drawn = greater(load_rows(records, i, last, RECORD, HALF_X), ZERO)
        mx, my, mz = (
            load_rows(means, i, last, 3, 0),
            load_rows(means, i, last, 3, 1),
            load_rows(means, i, last, 3, 2),
        )
        x = select(drawn, mx * w00 + my * w01 + mz * w02 + t0, ZERO)
        y = select(drawn, mx * w10 + my * w11 + mz * w12 + t1, ZERO)
        z = select(drawn, mx * w20 + my * w21 + mz * w22 + t2, ONE)
        s0 = select(drawn, load_rows(scales, i, last, 3, 0), ONE)
        s1 = select(drawn, load_rows(scales, i, last, 3, 1), ONE)
        s2 = select(drawn, load_rows(scales, i, last, 3, 2), ONE)
        qw, qx = load_rows(quats, i, last, 4, 0), load_rows(quats, i, last, 4, 1)
        qy, qz = load_rows(quats, i, last, 4, 2), load_rows(quats, i, last, 4, 3)
        norm = ONE / square_root(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw * norm, qx * norm, qy * norm, qz * norm
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(qw, qx, qy, qz)

        # The conic's own numbers, and the moments in units of ln instead of log2.
        a = select(drawn, load_rows(records, i, last, RECORD, A), ZERO)
        b = select(drawn, load_rows(records, i, last, RECORD, B) * -HALF, ZERO)
        d = select(drawn, load_rows(records, i, last, RECORD, D), ZERO)
        sum_x = load_rows(sums, 0, end, 2 * LANES, SUM_X) * LN_2
        sum_y = load_rows(sums, 0, end, 2 * LANES, SUM_Y) * LN_2
        sum_xx = load_rows(sums, 0, end, 2 * LANES, SUM_XX) * LN_2
        sum_xy = load_rows(sums, 0, end, 2 * LANES, SUM_XY) * LN_2
        sum_yy = load_rows(sums, 0, end, 2 * LANES, SUM_YY) * LN_2
        g_px = (a * sum_x + b * sum_y) * TWO
        g_py = (b * sum_x + d * sum_y) * TWO
        store_rows(grad_offsets, i, last, 2, 0, g_px)
        store_rows(grad_offsets, i, last, 2, 1, g_py)
        h00, h01 = a * sum_xx + b * sum_xy, a * sum_xy + b * sum_yy
        h10, h11 = b * sum_xx + d * sum_xy, b * sum_xy + d * sum_yy
        # Twice dL/dC, which is what dL/dU = 2 dL/dC U takes.
        g_xx = (h00 * a + h01 * b) * (TWO * TWO_LN_2)
        g_xy = (h00 * b + h01 * d) * (TWO * TWO_LN_2)
        g_yy = (h10 * b + h11 * d) * (TWO * TWO_LN_2)

        iz = ONE / z
        xz, yz = x * iz, y * iz
        u, v = _clamp(xz, u_low, u_high), _clamp(yz, v_low, v_high)
        jx, jy = iz * fx, iz * fy
        a0, a1, a2 = jx * (w00 - u * w20), jx * (w01 - u * w21), jx * (w02 - u * w22)
        b0, b1, b2 = jy * (w10 - v * w20), jy * (w11 - v * w21), jy * (w12 - v * w22)
        m00, m01, m02 = r00 * s0, r01 * s1, r02 * s2
        m10, m11, m12 = r10 * s0, r11 * s1, r12 * s2
        m20, m21, m22 = r20 * s0, r21 * s1, r22 * s2
        u00, u01, u02 = (
            a0 * m00 + a1 * m10 + a2 * m20,
            a0 * m01 + a1 * m11 + a2 * m21,
            a0 * m02 + a1 * m12 + a2 * m22,
        )
        u10, u11, u12 = (
            b0 * m00 + b1 * m10 + b2 * m20,
            b0 * m01 + b1 * m11 + b2 * m21,
            b0 * m02 + b1 * m12 + b2 * m22,
        )
        g00, g01, g02 = g_xx * u00 + g_xy * u10, g_xx * u01 + g_xy * u11, g_xx * u02 + g_xy * u12
        g10, g11, g12 = g_xy * u00 + g_yy * u10, g_xy * u01 + g_yy * u11, g_xy * u02 + g_yy * u12

        # Through M = R diag(s): dL/dM = (J W)^T dL/dU.
        d00, d01, d02 = a0 * g00 + b0 * g10, a0 * g01 + b0 * g11, a0 * g02 + b0 * g12
        d10, d11, d12 = a1 * g00 + b1 * g10, a1 * g01 + b1 * g11, a1 * g02 + b1 * g12
        d20, d21, d22 = a2 * g00 + b2 * g10, a2 * g01 + b2 * g11, a2 * g02 + b2 * g12
        _accumulate(grad_scales, i, last, 3, 0, d00 * r00 + d10 * r10 + d20 * r20)
        _accumulate(grad_scales, i, last, 3, 1, d01 * r01 + d11 * r11 + d21 * r21)
        _accumulate(grad_scales, i, last, 3, 2, d02 * r02 + d12 * r12 + d22 * r22)
        e00, e01, e02 = d00 * s0, d01 * s1, d02 * s2
        e10, e11, e12 = d10 * s0, d11 * s1, d12 * s2
        e20, e21, e22 = d20 * s0, d21 * s1, d22 * s2
        g_w = (qx * (e21 - e12) + qy * (e02 - e20) + qz * (e10 - e01)) * TWO
        g_x = (qy * (e01 + e10) + qz * (e02 + e20) + qw * (e21 - e12) - qx * (e11 + e22) * TWO) * TWO
        g_y = (qx * (e01 + e10) + qz * (e12 + e21) + qw * (e02 - e20) - qy * (e00 + e22) * TWO) * TWO
        g_z = (qx * (e02 + e20) + qy * (e12 + e21) + qw * (e10 - e01) - qz * (e00 + e11) * TWO) * TWO
        along = g_w * qw + g_x * qx + g_y * qy + g_z * qz  # normalising takes the part along q away
        _accumulate(grad_quats, i, last, 4, 0, (g_w - along * qw) * norm)
        _accumulate(grad_quats, i, last, 4, 1, (g_x - along * qx) * norm)
        _accumulate(grad_quats, i, last, 4, 2, (g_y - along * qy) * norm)
        _accumulate(grad_quats, i, last, 4, 3, (g_z - along * qz) * norm)

        # Through J W: its gradient H = dL/dU M^T, rows h0 (x) and h1 (y).
        h00, h01, h02 = (
            g00 * m00 + g01 * m01 + g02 * m02,
            g00 * m10 + g01 * m11 + g02 * m12,
            g00 * m20 + g01 * m21 + g02 * m22,
        )
        h10, h11, h12 = (
            g10 * m00 + g11 * m01 + g12 * m02,
            g10 * m10 + g11 * m11 + g12 * m12,
            g10 * m20 + g11 * m21 + g12 * m22,
        )
        along_x, along_y = h00 * w00 + h01 * w01 + h02 * w02, h10 * w10 + h11 * w11 + h12 * w12
        away_x, away_y = h00 * w20 + h01 * w21 + h02 * w22, h10 * w20 + h11 * w21 + h12 * w22
        free_x = both(greater(xz, u_low), less(xz, u_high))  # a clamped u does not move
        free_y = both(greater(yz, v_low), less(yz, v_high))
        g_u = g_px * fx + select(free_x, -jx * away_x, ZERO)
        g_v = g_py * fy + select(free_y, -jy * away_y, ZERO)
        g_iz = (along_x - u * away_x) * fx + (along_y - v * away_y) * fy
        g_cx, g_cy = g_u * iz, g_v * iz
        g_cz = load_rows(sums, 0, end, 2 * LANES, SUM_DEPTH) - (g_u * xz + g_v * yz + g_iz * iz) * iz
        _accumulate(grad_means, i, last, 3, 0, g_cx * w00 + g_cy * w10 + g_cz * w20)
        _accumulate(grad_means, i, last, 3, 1, g_cx * w01 + g_cy * w11 + g_cz * w21)
        _accumulate(grad_means, i, last, 3, 2, g_cx * w02 + g_cy * w12 + g_cz * w22)

        # The camera: rotation through J W and through the centre, translation through the centre.
        keep = both(inside, drawn)
        k0, k1, k2 = select(keep, g_cx, ZERO), select(keep, g_cy, ZERO), select(keep, g_cz, ZERO)
        jx, jy = select(keep, jx, ZERO), select(keep, jy, ZERO)
        view = (i // VIEW_BLOCK) * VIEW * LANES
        _add_lanes(grad_views, view + 0 * LANES, k0 * mx + jx * h00)
        _add_lanes(grad_views, view + 1 * LANES, k0 * my + jx * h01)
        _add_lanes(grad_views, view + 2 * LANES, k0 * mz + jx * h02)
        _add_lanes(grad_views, view + 3 * LANES, k1 * mx + jy * h10)
        _add_lanes(grad_views, view + 4 * LANES, k1 * my + jy * h11)
        _add_lanes(grad_views, view + 5 * LANES, k1 * mz + jy * h12)
        _add_lanes(grad_views, view + 6 * LANES, k2 * mx - jx * u * h00 - jy * v * h10)
        _add_lanes(grad_views, view + 7 * LANES, k2 * my - jx * u * h01 - jy * v * h11)
        _add_lanes(grad_views, view + 8 * LANES, k2 * mz - jx * u * h02 - jy * v * h12)
        _add_lanes(grad_views, view + 9 * LANES, k0)
        _add_lanes(grad_views, view + 10 * LANES, k1)
        _add_lanes(grad_views, view + 11 * LANES, k2)
