"""The probability models that residuals are coded with: one fixed family of integer tables, the same on every machine.

A symbol s of 0 to 254 is the residual s - 127; 255 is an escape, after which the residual is told apart. Each model is
frequencies that sum to 2^12. The family has four shapes (a two-sided geometric distribution, a normal one, a plateau
with geometric flanks, a heavy-tailed mixture of two geometric ones), each in scales a third of an octave apart. Tables
are made by integer products and quotients of whole constants: nothing in them depends on how a machine rounds.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8, UInt16

BITS = 12
TOTAL = 1 << BITS
MIDDLE, ESCAPE, SYMBOLS = 127, 255, 256
SCALES, SHAPES = 30, 4
MODELS = SHAPES * SCALES
# Scale i is 2^(i/3) / 10 residual steps: the powers of 2^(1/3) in 2^-20ths.
_THIRDS = (1048576, 1321123, 1664511)
_ONE = 1 << 40


@dataclass(frozen=True)
class Tables:
    """All models.

    Attributes:
        frequencies: of each symbol in 4096ths; 0 where a model does not know it.
        starts: sum of the frequencies of earlier symbols.
        symbols: which symbol each 4096th belongs to.
    """

    frequencies: UInt16[np.ndarray, "models 256"]
    starts: UInt16[np.ndarray, "models 256"]
    symbols: UInt8[np.ndarray, "models 4096"]


@functools.cache
def tables() -> Tables:
    """The family, made once a process."""
    rows = [_frequencies(shape, scale) for shape in range(SHAPES) for scale in range(SCALES)]
    frequencies = np.array(rows, np.uint16)
    starts = np.zeros_like(frequencies)
    starts[:, 1:] = np.cumsum(frequencies[:, :-1], axis=1)
    symbols = np.stack([np.repeat(np.arange(SYMBOLS, dtype=np.uint8), row) for row in frequencies])
    return Tables(frequencies, starts, symbols)


@functools.cache
def costs() -> np.ndarray:
    """Bits that each symbol costs in each model, ``models 256`` float64: infinite where it has to be escaped."""
    with np.errstate(divide="ignore"):
        return BITS - np.log2(tables().frequencies.astype(np.float64))


def _scale(index: int) -> int:
    """A scale in 2^-20ths of a step."""
    return (_THIRDS[index % 3] << (index // 3)) // 10


def _frequencies(shape: int, scale: int) -> list[int]:
    """One model: weights of the residuals 0, 1, 2 ... and of all beyond, brought to whole 4096ths."""
    weights = _weights(shape, _scale(scale))
    inside, tail = weights[: MIDDLE + 1], sum(weights[MIDDLE + 1 :])
    total = inside[0] + 2 * sum(inside[1:]) + 2 * tail
    half = [weight * TOTAL // total for weight in inside]
    lost = 2 * tail + 2 * sum(w for w, f in zip(inside, half, strict=True) if not f)
    escape = max(1, lost * TOTAL // total)
    row = [half[abs(symbol - MIDDLE)] for symbol in range(SYMBOLS - 1)] + [escape]
    row[MIDDLE] += TOTAL - sum(row)
    return row


def _weights(shape: int, scale: int) -> list[int]:
    """Weights of the residuals from 0 to 511 to either side."""
    if shape == 0:
        return _geometric(scale)
    if shape == 1:
        # exp(-k^2 / 2 b^2): each quotient of neighbours is the last one times exp(-1 / b^2).
        first, again = _decay(2 * scale * scale >> 20), _decay(scale * scale >> 20)
        found, quotient = [_ONE], first
        for _ in range(511):
            found.append(found[-1] * quotient >> 40)
            quotient = quotient * again >> 40
        return found
    if shape == 2:
        flat = (2 * scale) >> 20
        return ([_ONE] * flat + _geometric(max(scale // 3, 1 << 16)))[:512]
    narrow, wide = _geometric(scale // 2), _geometric(2 * scale)
    return [3 * a + b for a, b in zip(narrow, wide, strict=True)]


def _geometric(scale: int) -> list[int]:
    decay, found = _decay(scale), [_ONE]
    for _ in range(511):
        found.append(found[-1] * decay >> 40)
    return found


def _decay(scale: int) -> int:
    """exp(-1 / b) in 2^-40ths for b in 2^-20ths: (1 - 1/(4096 b))^4096 by twelve squarings."""
    one = 1 << 60
    power = max(0, one - one // 4096 * (1 << 20) // max(scale, 1))
    for _ in range(12):
        power = power * power >> 60
    return power >> 20
