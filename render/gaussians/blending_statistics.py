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
    BATCH,
    HALF,
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
from simulacra.render.gaussians.projection import DEPTH
from simulacra.render.gaussians.simd import (
    FAST,
    LANES,
    any_lane,
    broadcast,
    greater,
    max_lane,
    maximum,
    select,
    sum_lanes,
)
from simulacra.render.gaussians.simd_memory import peek, poke
from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__, *SOURCES)

f32 = np.float32
MEDIAN = f32(reference.MEDIAN)
NOBODY = np.int32(-1)
SHARES = 2  # numbers of a slot: sum, maximum


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def median_gaussians(records, lists, size, start, stop, medians, depths):
    """The index and the depth of every pixel's median Gaussian, -1 and 0 where there is none, in tiles
    start..stop.
    """
    tile_starts, entries = lists
    planes, limits = np.empty(PLANE, np.float32), np.empty(4 * BATCH, np.int32)
    for tile in range(start, stop):
        x_tile, y_tile, x_count, y_count = tile_area(tile, size)
        start_tile(planes, 1, x_count, y_count)
        corner = y_tile * np.int64(size[0]) + x_tile
        for y in range(y_count):
            for x in range(x_count):
                poke(medians, corner + y * size[0] + x, NOBODY)
                poke(depths, corner + y * size[0] + x, ZERO)
        entry, end = np.int64(tile_starts[tile]), np.int64(tile_starts[tile + 1])
        while entry < end and any_alive(planes):
            batch = entry
            while entry < min(batch + BATCH, end):
                x0, x1, y0, y1 = next_box(records, entries, entry, entry - batch, end, x_tile, y_tile, limits)
                at, px, py, a, b, d, log2_opacity = read_record(records, entries, entry, x_tile, y_tile)
                for x in range(x0, x1 + 1, LANES):
                    _dx, _dy, constant, linear = start_strip(x, y0, px, py, a, b, log2_opacity)
                    for y in range(y0, y1 + 1):
                        pixel = y * ROW + x
                        dy = broadcast(f32(y) + HALF - py)
                        e = constant + dy * (linear - dy * d)
                        t_before, _weight, alive = pass_light(planes, pixel, opacity(e), MEDIAN)
                        # Rare: a pixel gets dark once.
                        if any_lane(greater(select(alive, ZERO, t_before), ZERO)):
                            for lane in range(min(LANES, x_count - x)):
                                place = corner + y * size[0] + x + lane
                                dark = y < y_count and planes[pixel + lane] < ZERO
                                if dark and peek(medians, place) < 0:
                                    poke(medians, place, peek(entries, 2 * entry))
                                    poke(depths, place, peek(records, at + DEPTH))
                entry += 1


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def measure_shares(records, lists, size, start, stop, ends, slots):
    """Sum and maximum of w in the slot of every entry of tiles start..stop; ``ends`` as ``blend`` left it."""
    tile_starts, entries = lists
    planes, limits = np.empty(PLANE, np.float32), np.empty(4 * BATCH, np.int32)
    for tile in range(start, stop):
        first, end, last = np.int64(tile_starts[tile]), np.int64(ends[tile]), np.int64(tile_starts[tile + 1])
        for entry in range(end, last):
            slot = np.int64(peek(entries, 2 * entry + 1)) * SHARES
            poke(slots, slot, ZERO)
            poke(slots, slot + 1, ZERO)
        x_tile, y_tile, x_count, y_count = tile_area(tile, size)
        start_tile(planes, 1, x_count, y_count)
        for entry in range(first, end):
            turn = (entry - first) % BATCH
            x0, x1, y0, y1 = next_box(records, entries, entry, turn, end, x_tile, y_tile, limits)
            _at, px, py, a, b, d, log2_opacity = read_record(records, entries, entry, x_tile, y_tile)
            total, most = broadcast(ZERO), broadcast(ZERO)
            for x in range(x0, x1 + 1, LANES):
                _dx, dy, constant, linear = start_strip(x, y0, px, py, a, b, log2_opacity)
                pixel = y0 * ROW + x
                for _ in range(y0, y1 + 1):
                    e = constant + dy * (linear - dy * d)
                    _before, weight, _alive = pass_light(planes, pixel, opacity(e), T_MIN)
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
