"""Compiled front-to-back blending of one image, tile by tile, and its reverse.

A tile keeps its pixels in small planes (transmittance, color, depth) that stay in the first-level cache.
Each Gaussian of its list goes over the pixels of its own box: strips of eight columns that begin at the
box's left edge, row by row. So lanes are eight neighbouring pixels at an unaligned place; rows are eight
pixels longer than the tile, because the last strip may reach over its right edge.

Forward, per pixel: e = log2(alpha) is the quadratic of ``projection``; alpha = 2^min(e, log2 0.999) where e
reaches log2(1/255), else 0; w = alpha T; T <- T - w. Where T would fall to 1e-4, the pixel is finished: its
T gets a negative sign (and keeps its value), and from then on max(T, 0) makes every weight zero. Pixels
outside the image begin so.

Backward. It runs front to back too, so that T repeats the forward pass bit for bit and no list of
contributors has to be kept. With the pixel's upstream gradients g (color, depth) and h (alpha), and a
Gaussian's c = g . (color, depth):

    dL/d alpha_i = T_i c_i - (sum_{j>i} w_j c_j + T_end (g . background) - T_end h) / (1 - alpha_i)

The bracket is S_i = g . (final color, depth) - T_end h - sum_{j<=i} w_j c_j: known at the front, and
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

from simulacra.render.gaussians import projection, reference
from simulacra.render.gaussians.projection import (
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
from simulacra.render.gaussians.simd import (
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
    maximum,
    minimum,
    select,
    sum_each,
    sum_lanes,
    with_sign_set,
    without_sign,
)
from simulacra.render.gaussians.simd_math import exp2
from simulacra.render.gaussians.simd_memory import (
    load,
    load_listed,
    load_triples,
    peek,
    poke,
    prefetch,
    store,
    store_integers,
    store_triples,
)
from simulacra.render.runtime.compiled import kernel_compiler

SOURCES = (__file__, *projection.SOURCES)
kernel = kernel_compiler(*SOURCES)

TILE_WIDTH = 32
TILE_HEIGHT = 16
ROW = TILE_WIDTH + LANES
PLANE = TILE_HEIGHT * ROW
BATCH = 2 * LANES  # entries whose boxes are made together
AHEAD = 6  # records are asked for this many entries before their turn

f32 = np.float32
ZERO, HALF, ONE = f32(0), f32(0.5), f32(1)
LOG2_ALPHA_MAX = f32(math.log2(reference.ALPHA_MAX))
T_MIN = f32(reference.TRANSMITTANCE_MIN)
WIDTH, HEIGHT = f32(TILE_WIDTH), f32(TILE_HEIGHT)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _fill_boxes(records, entries, entry, end, x_tile, y_tile, limits):
    """First and last column, first and last row of a batch of entries, in four runs of BATCH integers.

    Pixels of the tile whose centres lie in the Gaussian's box; clamped before they become integers. Made
    together and ahead of time because the loops over rows cannot begin before they are known.
    """
    for i in range(0, BATCH, LANES):
        px = load_listed(records, entries, entry + i, end - 1, RECORD, X) - (x_tile + HALF)
        py = load_listed(records, entries, entry + i, end - 1, RECORD, Y) - (y_tile + HALF)
        half_x = load_listed(records, entries, entry + i, end - 1, RECORD, HALF_X)
        half_y = load_listed(records, entries, entry + i, end - 1, RECORD, HALF_Y)
        store_integers(limits, i, minimum(maximum(ceil(px - half_x), ZERO), WIDTH))
        store_integers(limits, BATCH + i, maximum(minimum(floor(px + half_x), WIDTH - ONE), -ONE))
        store_integers(limits, 2 * BATCH + i, minimum(maximum(ceil(py - half_y), ZERO), HEIGHT))
        store_integers(limits, 3 * BATCH + i, maximum(minimum(floor(py + half_y), HEIGHT - ONE), -ONE))


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def next_box(records, entries, entry, turn, end, x_tile, y_tile, limits):
    """First and last column, first and last row of an entry, which is number ``turn`` of its batch; the first
    makes the boxes of all.
    """
    if turn == 0:
        _fill_boxes(records, entries, entry, end, f32(x_tile), f32(y_tile), limits)
    prefetch(records, np.int64(peek(entries, 2 * min(entry + AHEAD, end - 1))) * RECORD)
    x0, x1 = np.int64(peek(limits, turn)), np.int64(peek(limits, turn + BATCH))
    return x0, x1, np.int64(peek(limits, turn + 2 * BATCH)), np.int64(peek(limits, turn + 3 * BATCH))


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def read_record(records, entries, entry, x_tile, y_tile):
    """Where an entry's record begins; its centre in the tile; the quadratic of its log2(alpha)."""
    at = np.int64(peek(entries, 2 * entry)) * RECORD
    px, py = peek(records, at + X) - f32(x_tile), peek(records, at + Y) - f32(y_tile)
    a, b, d = peek(records, at + A), peek(records, at + B), peek(records, at + D)
    return at, px, py, a, b, d, peek(records, at + LOG2_OPACITY)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def start_strip(x, y, px, py, a, b, log2_opacity):
    """dx and dy of eight pixels from (x, y) on, and the parts of e that stay the same down their columns."""
    dx = iota() + (f32(x) + HALF - px)
    return dx, broadcast(f32(y) + HALF - py), broadcast(log2_opacity) - dx * dx * a, dx * b


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def opacity(e):
    """Alpha of eight pixels, from its logarithm in base 2."""
    return select(greater_equal(e, LOG2_ALPHA_MIN), exp2(minimum(e, LOG2_ALPHA_MAX)), ZERO)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def pass_light(planes, pixel, opaque, least):
    """Take ``opaque`` of the light of eight pixels, and finish those where no more than ``least`` would be left.

    Returns T before, w = alpha T (zero where finished), and which pixels go on.
    """
    t = load(planes, pixel)
    t_before = maximum(t, ZERO)
    weight = opaque * t_before
    t_after = t_before - weight
    alive = greater(t_after, least)
    store(planes, pixel, select(alive, t_after, with_sign_set(t)))
    return t_before, select(alive, weight, ZERO), alive


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def tile_area(tile, size):
    """First column and row of a tile, and how many of each the image, of ``size`` (width, height), has."""
    columns = (size[0] + TILE_WIDTH - 1) // TILE_WIDTH
    x, y = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
    return x, y, min(TILE_WIDTH, size[0] - x), min(TILE_HEIGHT, size[1] - y)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def start_tile(planes, count, width, height):
    """Fresh planes: T = 1 inside the image, finished outside; zero in the others."""
    for y in range(TILE_HEIGHT):
        inside = f32(width if y < height else 0)
        for x in range(0, ROW, LANES):
            store(planes, y * ROW + x, select(less(iota() + f32(x), inside), ONE, -ONE))
    for i in range(PLANE, count * PLANE, LANES):
        store(planes, i, broadcast(ZERO))


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def any_alive(planes):
    """Whether a pixel of the tile still takes light."""
    for i in range(0, PLANE, LANES):  # noqa: SIM110 (Numba compiles no generator)
        if any_lane(greater(load(planes, i), ZERO)):
            return True
    return False


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _write_tile(planes, area, background, images):
    """Planes to images: whole lanes where they fit into the image, pixel by pixel at its right edge."""
    x_tile, y_tile, x_count, y_count = area
    rgb, alpha, depth = images
    width = np.int64(alpha.shape[1])
    for y in range(y_count):
        whole = x_count - x_count % LANES
        for x in range(0, whole, LANES):
            pixel, at = y * ROW + x, (y_tile + y) * width + x_tile + x
            t = without_sign(load(planes, pixel))
            store(alpha, at, ONE - t)
            store(depth, at, load(planes, pixel + 4 * PLANE))
            red = load(planes, pixel + PLANE) + t * background[0]
            green = load(planes, pixel + 2 * PLANE) + t * background[1]
            blue = load(planes, pixel + 3 * PLANE) + t * background[2]
            store_triples(rgb, 3 * at, red, green, blue)
        for x in range(whole, x_count):
            pixel, row, column = y * ROW + x, y_tile + y, x_tile + x
            t = abs(planes[pixel])
            alpha[row, column] = ONE - t
            depth[row, column] = planes[4 * PLANE + pixel]
            for channel in range(3):
                color = planes[(1 + channel) * PLANE + pixel]
                rgb[row, column, channel] = color + t * background[channel]


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def blend(records, lists, size, start, stop, background, images, ends):
    """Images of tiles start..stop; ``ends[tile]`` is the entry before which a tile finished.

    ``lists`` are ``tile_starts`` and ``entries`` of ``sort_into_tiles``; ``images`` are rgb, alpha and depth.
    """
    tile_starts, entries = lists
    planes, limits = np.empty(5 * PLANE, np.float32), np.empty(4 * BATCH, np.int32)
    for tile in range(start, stop):
        x_tile, y_tile, x_count, y_count = area = tile_area(tile, size)
        start_tile(planes, 5, x_count, y_count)
        entry, end = np.int64(tile_starts[tile]), np.int64(tile_starts[tile + 1])
        while entry < end and any_alive(planes):
            batch = entry
            while entry < min(batch + BATCH, end):
                x0, x1, y0, y1 = next_box(records, entries, entry, entry - batch, end, x_tile, y_tile, limits)
                at, px, py, a, b, d, log2_opacity = read_record(records, entries, entry, x_tile, y_tile)
                red, green = peek(records, at + RED), peek(records, at + GREEN)
                blue, z = peek(records, at + BLUE), peek(records, at + DEPTH)
                for x in range(x0, x1 + 1, LANES):
                    _dx, dy, constant, linear = start_strip(x, y0, px, py, a, b, log2_opacity)
                    pixel = y0 * ROW + x
                    for _ in range(y0, y1 + 1):
                        e = constant + dy * (linear - dy * d)
                        _before, weight, _alive = pass_light(planes, pixel, opacity(e), T_MIN)
                        store(planes, pixel + PLANE, load(planes, pixel + PLANE) + weight * red)
                        store(planes, pixel + 2 * PLANE, load(planes, pixel + 2 * PLANE) + weight * green)
                        store(planes, pixel + 3 * PLANE, load(planes, pixel + 3 * PLANE) + weight * blue)
                        store(planes, pixel + 4 * PLANE, load(planes, pixel + 4 * PLANE) + weight * z)
                        dy = dy + ONE
                        pixel += ROW
                entry += 1
        ends[tile] = entry
        _write_tile(planes, area, background, images)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _read_tile(planes, area, images, grad_rgb, grad_alpha, grad_depth):
    """Upstream gradients into planes 2 to 5, and S (see above) into plane 1."""
    x_tile, y_tile, x_count, y_count = area
    rgb, alpha, depth = images
    width = np.int64(alpha.shape[1])
    for y in range(y_count):
        whole = x_count - x_count % LANES
        for x in range(0, whole, LANES):
            pixel, at = y * ROW + x, (y_tile + y) * width + x_tile + x
            g0, g1, g2 = load_triples(grad_rgb, 3 * at)
            red, green, blue = load_triples(rgb, 3 * at)
            behind = g0 * red + g1 * green + g2 * blue
            if grad_depth is not None:
                g3 = load(grad_depth, at)
                store(planes, pixel + 5 * PLANE, g3)
                behind = behind + g3 * load(depth, at)
            store(planes, pixel + PLANE, behind - (ONE - load(alpha, at)) * load(grad_alpha, at))
            store(planes, pixel + 2 * PLANE, g0)
            store(planes, pixel + 3 * PLANE, g1)
            store(planes, pixel + 4 * PLANE, g2)
        for x in range(whole, x_count):
            pixel, row, column = y * ROW + x, y_tile + y, x_tile + x
            behind = (alpha[row, column] - ONE) * grad_alpha[row, column]
            if grad_depth is not None:
                planes[5 * PLANE + pixel] = grad_depth[row, column]
                behind += grad_depth[row, column] * depth[row, column]
            for channel in range(3):
                g = grad_rgb[row, column, channel]
                behind += g * rgb[row, column, channel]
                planes[(2 + channel) * PLANE + pixel] = g
            planes[PLANE + pixel] = behind


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def blend_backward(records, lists, size, start, stop, images, ends, grad_rgb, grad_alpha, grad_depth, slots):
    """The slot of every entry of tiles start..stop: moments of v, and gradients of color and depth.

    ``grad_depth`` may be None, as it is where depth is in no loss: a twelfth of the time is saved.
    """
    tile_starts, entries = lists
    # T, S, then the upstream gradients of red, green, blue, depth
    planes, limits = np.empty(6 * PLANE, np.float32), np.empty(4 * BATCH, np.int32)
    none = broadcast(ZERO)
    for tile in range(start, stop):
        first, end, last = np.int64(tile_starts[tile]), np.int64(ends[tile]), np.int64(tile_starts[tile + 1])
        for entry in range(end, last):
            slot = np.int64(peek(entries, 2 * entry + 1)) * SLOT
            for i in range(SLOT):
                poke(slots, slot + i, ZERO)
        if end <= first:
            continue
        x_tile, y_tile, x_count, y_count = area = tile_area(tile, size)
        start_tile(planes, 6, x_count, y_count)
        _read_tile(planes, area, images, grad_rgb, grad_alpha, grad_depth)
        for entry in range(first, end):
            turn = (entry - first) % BATCH
            x0, x1, y0, y1 = next_box(records, entries, entry, turn, end, x_tile, y_tile, limits)
            at, px, py, a, b, d, log2_opacity = read_record(records, entries, entry, x_tile, y_tile)
            red, green = peek(records, at + RED), peek(records, at + GREEN)
            blue, z = peek(records, at + BLUE), peek(records, at + DEPTH)
            sum_red, sum_green, sum_blue, sum_depth = none, none, none, none
            m_1, m_x, m_y, m_xx, m_xy, m_yy = none, none, none, none, none, none
            for x in range(x0, x1 + 1, LANES):
                dx, dy, constant, linear = start_strip(x, y0, px, py, a, b, log2_opacity)
                pixel = y0 * ROW + x
                v_1, v_y = none, none
                for _ in range(y0, y1 + 1):
                    e = constant + dy * (linear - dy * d)
                    moves, opaque = less(e, LOG2_ALPHA_MAX), opacity(e)
                    t_before, weight, alive = pass_light(planes, pixel, opaque, T_MIN)
                    g0, g1 = load(planes, pixel + 2 * PLANE), load(planes, pixel + 3 * PLANE)
                    g2 = load(planes, pixel + 4 * PLANE)
                    c = g0 * red + g1 * green + g2 * blue
                    if grad_depth is not None:
                        g3 = load(planes, pixel + 5 * PLANE)
                        c = c + g3 * z
                        sum_depth = sum_depth + weight * g3
                    behind = load(planes, pixel + PLANE) - weight * c
                    store(planes, pixel + PLANE, behind)
                    v = (t_before * c - behind / (ONE - opaque)) * opaque
                    v = select(both(alive, moves), v, ZERO)
                    sum_red, sum_green = sum_red + weight * g0, sum_green + weight * g1
                    sum_blue = sum_blue + weight * g2
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
