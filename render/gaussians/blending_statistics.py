"""Compiled passes over the tiles that measure instead of draw: median Gaussians, and shares of the image.

Light passes through the pixels as in ``blending``, whose header has the symbols; nothing is differentiated
here. A median Gaussian is one by which T falls to 1/2 or less: its index goes to the pixel beside its depth,
for whoever wants the gradient. A tile is finished once all of its pixels are that dark,
long before ``blending`` would stop, and rule 4's stop never comes first: from more than 1/2, T falls to
0.0005 at the least.

Shares (sum and maximum over pixels of w = alpha T) go to the slots of their (Gaussian, tile) pairs, which
``reduce_shares`` gathers in order of Gaussians, so nothing depends on the number of threads.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from simulacra.render.gaussians import reference
from simulacra.render.gaussians.blending import (
    AHEAD,
    BATCH,
    HALF,
    LOG2_ALPHA_MAX,
    ONE,
    PLANE,
    ROW,
    SOURCES,
    T_MIN,
    TILE_HEIGHT,
    TILE_WIDTH,
    ZERO,
    any_alive,
    boxes,
    start_tile,
)
from simulacra.render.gaussians.projection import DEPTH, LOG2_ALPHA_MIN, LOG2_OPACITY, RECORD, A, B, D, X, Y
from simulacra.render.gaussians.simd import (
    FAST,
    LANES,
    any_lane,
    broadcast,
    greater,
    greater_equal,
    iota,
    max_lane,
    maximum,
    minimum,
    select,
    sum_lanes,
    with_sign_set,
)
from simulacra.render.gaussians.simd_math import exp2
from simulacra.render.gaussians.simd_memory import load, peek, poke, prefetch, store
from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__, *SOURCES)

f32 = np.float32
MEDIAN = f32(reference.MEDIAN)
NOBODY = np.int32(-1)
SHARES = 2  # numbers of a slot: sum, maximum


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def median_gaussians(records, tile_starts, entries, width, height, start, stop, medians, depths):
    """The index and the depth of every pixel's median Gaussian, -1 and 0 where there is none, in tiles
    start..stop.
    """
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    planes, limits = np.empty(PLANE, np.float32), np.empty(4 * BATCH, np.int32)
    for tile in range(start, stop):
        x_tile, y_tile = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
        x_count, y_count = min(TILE_WIDTH, width - x_tile), min(TILE_HEIGHT, height - y_tile)
        start_tile(planes, 1, x_count, y_count)
        corner = y_tile * np.int64(width) + x_tile
        for y in range(y_count):
            for x in range(x_count):
                poke(medians, corner + y * width + x, NOBODY)
                poke(depths, corner + y * width + x, ZERO)
        entry, end = np.int64(tile_starts[tile]), np.int64(tile_starts[tile + 1])
        while entry < end and any_alive(planes):
            batch = entry
            boxes(records, entries, batch, end, f32(x_tile), f32(y_tile), limits)
            while entry < min(batch + BATCH, end):
                prefetch(records, np.int64(peek(entries, 2 * min(entry + AHEAD, end - 1))) * RECORD)
                x0, x1 = np.int64(peek(limits, entry - batch)), np.int64(peek(limits, entry - batch + BATCH))
                y0 = np.int64(peek(limits, entry - batch + 2 * BATCH))
                y1 = np.int64(peek(limits, entry - batch + 3 * BATCH))
                gaussian = peek(entries, 2 * entry)
                at = np.int64(gaussian) * RECORD
                px, py = peek(records, at + X) - f32(x_tile), peek(records, at + Y) - f32(y_tile)
                a, b, d = peek(records, at + A), peek(records, at + B), peek(records, at + D)
                log2_opacity = peek(records, at + LOG2_OPACITY)
                for x in range(x0, x1 + 1, LANES):
                    dx = iota() + (f32(x) + HALF - px)
                    constant, linear = broadcast(log2_opacity) - dx * dx * a, dx * b
                    for y in range(y0, y1 + 1):
                        pixel = y * ROW + x
                        dy = broadcast(f32(y) + HALF - py)
                        e = constant + dy * (linear - dy * d)
                        cut = exp2(minimum(e, LOG2_ALPHA_MAX))
                        opaque = select(greater_equal(e, LOG2_ALPHA_MIN), cut, ZERO)
                        t = load(planes, pixel)
                        t_before = maximum(t, ZERO)
                        t_after = t_before - opaque * t_before
                        alive = greater(t_after, MEDIAN)
                        store(planes, pixel, select(alive, t_after, with_sign_set(t)))
                        # Rare: a pixel gets dark once.
                        if any_lane(greater(select(alive, ZERO, t_before), ZERO)):
                            for lane in range(min(LANES, x_count - x)):
                                place = corner + y * width + x + lane
                                dark = y < y_count and planes[pixel + lane] < ZERO
                                if dark and peek(medians, place) < 0:
                                    poke(medians, place, gaussian)
                                    poke(depths, place, peek(records, at + DEPTH))
                entry += 1


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def measure_shares(records, tile_starts, entries, width, height, start, stop, ends, slots):
    """Sum and maximum of w in the slot of every entry of tiles start..stop; ``ends`` as ``blend`` left it."""
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    planes, limits = np.empty(PLANE, np.float32), np.empty(4 * BATCH, np.int32)
    for tile in range(start, stop):
        first, end, last = np.int64(tile_starts[tile]), np.int64(ends[tile]), np.int64(tile_starts[tile + 1])
        for entry in range(end, last):
            slot = np.int64(peek(entries, 2 * entry + 1)) * SHARES
            poke(slots, slot, ZERO)
            poke(slots, slot + 1, ZERO)
        x_tile, y_tile = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
        x_count, y_count = min(TILE_WIDTH, width - x_tile), min(TILE_HEIGHT, height - y_tile)
        start_tile(planes, 1, x_count, y_count)
        for entry in range(first, end):
            turn = (entry - first) % BATCH
            if turn == 0:
                boxes(records, entries, entry, end, f32(x_tile), f32(y_tile), limits)
            prefetch(records, np.int64(peek(entries, 2 * min(entry + AHEAD, end - 1))) * RECORD)
            x0, x1 = np.int64(peek(limits, turn)), np.int64(peek(limits, turn + BATCH))
            y0 = np.int64(peek(limits, turn + 2 * BATCH))
            y1 = np.int64(peek(limits, turn + 3 * BATCH))
            at = np.int64(peek(entries, 2 * entry)) * RECORD
            px, py = peek(records, at + X) - f32(x_tile), peek(records, at + Y) - f32(y_tile)
            a, b, d = peek(records, at + A), peek(records, at + B), peek(records, at + D)
            log2_opacity = peek(records, at + LOG2_OPACITY)
            total, most = broadcast(ZERO), broadcast(ZERO)
            for x in range(x0, x1 + 1, LANES):
                dx = iota() + (f32(x) + HALF - px)
                constant, linear = broadcast(log2_opacity) - dx * dx * a, dx * b
                dy = broadcast(f32(y0) + HALF - py)
                pixel = y0 * ROW + x
                for _ in range(y0, y1 + 1):
                    e = constant + dy * (linear - dy * d)
                    cut = exp2(minimum(e, LOG2_ALPHA_MAX))
                    opaque = select(greater_equal(e, LOG2_ALPHA_MIN), cut, ZERO)
                    t = load(planes, pixel)
                    t_before = maximum(t, ZERO)
                    weight = opaque * t_before
                    t_after = t_before - weight
                    alive = greater(t_after, T_MIN)
                    weight = select(alive, weight, ZERO)
                    store(planes, pixel, select(alive, t_after, with_sign_set(t)))
                    total, most = total + weight, maximum(most, weight)
                    dy = dy + ONE
                    pixel += ROW
            slot = np.int64(peek(entries, 2 * entry + 1)) * SHARES
            poke(slots, slot, sum_lanes(total))
            poke(slots, slot + 1, max_lane(most))


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def reduce_shares(slot_starts, slots, start, stop, totals, largest):
    """Sum and maximum over the slots of Gaussians start..stop."""
    for i in range(start, stop):
        total, most = ZERO, ZERO
        for slot in range(np.int64(peek(slot_starts, i)), np.int64(peek(slot_starts, i + 1))):
            total += peek(slots, slot * SHARES)
            most = max(most, peek(slots, slot * SHARES + 1))
        totals[i], largest[i] = total, most
