"""The reverse of ``projection``: from sums over pixels to the gradients of Gaussians and camera.

Symbols as there. Blending returns, for v = dL/d(ln alpha) at every pixel, the moments sum v {1, dx, dy,
dx^2, dx dy, dy^2}. With Q = C^-1: dL/d(ln opacity) = sum v, dL/d(centre) = Q (sum v d), dL/dC = Q (sum v d
d^T) Q / 2, then dL/dU = 2 dL/dC U and the chain rule through J, W, M.

In mode ``antialiased``, ln opacity holds ln |n| - ln(det C) / 2 with n = u0 x u1. Its gradient adds
-(sum v) Q to 2 dL/dC, and (sum v) (u1 x n) / |n|^2 to dL/du0 and (sum v) (n x u0) / |n|^2 to dL/du1.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.gaussians.projection import (
    HALF,
    HALF_X,
    LOG2_E,
    MARGIN,
    ONE,
    RECORD,
    SLOT,
    SOURCES,
    SUM_1,
    SUM_BLUE,
    SUM_DEPTH,
    SUM_GREEN,
    SUM_RED,
    SUM_X,
    SUM_XX,
    SUM_XY,
    SUM_Y,
    SUM_YY,
    TWO,
    TWO_LN_2,
    ZERO,
    A,
    B,
    D,
    clamp,
    rotation,
    scale,
)
from simulacra.render.gaussians.simd import (
    FAST,
    LANES,
    both,
    broadcast,
    greater,
    iota,
    less,
    maximum,
    select,
    square_root,
    without_sign,
)
from simulacra.render.gaussians.simd_math import exp2
from simulacra.render.gaussians.simd_memory import load, load_rows, peek, store, store_rows
from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__, *SOURCES)

VIEW = 12  # gradient of a view matrix: nine of the rotation, three of the translation
VIEW_BLOCK = 4096  # Gaussians a partial sum

f32 = np.float32
LN_2 = f32(math.log(2.0))
LOWEST = f32(-126.0)
LEAST_SQUARE = f32(1e-37)  # of |n|: a Gaussian that thin is not drawn


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _accumulate(array, first, last, stride, column, value):
    """Add to one column of eight rows (lanes that repeat the last row write the same sum again)."""
    store_rows(array, first, last, stride, column, load_rows(array, first, last, stride, column) + value)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _add_lanes(array, index, value):
    store(array, index, load(array, index) + value)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _transparency(logit):
    """1 - sigmoid(logit) = d ln sigmoid(logit) / d logit, without cancellation."""
    small = exp2(maximum(-without_sign(logit * LOG2_E), LOWEST))
    return select(greater(logit, ZERO), small, ONE) / (small + ONE)


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def project_backward(
    means,
    quats,
    log_scales,
    logit_opacities,
    camera,
    width,
    height,
    antialiased,
    start,
    stop,
    records,
    slot_starts,
    slots,
    grad_means,
    grad_quats,
    grad_log_scales,
    grad_logits,
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
        sum_1 = load_rows(sums, 0, end, 2 * LANES, SUM_1)
        _accumulate(
            grad_logits, i, last, 1, 0, sum_1 * _transparency(load_rows(logit_opacities, i, last, 1, 0))
        )

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
        s0 = select(drawn, scale(load_rows(log_scales, i, last, 3, 0)), ONE)
        s1 = select(drawn, scale(load_rows(log_scales, i, last, 3, 1)), ONE)
        s2 = select(drawn, scale(load_rows(log_scales, i, last, 3, 2)), ONE)
        qw, qx = load_rows(quats, i, last, 4, 0), load_rows(quats, i, last, 4, 1)
        qy, qz = load_rows(quats, i, last, 4, 2), load_rows(quats, i, last, 4, 3)
        norm = ONE / square_root(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw * norm, qx * norm, qy * norm, qz * norm
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(qw, qx, qy, qz)

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
        if antialiased:
            g_xx = g_xx - sum_1 * a * TWO_LN_2
            g_xy = g_xy - sum_1 * b * TWO_LN_2
            g_yy = g_yy - sum_1 * d * TWO_LN_2

        iz = ONE / z
        xz, yz = x * iz, y * iz
        u, v = clamp(xz, u_low, u_high), clamp(yz, v_low, v_high)
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
        if antialiased:
            n0, n1, n2 = u01 * u12 - u02 * u11, u02 * u10 - u00 * u12, u00 * u11 - u01 * u10
            share = select(drawn, sum_1 / maximum(n0 * n0 + n1 * n1 + n2 * n2, LEAST_SQUARE), ZERO)
            n0, n1, n2 = n0 * share, n1 * share, n2 * share
            g00, g01, g02 = (
                g00 + (u11 * n2 - u12 * n1),
                g01 + (u12 * n0 - u10 * n2),
                g02 + (u10 * n1 - u11 * n0),
            )
            g10, g11, g12 = (
                g10 + (n1 * u02 - n2 * u01),
                g11 + (n2 * u00 - n0 * u02),
                g12 + (n0 * u01 - n1 * u00),
            )

        # Through M = R diag(s): dL/dM = (J W)^T dL/dU.
        d00, d01, d02 = a0 * g00 + b0 * g10, a0 * g01 + b0 * g11, a0 * g02 + b0 * g12
        d10, d11, d12 = a1 * g00 + b1 * g10, a1 * g01 + b1 * g11, a1 * g02 + b1 * g12
        d20, d21, d22 = a2 * g00 + b2 * g10, a2 * g01 + b2 * g11, a2 * g02 + b2 * g12
        _accumulate(grad_log_scales, i, last, 3, 0, (d00 * r00 + d10 * r10 + d20 * r20) * s0)
        _accumulate(grad_log_scales, i, last, 3, 1, (d01 * r01 + d11 * r11 + d21 * r21) * s1)
        _accumulate(grad_log_scales, i, last, 3, 2, (d02 * r02 + d12 * r12 + d22 * r22) * s2)
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
