"""Compiled depth sort and tile lists: which Gaussians each tile looks at, near to far.

One stable radix sort by depth over all visible Gaussians, then one counting scatter into the tiles, which
keeps the order. Positive floats sort like their bit patterns, so keys are exact: ``bits(depth) -
bits(nearest)`` above the Gaussian's index; only as many 12-bit passes run as the depth range has bits (two
for a person a few metres away). Every pass is cut into parts that can run on several threads; the result
does not depend on the number of parts.

An entry of a tile's list is (Gaussian, slot): slots are numbered Gaussian by Gaussian, so that the backward
pass writes each (Gaussian, tile) gradient to a place of its own and the reduction over tiles is one linear
run.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.gaussians import simd, simd_memory
from simulacra.render.gaussians.simd_memory import prefetch
from simulacra.render.runtime.compiled import kernel_compiler
from simulacra.render.runtime.threads import run_ranges, split

kernel = kernel_compiler(__file__, simd.__file__, simd_memory.__file__)

RADIX_BITS = 12
RADIX = 1 << RADIX_BITS
AHEAD = 24  # Gaussians whose tiles are asked for before their turn
SERIAL_BELOW = 16384  # Gaussians: a second thread costs more than it brings


@kernel()
@no_type_check
def _count(depth_bits, tiles, start, stop, part, counts):
    """counts[part] = visible Gaussians, entries, least and greatest bits of depth."""
    visible, entries = 0, 0
    low, high = np.int64(2**31), np.int64(0)
    for i in range(start, stop):
        area = (np.int64(tiles[i, 1]) - tiles[i, 0] + 1) * (np.int64(tiles[i, 3]) - tiles[i, 2] + 1)
        if area > 0:
            visible += 1
            entries += area
            bits = np.int64(depth_bits[i])
            low, high = min(low, bits), max(high, bits)
    counts[part, 0], counts[part, 1], counts[part, 2], counts[part, 3] = visible, entries, low, high


@kernel()
@no_type_check
def _fill_keys(depth_bits, tiles, start, stop, key, slot, low, keys, slot_starts):
    """Keys of the visible Gaussians from ``key`` on, and the first slot of every Gaussian from ``slot``
    on.
    """
    for i in range(start, stop):
        slot_starts[i] = slot
        area = (np.int64(tiles[i, 1]) - tiles[i, 0] + 1) * (np.int64(tiles[i, 3]) - tiles[i, 2] + 1)
        if area > 0:
            slot += area
            keys[key] = (np.uint64(depth_bits[i] - low) << np.uint64(32)) | np.uint64(i)
            key += 1


@kernel()
@no_type_check
def _histogram(keys, start, stop, shift, counts):
    counts[:] = 0
    for i in range(start, stop):
        counts[(keys[i] >> np.uint64(shift)) & np.uint64(RADIX - 1)] += 1


@kernel()
@no_type_check
def _starts(counts):
    """Counts (part, bucket) to the first place of each, in place: bucket after bucket, in it part after
    part.
    """
    total = 0
    for bucket in range(counts.shape[1]):
        for part in range(counts.shape[0]):
            count = counts[part, bucket]
            counts[part, bucket] = total
            total += count


@kernel()
@no_type_check
def _scatter(keys, start, stop, shift, places, result):
    for i in range(start, stop):
        bucket = (keys[i] >> np.uint64(shift)) & np.uint64(RADIX - 1)
        result[places[bucket]] = keys[i]
        places[bucket] += 1


@njit(inline="always")
@no_type_check
def _first_tile(tiles, g, columns):
    """A Gaussian's first tile, how many it has in a row, and how many in all."""
    x0, x1 = np.int64(tiles[g, 0]), np.int64(tiles[g, 1])
    y0, y1 = np.int64(tiles[g, 2]), np.int64(tiles[g, 3])
    return y0 * columns + x0, x1 - x0 + 1, (x1 - x0 + 1) * (y1 - y0 + 1)


@kernel()
@no_type_check
def _count_tiles(keys, start, stop, tiles, columns, counts):
    for i in range(start, stop):
        prefetch(tiles, np.int64(np.uint32(keys[min(i + AHEAD, stop - 1)])) * 4)
        g = np.uint32(keys[i])
        tile, wide, area = _first_tile(tiles, g, columns)
        x = 0
        for _ in range(area):
            counts[np.uint32(tile)] += 1
            x += 1
            last = x == wide
            tile += columns - wide + 1 if last else 1
            x = 0 if last else x


@kernel()
@no_type_check
def _fill_tiles(keys, start, stop, tiles, columns, slot_starts, places, entries):
    for i in range(start, stop):
        ahead = np.int64(np.uint32(keys[min(i + AHEAD, stop - 1)]))
        prefetch(tiles, ahead * 4)
        prefetch(slot_starts, ahead)
        g = np.uint32(keys[i])
        slot = slot_starts[g]
        tile, wide, area = _first_tile(tiles, g, columns)
        x = 0
        for _ in range(area):
            place = np.uint32(places[np.uint32(tile)])
            places[np.uint32(tile)] += 1
            entries[place, 0] = g
            entries[place, 1] = slot
            slot += 1
            x += 1
            last = x == wide
            tile += columns - wide + 1 if last else 1
            x = 0 if last else x


def sort_into_tiles(
    depths: np.ndarray, tiles: np.ndarray, columns: int, rows: int, threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth-sorted lists of all tiles.

    Args:
        depths: float32, camera z of every Gaussian.
        tiles: int16 ``n 4``, first and last tile column and row of every Gaussian.
        columns: of tiles.
        rows: of tiles.
        threads: how many may work; the result is the same for any number.

    Returns:
        ``tile_starts`` (int32, tiles + 1: where each list begins), ``entries`` (int32 ``m 2``: Gaussian,
        slot) and ``slot_starts`` (int32 ``n + 1``: the slots of each Gaussian).
    """
    n = len(tiles)
    parts = threads if n >= SERIAL_BELOW else 1
    depth_bits = depths.view(np.int32)
    bounds = split(n, parts)
    counts = np.zeros((len(bounds) - 1, 4), np.int64)
    run_ranges(lambda p, a, b: _count(depth_bits, tiles, a, b, p, counts), bounds, threads)
    visible, total = int(counts[:, 0].sum()), int(counts[:, 1].sum())
    if total >= 2**31:
        raise ValueError(
            f"{total} pairs of Gaussian and tile are more than 32 bits number: Gaussians far too large?"
        )
    low, high = int(counts[:, 2].min()), int(counts[:, 3].max())
    keys, spare = np.empty(visible, np.uint64), np.empty(visible, np.uint64)
    slot_starts = np.empty(n + 1, np.int32)
    slot_starts[n] = total
    before = np.cumsum(counts[:, :2], axis=0) - counts[:, :2]
    run_ranges(
        lambda p, a, b: _fill_keys(
            depth_bits, tiles, a, b, int(before[p, 0]), int(before[p, 1]), low, keys, slot_starts
        ),
        bounds,
        threads,
    )
    bounds = split(visible, parts)
    places = np.empty((len(bounds) - 1, RADIX), np.int64)
    for shift in range(32, 32 + max(0, high - low).bit_length(), RADIX_BITS):
        keys, spare = _radix_pass(keys, spare, shift, places, bounds, threads)
    return (
        *_tile_lists(keys, tiles, slot_starts, columns * rows, columns, total, bounds, threads),
        slot_starts,
    )


def _radix_pass(
    keys: np.ndarray, spare: np.ndarray, shift: int, places: np.ndarray, bounds: list[int], threads: int
) -> tuple[np.ndarray, np.ndarray]:
    run_ranges(lambda p, a, b: _histogram(keys, a, b, shift, places[p]), bounds, threads)
    _starts(places)
    run_ranges(lambda p, a, b: _scatter(keys, a, b, shift, places[p], spare), bounds, threads)
    return spare, keys


def _tile_lists(
    keys: np.ndarray,
    tiles: np.ndarray,
    slot_starts: np.ndarray,
    count: int,
    columns: int,
    total: int,
    bounds: list[int],
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    places = np.zeros((len(bounds) - 1, count), np.int64)
    run_ranges(lambda p, a, b: _count_tiles(keys, a, b, tiles, columns, places[p]), bounds, threads)
    _starts(places)
    tile_starts = np.append(places[0], total).astype(np.int32)
    entries = np.empty((total, 2), np.int32)
    run_ranges(
        lambda p, a, b: _fill_tiles(keys, a, b, tiles, columns, slot_starts, places[p], entries),
        bounds,
        threads,
    )
    return tile_starts, entries
