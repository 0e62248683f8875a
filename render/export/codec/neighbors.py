"""Residuals of neighbours and what they say: the kernels that decode an attribute, and their twins that encode it.

A Gaussian's value is predicted by up to six of the nearest Gaussians of earlier levels, weighted by the inverse square
of their distance; how much these differ, and how wrong their own predictions were, chooses the model of its residual.
All in 64-bit whole numbers.

Points are looked up in hash grids whose cells double from one to the next; a query uses the grid whose cells are about
twice as wide as the known points are apart there, and looks at the eight cells nearest to it. A cell gives at most
``MOST_IN_CELL`` points, those that were entered last, so that no file can make this slow.

Symbols: ``n`` Gaussians, ``k`` neighbours, ``c`` channels of an attribute, ``r`` rows (Gaussians of one level).
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from simulacra.render.export.codec import coder, models
from simulacra.render.export.codec.coder import plain_step, step
from simulacra.render.runtime.compiled import kernel_compiler

NEIGHBORS = 6
MOST_IN_CELL = 12
GRIDS = 12  # cells of 2^(FINEST + g) units
FINEST = 5  # 2^5 / 2^16 m: half a millimetre
NEAR = 43  # (a tenth of a millimetre)^2, added to squared distances
CONTEXTS = 28  # by how much neighbours differ; the last is of those without neighbours
WEIGHT_BITS = 12  # weights of a Gaussian's neighbours sum to 2^12
ALONE = CONTEXTS - 1
MOST_VALUE = 1 << 30
_ESCAPE, _MIDDLE = models.ESCAPE, models.MIDDLE

compiled = kernel_compiler(__file__, models.__file__, coder.__file__)


@no_type_check
@compiled(inline="always")
def _cell(x, y, z, mask):
    return (x * 73856093 ^ y * 19349663 ^ z * 83492791) & mask


@no_type_check
@compiled()
def enter_points(points, rows, heads, chains, used):
    """Enters the points of ``rows`` into the grids: ``heads`` ``grids m`` (-1: nothing), ``chains`` ``grids n``."""
    mask = heads.shape[1] - 1
    for grid in range(GRIDS):
        if not used[grid]:
            continue
        shift = FINEST + grid
        for i in rows:
            cell = _cell(points[i, 0] >> shift, points[i, 1] >> shift, points[i, 2] >> shift, mask)
            chains[grid, i] = heads[grid, cell]
            heads[grid, cell] = i


@no_type_check
@compiled()
def find_neighbors(points, rows, grids, heads, chains, neighbors, weights):
    """Fills in ``neighbors`` and ``weights``, ``r k`` each (0 where there are fewer), of the points of ``rows``.

    Args: ``grids`` ``r``: in which grid each looks.
    """
    mask = heads.shape[1] - 1
    best = np.empty(NEIGHBORS, np.int64)
    for r in range(len(rows)):
        i, grid = rows[r], grids[r]
        shift = FINEST + grid
        half = np.int64(1) << (shift - 1)
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        x0, y0, z0 = (x - half) >> shift, (y - half) >> shift, (z - half) >> shift
        found = 0
        for corner in range(8):
            cell_x, cell_y, cell_z = x0 + (corner & 1), y0 + ((corner >> 1) & 1), z0 + (corner >> 2)
            j, seen = heads[grid, _cell(cell_x, cell_y, cell_z, mask)], 0
            while j >= 0 and seen < MOST_IN_CELL:
                seen += 1
                px, py, pz = points[j, 0], points[j, 1], points[j, 2]
                inside = px >> shift == cell_x and py >> shift == cell_y and pz >> shift == cell_z
                if inside:
                    d = (px - x) * (px - x) + (py - y) * (py - y) + (pz - z) * (pz - z)
                    if found < NEIGHBORS or d < best[found - 1]:
                        at = found if found < NEIGHBORS else NEIGHBORS - 1
                        while at > 0 and best[at - 1] > d:
                            best[at] = best[at - 1]
                            neighbors[r, at] = neighbors[r, at - 1]
                            at -= 1
                        best[at] = d
                        neighbors[r, at] = j
                        found = min(found + 1, NEIGHBORS)
                j = chains[grid, j]
        total = np.int64(0)
        for k in range(found):
            best[k] = (np.int64(1) << 40) // (best[k] + NEAR) + 1
            total += best[k]
        left = 1 << WEIGHT_BITS
        for k in range(NEIGHBORS - 1, -1, -1):
            if k >= found:
                neighbors[r, k], weights[r, k] = 0, 0
            elif k:
                weights[r, k] = (best[k] << WEIGHT_BITS) // total
                left -= weights[r, k]
            else:
                weights[r, k] = left


@no_type_check
@compiled(inline="always")
def _predict(values, misses, neighbors, weights, r, start, shift):
    """What neighbours say of a value: the value, and the context of its residual."""
    if weights[r, 0] == 0:
        return np.int64(start), ALONE
    above = np.int64(1 << (WEIGHT_BITS - 1))
    for k in range(NEIGHBORS):
        above += np.int64(weights[r, k]) * values[neighbors[r, k]]
    predicted = above >> WEIGHT_BITS
    doubt = np.int64(0)
    for k in range(NEIGHBORS):
        j = neighbors[r, k]
        doubt += weights[r, k] * (((11 * abs(values[j] - predicted)) >> shift) + 8 * np.int64(misses[j]))
    doubt >>= WEIGHT_BITS
    bits, left = 0, doubt
    while left:
        left >>= 1
        bits += 1
    half = (doubt >> (bits - 2)) & 1 if bits >= 2 else 0
    return predicted, min(max(2 * bits + half - 4, 0), ALONE - 1)


@no_type_check
@compiled()
def residuals_of(wanted, values, misses, rows, neighbors, weights, start, shifts, residuals, contexts):
    """Encodes one channel of one level: fills in ``residuals`` and ``contexts``, ``r``, and what the decoder will have.

    Args: ``wanted`` ``n``: the values; ``values``, ``misses`` ``n``: what the decoder has; ``start``: what is predicted
    without neighbours; ``shifts`` ``n``: residuals are in steps of 2 to this power.
    """
    for r in range(len(rows)):
        i = rows[r]
        predicted, context = _predict(values, misses, neighbors, weights, r, start, shifts[i])
        residual = (wanted[i] - predicted + ((np.int64(1) << shifts[i]) >> 1)) >> shifts[i]
        residuals[r], contexts[r] = residual, context
        values[i], misses[i] = predicted + (residual << shifts[i]), min(abs(residual), 1 << 20)


@no_type_check
@compiled(inline="always")
def _residual(words, states, cursor, frequencies, cumulated, symbols, escapes, chosen, lows, context):
    """Decodes one residual: its symbol, the low bits that are told as they are, or what was escaped."""
    symbol = step(words, states, cursor, frequencies, cumulated, symbols, chosen[context])
    low = lows[context]
    if symbol == _ESCAPE:
        at = cursor[3]
        cursor[3] = at + 1
        if at < len(escapes):
            return escapes[at]
        cursor[2] = 1
        return np.int64(0)
    residual = np.int64(symbol) - _MIDDLE
    if low:
        residual = (residual << low) | plain_step(words, states, cursor, low)
    return residual


@no_type_check
@compiled()
def decode_channel(
    words, states, cursor, frequencies, cumulated, symbols, escapes,
    chosen, lows, values, misses, rows, neighbors, weights, start, shifts,
):  # fmt: skip
    """Decodes one channel of one level into ``values`` and ``misses``, ``n``.

    Args: ``chosen`` and ``lows``: the model of each context, and how many low bits are told as they are.
    """
    for r in range(len(rows)):
        i = rows[r]
        predicted, context = _predict(values, misses, neighbors, weights, r, start, shifts[i])
        residual = _residual(
            words, states, cursor, frequencies, cumulated, symbols, escapes, chosen, lows, context
        )
        value = predicted + (residual << shifts[i])
        if abs(value) > MOST_VALUE:
            cursor[2] = 1
            value = np.int64(0)
        values[i], misses[i] = value, min(abs(residual), 1 << 20)


@no_type_check
@compiled()
def decode_known(
    words, states, cursor, frequencies, cumulated, symbols, escapes, chosen, lows, contexts, expected, found
):  # fmt: skip
    """Decodes numbers whose contexts and expected values, ``r`` each, are known beforehand into ``found``."""
    for r in range(len(contexts)):
        found[r] = expected[r] + _residual(
            words, states, cursor, frequencies, cumulated, symbols, escapes, chosen, lows, contexts[r]
        )
