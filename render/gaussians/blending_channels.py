"""Compiled blending of any number of channels, and its reverse: ``blending`` for features instead of color.

The rules, the symbols, the tiles and the order of everything are those of ``blending``; only the number of
channels is known when the kernel runs. Depth is one of them (the last that is used), and their number C is
rounded up to a multiple of four, so that four at a time can be written out. A pixel's light is worked out
once for all channels; then w c_k is added to plane k. To keep the planes of a box near each other, a row of
the tile has its C channel rows side by side: channel k of pixel (x, y) is at (y C + k) ROW + x.

Backward, the sums over pixels of w g_k, one of each channel, are kept in a small array of lanes. A slot of a
(Gaussian, tile) pair is then six moments, two empty places, and C sums (to a multiple of eight).
``reduce_slots`` adds the slots of each Gaussian; what comes out are its features' gradients, and moments in
the form that ``projection_backward`` takes.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.gaussians.blending import (
    AHEAD,
    BATCH,
    LOG2_ALPHA_MAX,
    ONE,
    PLANE,
    ROW,
    SOURCES,
    T_MIN,
    ZERO,
    any_alive,
    next_box,
    opacity,
    pass_light,
    read_record,
    start_strip,
    start_tile,
    tile_area,
)
from simulacra.render.gaussians.projection import (
    SLOT,
    SUM_DEPTH,
)
from simulacra.render.gaussians.simd import (
    FAST,
    LANES,
    both,
    broadcast,
    less,
    select,
    sum_each,
)
from simulacra.render.gaussians.simd_memory import load, peek, poke, prefetch, store
from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__, *SOURCES)

f32 = np.float32


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _write_tile(planes, area, channels, background, images):
    """Planes to images."""
    x_tile, y_tile, x_count, y_count = area
    features, alpha, depth = images
    count, width = np.int64(features.shape[2]), np.int64(features.shape[1])
    for y in range(y_count):
        corner = (y_tile + y) * width + x_tile
        for x in range(x_count):
            t = abs(peek(planes, y * ROW + x))
            first = PLANE + y * channels * ROW + x
            for channel in range(count):
                value = peek(planes, first + channel * ROW) + t * peek(background, channel)
                poke(features, (corner + x) * count + channel, value)
            poke(alpha, corner + x, ONE - t)
            poke(depth, corner + x, peek(planes, first + count * ROW))


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def blend_channels(records, values, lists, size, start, stop, background, images, ends):
    """Images of tiles start..stop; ``ends[tile]`` is the entry before which a tile finished.

    ``values`` has a row of C numbers for every Gaussian: its features, its depth, and zeros.
    """
    tile_starts, entries = lists
    channels = np.int64(values.shape[1])
    planes, limits = np.empty(PLANE * (1 + channels), np.float32), np.empty(4 * BATCH, np.int32)
    for tile in range(start, stop):
        x_tile, y_tile, x_count, y_count = area = tile_area(tile, size)
        start_tile(planes, 1 + channels, x_count, y_count)
        entry, end = np.int64(tile_starts[tile]), np.int64(tile_starts[tile + 1])
        while entry < end and any_alive(planes):
            batch = entry
            while entry < min(batch + BATCH, end):
                x0, x1, y0, y1 = next_box(records, entries, entry, entry - batch, end, x_tile, y_tile, limits)
                prefetch(values, np.int64(peek(entries, 2 * min(entry + AHEAD, end - 1))) * channels)
                own = np.int64(peek(entries, 2 * entry)) * channels
                _at, px, py, a, b, d, log2_opacity = read_record(records, entries, entry, x_tile, y_tile)
                for x in range(x0, x1 + 1, LANES):
                    _dx, dy, constant, linear = start_strip(x, y0, px, py, a, b, log2_opacity)
                    pixel = y0 * ROW + x
                    place = PLANE + y0 * channels * ROW + x
                    for _ in range(y0, y1 + 1):
                        e = constant + dy * (linear - dy * d)
                        _before, weight, _alive = pass_light(planes, pixel, opacity(e), T_MIN)
                        for channel in range(0, channels, 4):
                            c = own + channel
                            store(planes, place, load(planes, place) + weight * peek(values, c))
                            place += ROW
                            store(planes, place, load(planes, place) + weight * peek(values, c + 1))
                            place += ROW
                            store(planes, place, load(planes, place) + weight * peek(values, c + 2))
                            place += ROW
                            store(planes, place, load(planes, place) + weight * peek(values, c + 3))
                            place += ROW
                        dy = dy + ONE
                        pixel += ROW
                entry += 1
        ends[tile] = entry
        _write_tile(planes, area, channels, background, images)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _read_tile(planes, area, channels, images, upstream):
    """S (see ``blending``) into the plane after T, then the upstream gradients, channel rows side by side."""
    x_tile, y_tile, x_count, y_count = area
    features, alpha, depth = images
    grad_features, grad_alpha, grad_depth = upstream
    count, width = np.int64(features.shape[2]), np.int64(features.shape[1])
    for y in range(y_count):
        corner = (y_tile + y) * width + x_tile
        for x in range(x_count):
            at, first = corner + x, 2 * PLANE + y * channels * ROW + x
            g = peek(grad_depth, at)
            poke(planes, first + count * ROW, g)
            behind = g * peek(depth, at) - (ONE - peek(alpha, at)) * peek(grad_alpha, at)
            for channel in range(count):
                g = peek(grad_features, at * count + channel)
                poke(planes, first + channel * ROW, g)
                behind += g * peek(features, at * count + channel)
            poke(planes, PLANE + y * ROW + x, behind)


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def blend_channels_backward(records, values, lists, size, start, stop, images, ends, upstream, slots):
    """The slot of every entry of tiles start..stop.

    ``images`` and ``upstream`` are three arrays each: features, alpha and depth, and their gradients.
    """
    tile_starts, entries = lists
    channels = np.int64(values.shape[1])
    padded = (channels + LANES - 1) // LANES * LANES
    stride = LANES + padded
    planes, limits = np.empty(PLANE * (2 + channels), np.float32), np.empty(4 * BATCH, np.int32)
    sums = np.zeros(padded * LANES, np.float32)
    none = broadcast(ZERO)
    for tile in range(start, stop):
        first, end, last = np.int64(tile_starts[tile]), np.int64(ends[tile]), np.int64(tile_starts[tile + 1])
        for entry in range(end, last):
            slot = np.int64(peek(entries, 2 * entry + 1)) * stride
            for i in range(0, stride, LANES):
                store(slots, slot + i, none)
        if end <= first:
            continue
        x_tile, y_tile, x_count, y_count = area = tile_area(tile, size)
        start_tile(planes, 2 + channels, x_count, y_count)
        _read_tile(planes, area, channels, images, upstream)
        for entry in range(first, end):
            turn = (entry - first) % BATCH
            x0, x1, y0, y1 = next_box(records, entries, entry, turn, end, x_tile, y_tile, limits)
            prefetch(values, np.int64(peek(entries, 2 * min(entry + AHEAD, end - 1))) * channels)
            own = np.int64(peek(entries, 2 * entry)) * channels
            _at, px, py, a, b, d, log2_opacity = read_record(records, entries, entry, x_tile, y_tile)
            for i in range(0, channels * LANES, LANES):
                store(sums, i, none)
            m_1, m_x, m_y, m_xx, m_xy, m_yy = none, none, none, none, none, none
            for x in range(x0, x1 + 1, LANES):
                dx, dy, constant, linear = start_strip(x, y0, px, py, a, b, log2_opacity)
                pixel = y0 * ROW + x
                place = 2 * PLANE + y0 * channels * ROW + x
                v_1, v_y = none, none
                for _ in range(y0, y1 + 1):
                    e = constant + dy * (linear - dy * d)
                    moves, opaque = less(e, LOG2_ALPHA_MAX), opacity(e)
                    t_before, weight, alive = pass_light(planes, pixel, opaque, T_MIN)
                    c, c_other, total = none, none, np.int64(0)
                    for channel in range(own, own + channels, 2):
                        g, g_other = load(planes, place), load(planes, place + ROW)
                        c = c + g * peek(values, channel)
                        c_other = c_other + g_other * peek(values, channel + 1)
                        store(sums, total, load(sums, total) + weight * g)
                        store(sums, total + LANES, load(sums, total + LANES) + weight * g_other)
                        total += 2 * LANES
                        place += 2 * ROW
                    c = c + c_other
                    behind = load(planes, pixel + PLANE) - weight * c
                    store(planes, pixel + PLANE, behind)
                    v = (t_before * c - behind / (ONE - opaque)) * opaque
                    v = select(both(alive, moves), v, ZERO)
                    v_dy = v * dy
                    v_1, v_y, m_yy = v_1 + v, v_y + v_dy, m_yy + v_dy * dy
                    dy = dy + ONE
                    pixel += ROW
                v_dx = v_1 * dx
                m_1, m_x, m_xx = m_1 + v_1, m_x + v_dx, m_xx + v_dx * dx
                m_y, m_xy = m_y + v_y, m_xy + v_y * dx
            slot = np.int64(peek(entries, 2 * entry + 1)) * stride
            store(slots, slot, sum_each(m_1, m_x, m_y, m_xx, m_xy, m_yy, none, none))
            for channel in range(0, padded, LANES):
                _store_sums(slots, slot + LANES + channel, sums, channel * LANES)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _store_sums(slots, to, sums, at):
    """The sums of the lanes of eight channels, to eight places of a slot."""
    total = sum_each(
        load(sums, at),
        load(sums, at + LANES),
        load(sums, at + 2 * LANES),
        load(sums, at + 3 * LANES),
        load(sums, at + 4 * LANES),
        load(sums, at + 5 * LANES),
        load(sums, at + 6 * LANES),
        load(sums, at + 7 * LANES),
    )
    store(slots, to, total)


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def reduce_slots(slot_starts, slots, stride, start, stop, moments, grad_features):
    """Sums over the slots of Gaussians start..stop: moments in the form of one slot of ``blending``, and the
    gradients of the features.
    """
    count = grad_features.shape[1]
    sums = np.empty(stride, np.float32)
    for i in range(start, stop):
        first, end = np.int64(peek(slot_starts, i)), np.int64(peek(slot_starts, i + 1))
        for place in range(0, stride, LANES):
            total = broadcast(ZERO)
            for slot in range(first, end):
                total = total + load(slots, slot * stride + place)
            store(sums, place, total)
        for place in range(LANES):
            poke(moments, i * SLOT + place, sums[place])
        poke(moments, i * SLOT + LANES, ZERO)
        poke(moments, i * SLOT + SUM_DEPTH, sums[LANES + count])
        for channel in range(count):
            poke(grad_features, i * count + channel, sums[LANES + channel])
