"""The eight-lane type against numpy, lane by lane."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba import njit

from simulacra.render.gaussians import simd, simd_math, simd_memory

f32 = np.float32


@njit
def _arithmetic(a, b, s, out):
    x, y = simd_memory.load(a, 0), simd_memory.load(b, 3)  # unaligned on purpose
    simd_memory.store(out, 0, x + y * s)
    simd_memory.store(out, 8, s - x / y)
    simd_memory.store(out, 16, -x * y)
    simd_memory.store(out, 24, simd.minimum(x, y) + simd.maximum(x, s))
    simd_memory.store(out, 32, simd.select(simd.both(simd.greater(x, y), simd.less(x, s)), x, s))
    simd_memory.store(out, 40, simd.floor(x) + simd.ceil(y))
    simd_memory.store(out, 48, simd.square_root(simd.maximum(x, f32(0))) + simd.iota())
    simd_memory.store(out, 56, simd.with_sign_set(x) + simd.broadcast(s))


def test_arithmetic() -> None:
    rng = np.random.default_rng(0)
    a, b, s = rng.normal(size=11).astype(f32), rng.normal(size=11).astype(f32), f32(0.4)
    out = np.zeros(64, f32)
    _arithmetic(a, b, s, out)
    x, y = a[:8], b[3:]
    expected = [
        x + y * s,
        s - x / y,
        -x * y,
        np.minimum(x, y) + np.maximum(x, s),
        np.where((x > y) & (x < s), x, s),
        np.floor(x) + np.ceil(y),
        np.sqrt(np.maximum(x, 0)) + np.arange(8),
        -abs(x) + s,
    ]
    # 4e-7: one or two roundings, which fused multiply-add may leave out.
    np.testing.assert_allclose(out.reshape(8, 8), expected, rtol=4e-7, atol=4e-7)


@njit
def _exp2(x, out):
    for i in range(0, len(x), 8):
        simd_memory.store(out, i, simd_math.exp2(simd_memory.load(x, i)))


def test_exp2_over_the_range_that_alpha_uses() -> None:
    x = np.linspace(-8, 0, 8000, dtype=f32)
    out = np.zeros_like(x)
    _exp2(x, out)
    np.testing.assert_allclose(out, np.exp2(x.astype(np.float64)), rtol=4e-7)


@njit
def _sums(a, out):
    v = (simd_memory.load(a, 0), simd_memory.load(a, 8), simd_memory.load(a, 16), simd_memory.load(a, 24))
    w = (simd_memory.load(a, 32), simd_memory.load(a, 40), simd_memory.load(a, 48), simd_memory.load(a, 56))
    simd_memory.store(out, 0, simd.sum_each(v[0], v[1], v[2], v[3], w[0], w[1], w[2], w[3]))
    out[8] = simd.sum_lanes(v[3])


def test_sums_of_lanes() -> None:
    a = np.arange(64, dtype=f32) ** 2
    out = np.zeros(9, f32)
    _sums(a, out)
    assert np.array_equal(out[:8], a.reshape(8, 8).sum(1))  # integers below 2^24: exact
    assert out[8] == a[24:32].sum()


@njit
def _rows(a, integers, out):
    value = simd_memory.load_rows(a, 2, 6, 3, 1)
    simd_memory.store_rows(out, 2, 6, 3, 1, value * f32(2))
    simd_memory.store_rows(integers, 2, 6, 1, 0, value)


def test_rows_stop_at_the_last() -> None:
    """Rows 2 to 6 of a column of three: the other columns and the rows after stay as they were."""
    a = np.arange(30, dtype=f32).reshape(10, 3)
    out, integers = np.full((10, 3), -1, f32), np.full(10, -1, np.int32)
    _rows(a, integers, out)
    expected = np.full((10, 3), -1, f32)
    expected[2:7, 1] = 2 * a[2:7, 1]
    assert np.array_equal(out, expected)
    assert np.array_equal(integers[2:7], a[2:7, 1].astype(np.int32))
    assert (integers[[0, 1, 7, 8, 9]] == -1).all()


@njit
def _lists(a, pairs, integers, triples, out):
    value = simd_memory.load_listed(a, pairs, 1, 5, 3, 2)
    simd_memory.store_integers(integers, 1, value)
    x, y, z = simd_memory.load_triples(triples, 2)
    simd_memory.store_triples(out, 1, x, y * f32(2), z)
    simd_memory.store(out, 25, simd.without_sign(x - z))
    return simd.any_lane(simd.greater(x, f32(28))), simd.any_lane(simd.greater(x, f32(22.5)))


def test_listed_rows_and_triples() -> None:
    a = np.arange(30, dtype=f32).reshape(10, 3)
    rows = np.array([9, 4, 0, 2, 2, 7, 1, 3], np.int32)
    pairs = np.stack([rows, np.full(8, 99, np.int32)], 1)
    integers, triples, out = np.zeros(10, np.int32), np.arange(26, dtype=f32), np.zeros(33, f32)
    assert _lists(a, pairs, integers, triples, out) == (False, True)  # the greatest x is 23
    assert integers.tolist() == [0, *a[rows[[1, 2, 3, 4, 5, 5, 5, 5]], 2].astype(int), 0]
    expected = triples[2:].reshape(8, 3) * [1, 2, 1]
    assert np.array_equal(out[1:25], expected.ravel())
    assert np.array_equal(out[25:], np.full(8, 2))


@njit
def _log2(x, logarithms, sigmoids):
    for i in range(0, len(x), 8):
        v = simd_memory.load(x, i)
        simd_memory.store(logarithms, i, simd_math.log2(simd.maximum(v, f32(1e-30))))
        simd_memory.store(sigmoids, i, simd_math.log2_sigmoid(v))


def test_logarithms() -> None:
    """log2 to two roundings of its value; of a sigmoid, to those of 1 + 2**-|x|, at any x."""
    x = np.concatenate([np.geomspace(1e-30, 1e30, 8000), 1 + np.linspace(-1e-3, 1e-3, 8000)]).astype(f32)
    logarithms, sigmoids = np.zeros_like(x), np.zeros_like(x)
    _log2(x, logarithms, sigmoids)
    np.testing.assert_allclose(logarithms, np.log2(x.astype(np.float64)), rtol=3e-7, atol=1e-9)
    x = np.concatenate([np.linspace(-300, 300, 8000), np.linspace(-1, 1, 8000)]).astype(f32)
    _log2(x, logarithms, sigmoids)
    expected = -np.logaddexp2(0, -x.astype(np.float64))
    np.testing.assert_allclose(sigmoids, expected, rtol=3e-7, atol=2e-7)


@njit
def _most(a, out):
    out[0] = simd.max_lane(simd_memory.load(a, 0))


def test_greatest_lane() -> None:
    for place in range(8):
        a, out = -np.ones(8, f32), np.zeros(1, f32)
        a[place] = 3
        _most(a, out)
        assert out[0] == 3


@pytest.mark.parametrize("function", [_arithmetic, _exp2, _log2, _sums, _rows, _lists])
def test_lanes_are_bound_to_no_processor(function) -> None:
    """What LLVM made of a function for this processor names none of its instructions (Numba's own counting
    of references apart), and turns into code for 64-bit ARM whose lanes are NEON's.
    """
    if not function.signatures:
        pytest.skip("runs after the tests above, which compile the functions")
    code = next(iter(function.inspect_llvm().values()))
    code = code.replace("llvm.x86.atomic.sub.cc.i64", "counting").replace("immarg", "")
    assert "llvm.x86" not in code
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    except RuntimeError:
        pytest.skip("this llvmlite has no code generator for 64-bit ARM")
    layout = "e-m:e-i8:8:32-i16:16:32-i64:64-i128:128-n32:64-S128"
    code = re.sub("target triple = .*", f'target triple = "{target.triple}"', code)
    code = re.sub("target datalayout = .*", f'target datalayout = "{layout}"', code)
    code = re.sub('"target-(cpu|features)"="[^"]*"', "", code)
    machine = target.create_target_machine(cpu="generic", features="+neon", opt=3)
    assert re.search(r"\bv\d+\.4s", machine.emit_assembly(llvm.parse_assembly(code)))
