"""Compiled front-to-back blending of one image, tile by tile, and its reverse.

A tile keeps its pixels in small planes (transmittance, colour, depth) that stay in the first-level cache.
Each Gaussian of its list goes over the pixels of its own box: strips of eight columns that begin at the
box's left edge, row by row. So lanes are eight neighbouring pixels at an unaligned place; rows are eight
pixels longer than the tile, because the last strip may reach over its right edge.

Forward, per pixel: e = log2(alpha) is the quadratic of ``projection``; alpha = 2^min(e, log2 0.999) where e
reaches log2(1/255), else 0; w = alpha T; T <- T - w. Where T would fall to 1e-4, the pixel is finished: its
T gets a negative sign (and keeps its value), and from then on max(T, 0) makes every weight zero. Pixels
outside the image begin so.

Backward. It runs front to back too, so that T repeats the forward pass bit for bit and no list of
contributors has to be kept. With the pixel's upstream gradients g (colour, depth) and h (alpha), and a
Gaussian's c = g . (colour, depth):

    dL/d alpha_i = T_i c_i - (sum_{j>i} w_j c_j + T_end (g . background) - T_end h) / (1 - alpha_i)

The bracket is S_i = g . (final colour, depth) - T_end h - sum_{j<=i} w_j c_j: known at the front, and
reduced by w_i c_i at every step. v_i = alpha_i dL/d alpha_i goes into the moments that ``projection``
needs: per strip only three row sums are kept as lanes (v, v dy, v dy^2), and multiplied by dx once at the
end of the strip.

No two writers share a place (tiles own their pixels, entries their slots): nothing depends on the number of
threads.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from render.gaussians import reference
from render.gaussians.projection import (
    BLUE,
    DEPTH,
    GREEN,
    HALF_X,
    HALF_Y,
    LOG2_ALPHA_MIN,
    LOG2_OPACITY,
    RECORD,
    RED,
    SLOT,
    A,
    B,
    D,
    X,
    Y,
)
from render.gaussians.simd import (
    FAST,
    LANES,
    both,
    broadcast,
    exp2,
    greater,
    greater_equal,
    iota,
    less,
    load,
    maximum,
    minimum,
    peek,
    poke,
    prefetch,
    select,
    store,
    sum_each,
    sum_lanes,
    with_sign_set,
)

TILE_WIDTH = 16
TILE_HEIGHT = 16
ROW = TILE_WIDTH + LANES
PLANE = TILE_HEIGHT * ROW
AHEAD = 6  # records are asked for this many entries before their turn
CHECK_EVERY = 16  # entries between looks whether all pixels are finished

f32 = np.float32
ZERO, HALF, ONE, TWO = f32(0), f32(0.5), f32(1), f32(2)
LOG2_ALPHA_MAX = f32(math.log2(reference.ALPHA_MAX))
T_MIN = f32(reference.TRANSMITTANCE_MIN)
LAST_COLUMN = f32(TILE_WIDTH - 1)
LAST_ROW = f32(TILE_HEIGHT - 1)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _box(centre, half, last):
    """First and last pixel of the tile whose centre lies within ``half`` of ``centre``; clamped before
    they are ints.
    """
    first = min(max(ZERO, math.ceil(centre - half - HALF)), last + ONE)
    end = max(-ONE, min(last, math.floor(centre + half - HALF)))
    return np.int64(first), np.int64(end)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _start_tile(planes, count, width, height):
    """Fresh planes: T = 1 inside the image, finished outside; zero in the others."""
    for y in range(TILE_HEIGHT):
        for x in range(ROW):
            planes[y * ROW + x] = ONE if (y < height and x < width) else -ONE
    planes[PLANE : count * PLANE] = ZERO


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _finished(planes):
    """Whether no pixel of the tile takes light any more."""
    most = -ONE
    for i in range(PLANE):
        most = max(most, planes[i])
    return most <= ZERO


@njit(nogil=True, fastmath=set(FAST), cache=True, error_model="numpy")
@no_type_check
def blend(
    records, tile_starts, entries, width, height, start, stop, background, rgb, alpha, depth, left, ends
):
    """Images of tiles start..stop; ``left`` is the transmittance, ``ends[tile]`` the entry before which
    it finished.
    """
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    planes = np.empty(5 * PLANE, np.float32)
    for tile in range(start, stop):
        x_tile, y_tile = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
        x_count, y_count = min(TILE_WIDTH, width - x_tile), min(TILE_HEIGHT, height - y_tile)
        _start_tile(planes, 5, x_count, y_count)
        entry, end = np.int64(tile_starts[tile]), np.int64(tile_starts[tile + 1])
        first = entry
        while entry < end:
            if (entry - first) % CHECK_EVERY == CHECK_EVERY - 1 and _finished(planes):
                break
            prefetch(records, np.int64(peek(entries, 2 * min(entry + AHEAD, end - 1))) * RECORD)
            at = np.int64(peek(entries, 2 * entry)) * RECORD
            px, py = peek(records, at + X) - f32(x_tile), peek(records, at + Y) - f32(y_tile)
            a, b, d = peek(records, at + A), peek(records, at + B), peek(records, at + D)
            log2_opacity = peek(records, at + LOG2_OPACITY)
            x0, x1 = _box(px, peek(records, at + HALF_X), LAST_COLUMN)
            y0, y1 = _box(py, peek(records, at + HALF_Y), LAST_ROW)
            red, green = peek(records, at + RED), peek(records, at + GREEN)
            blue, z = peek(records, at + BLUE), peek(records, at + DEPTH)
            for x in range(x0, x1 + 1, LANES):
                dx = iota() + (f32(x) + HALF - px)
                constant, linear = broadcast(log2_opacity) - dx * dx * a, dx * b
                dy = broadcast(f32(y0) + HALF - py)
                pixel = y0 * ROW + x
                for _ in range(y0, y1 + 1):
                    e = constant + dy * (linear - dy * d)
                    opaque = select(greater_equal(e, LOG2_ALPHA_MIN), exp2(minimum(e, LOG2_ALPHA_MAX)), ZERO)
                    t = load(planes, pixel)
                    t_before = maximum(t, ZERO)
                    weight = opaque * t_before
                    t_after = t_before - weight
                    alive = greater(t_after, T_MIN)
                    weight = select(alive, weight, ZERO)
                    store(planes, pixel, select(alive, t_after, with_sign_set(t)))
                    store(planes, pixel + PLANE, load(planes, pixel + PLANE) + weight * red)
                    store(planes, pixel + 2 * PLANE, load(planes, pixel + 2 * PLANE) + weight * green)
                    store(planes, pixel + 3 * PLANE, load(planes, pixel + 3 * PLANE) + weight * blue)
                    store(planes, pixel + 4 * PLANE, load(planes, pixel + 4 * PLANE) + weight * z)
                    dy = dy + ONE
                    pixel += ROW
            entry += 1
        ends[tile] = entry
        for y in range(y_count):
            for x in range(x_count):
                pixel = y * ROW + x
                t = abs(planes[pixel])
                row, column = y_tile + y, x_tile + x
                left[row, column] = t
                alpha[row, column] = ONE - t
                rgb[row, column, 0] = planes[PLANE + pixel] + t * background[0]
                rgb[row, column, 1] = planes[2 * PLANE + pixel] + t * background[1]
                rgb[row, column, 2] = planes[3 * PLANE + pixel] + t * background[2]
                depth[row, column] = planes[4 * PLANE + pixel]


@njit(nogil=True, fastmath=set(FAST), cache=True, error_model="numpy")
@no_type_check
def blend_backward(
    records,
    tile_starts,
    entries,
    width,
    height,
    start,
    stop,
    rgb,
    depth,
    left,
    ends,
    grad_rgb,
    grad_alpha,
    grad_depth,
    slots,
):
    """The slot of every entry of tiles start..stop: moments of v, and gradients of colour and depth."""
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    planes = np.empty(6 * PLANE, np.float32)  # T, S, then the upstream gradients of red, green, blue, depth
    none = broadcast(ZERO)
    for tile in range(start, stop):
        first, end, last = np.int64(tile_starts[tile]), np.int64(ends[tile]), np.int64(tile_starts[tile + 1])
        for entry in range(end, last):
            slot = np.int64(peek(entries, 2 * entry + 1)) * SLOT
            for i in range(SLOT):
                poke(slots, slot + i, ZERO)
        if end <= first:
            continue
        x_tile, y_tile = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
        x_count, y_count = min(TILE_WIDTH, width - x_tile), min(TILE_HEIGHT, height - y_tile)
        _start_tile(planes, 6, x_count, y_count)
        for y in range(y_count):
            for x in range(x_count):
                row, column, pixel = y_tile + y, x_tile + x, y * ROW + x
                g0, g1, g2 = grad_rgb[row, column, 0], grad_rgb[row, column, 1], grad_rgb[row, column, 2]
                g3 = grad_depth[row, column]
                planes[2 * PLANE + pixel], planes[3 * PLANE + pixel] = g0, g1
                planes[4 * PLANE + pixel], planes[5 * PLANE + pixel] = g2, g3
                planes[PLANE + pixel] = (
                    g0 * rgb[row, column, 0]
                    + g1 * rgb[row, column, 1]
                    + g2 * rgb[row, column, 2]
                    + g3 * depth[row, column]
                    - left[row, column] * grad_alpha[row, column]
                )
        for entry in range(first, end):
            prefetch(records, np.int64(peek(entries, 2 * min(entry + AHEAD, end - 1))) * RECORD)
            at = np.int64(peek(entries, 2 * entry)) * RECORD
            px, py = peek(records, at + X) - f32(x_tile), peek(records, at + Y) - f32(y_tile)
            a, b, d = peek(records, at + A), peek(records, at + B), peek(records, at + D)
            log2_opacity = peek(records, at + LOG2_OPACITY)
            x0, x1 = _box(px, peek(records, at + HALF_X), LAST_COLUMN)
            y0, y1 = _box(py, peek(records, at + HALF_Y), LAST_ROW)
            red, green = peek(records, at + RED), peek(records, at + GREEN)
            blue, z = peek(records, at + BLUE), peek(records, at + DEPTH)
            sum_red, sum_green, sum_blue, sum_depth = none, none, none, none
            m_1, m_x, m_y, m_xx, m_xy, m_yy = none, none, none, none, none, none
            for x in range(x0, x1 + 1, LANES):
                dx = iota() + (f32(x) + HALF - px)
                constant, linear = broadcast(log2_opacity) - dx * dx * a, dx * b
                dy = broadcast(f32(y0) + HALF - py)
                pixel = y0 * ROW + x
                v_1, v_y = none, none
                for _ in range(y0, y1 + 1):
                    e = constant + dy * (linear - dy * d)
                    moves = less(e, LOG2_ALPHA_MAX)
                    opaque = select(greater_equal(e, LOG2_ALPHA_MIN), exp2(minimum(e, LOG2_ALPHA_MAX)), ZERO)
                    t = load(planes, pixel)
                    t_before = maximum(t, ZERO)
                    weight = opaque * t_before
                    t_after = t_before - weight
                    alive = greater(t_after, T_MIN)
                    weight = select(alive, weight, ZERO)
                    store(planes, pixel, select(alive, t_after, with_sign_set(t)))
                    g0, g1 = load(planes, pixel + 2 * PLANE), load(planes, pixel + 3 * PLANE)
                    g2, g3 = load(planes, pixel + 4 * PLANE), load(planes, pixel + 5 * PLANE)
                    c = g0 * red + g1 * green + g2 * blue + g3 * z
                    behind = load(planes, pixel + PLANE) - weight * c
                    store(planes, pixel + PLANE, behind)
                    v = select(both(alive, moves), (t_before * c - behind / (ONE - opaque)) * opaque, ZERO)
                    sum_red, sum_green = sum_red + weight * g0, sum_green + weight * g1
                    sum_blue, sum_depth = sum_blue + weight * g2, sum_depth + weight * g3
                    v_dy = v * dy
                    v_1, v_y, m_yy = v_1 + v, v_y + v_dy, m_yy + v_dy * dy
                    dy = dy + ONE
                    pixel += ROW
                v_dx = v_1 * dx
                m_1, m_x, m_xx = m_1 + v_1, m_x + v_dx, m_xx + v_dx * dx
                m_y, m_xy = m_y + v_y, m_xy + v_y * dx
            slot = np.int64(peek(entries, 2 * entry + 1)) * SLOT
            store(slots, slot, sum_each(m_1, m_x, m_y, m_xx, m_xy, m_yy, sum_red, sum_green))
            poke(slots, slot + LANES, sum_lanes(sum_blue))
            poke(slots, slot + LANES + 1, sum_lanes(sum_depth))
