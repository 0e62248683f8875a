"""Exponentials and logarithms of eight lanes, by polynomials that LLVM turns into a few multiply-adds.

In base 2, where scaling by a power is integer arithmetic on the exponent bits. Nothing reassociates (see
``simd``), so the magic-number rounding of ``exp2`` holds.
"""

from __future__ import annotations

import math
from typing import Any, no_type_check

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit

from simulacra.render.gaussians.simd import (
    FAST,
    FLOATS,
    INTS,
    LANES,
    float8,
    lane_function,
    maximum,
    minimum,
    without_sign,
)


@lane_function(float8)
def _add_exponent(builder: Any, integer_in_low_bits: Any, a: Any) -> Any:
    """``a`` times 2 to the integer that the magic-number rounding left in the low mantissa bits."""
    exponent = builder.shl(builder.bitcast(integer_in_low_bits, INTS), ir.Constant(INTS, [23] * LANES))
    return builder.bitcast(builder.add(exponent, builder.bitcast(a, INTS)), FLOATS)


# 2**f on [-1/2, 1/2]: minimax polynomial of its relative error (9e-8; with float32 rounding 2e-7), 1 at 0.
_ROUND = np.float32(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low mantissa bits
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LOWEST = np.float32(-126.0)  # 2**_LOWEST is the least normal number
_E1 = np.float32(6.9314700e-1)
_E2 = np.float32(2.4022242e-1)
_E3 = np.float32(5.5507336e-2)
_E4 = np.float32(9.671513e-3)
_E5 = np.float32(1.326472e-3)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def exp2(x):
    """2**x for lanes in about [-126, 127]; garbage outside, which the caller masks."""
    rounded = x + _ROUND
    f = x - (rounded - _ROUND)
    return _add_exponent(rounded, ((((f * _E5 + _E4) * f + _E3) * f + _E2) * f + _E1) * f + _ONE)


@lane_function(float8)
def _exponent(builder: Any, a: Any) -> Any:
    """Of positive lanes: the whole number e for which a / 2**e is in [sqrt(1/2), sqrt(2)), as a float."""
    above = builder.sub(builder.bitcast(a, INTS), ir.Constant(INTS, [_SQRT_HALF_BITS] * LANES))
    return builder.sitofp(builder.ashr(above, ir.Constant(INTS, [23] * LANES)), FLOATS)


@lane_function(float8)
def _mantissa(builder: Any, a: Any) -> Any:
    """Of positive lanes: a / 2**e with the e of ``_exponent``."""
    bits = builder.bitcast(a, INTS)
    above = builder.sub(bits, ir.Constant(INTS, [_SQRT_HALF_BITS] * LANES))
    whole = builder.and_(above, ir.Constant(INTS, [-(1 << 23)] * LANES))
    return builder.bitcast(builder.sub(bits, whole), FLOATS)


_SQRT_HALF_BITS = 0x3F3504F3
# log2(m) = 2 / ln 2 (s + s^3/3 + s^5/5 + ...), s = (m - 1) / (m + 1); |s| < 0.1716, so four terms are good to 5e-8.
_L1, _L3, _L5, _L7 = (np.float32(2 / math.log(2) / k) for k in (1, 3, 5, 7))


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def log2(a):
    """log2 of positive, normal lanes."""
    m = _mantissa(a)
    s = (m - _ONE) / (m + _ONE)
    squared = s * s
    return _exponent(a) + s * (((squared * _L7 + _L5) * squared + _L3) * squared + _L1)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def log2_sigmoid(x):
    """log2(1 / (1 + 2**-x)) for any lanes: min(x, 0) - log2(1 + 2**-|x|)."""
    return minimum(x, _ZERO) - log2(exp2(maximum(-without_sign(x), _LOWEST)) + _ONE)
