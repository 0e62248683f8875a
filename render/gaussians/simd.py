"""Eight float32 lanes as a value inside Numba functions: LLVM's ``<8 x float>``, no compiler on the user's
machine.

Numba vectorises simple loops by itself, but not the read-modify-write rows of a rasterizer (measured: 3 to
4 times slower in the backward pass). ``Float8`` makes the lanes explicit; LLVM lowers them to AVX, to two
NEON or SSE halves, or to scalars, so nothing here is bound to one processor.

``Float8`` takes + - * / with itself and with a scalar ``float32`` (not a Python float: it is a float64),
comparisons go through ``greater``, ``less`` and ``select``. All arithmetic may contract to fused
multiply-add and assumes finite numbers, but never reassociates: ``exp2`` rounds with a magic number, which
reassociation would cancel.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
# Fast-math without `reassoc`, for Numba's scalar code and for the lanes alike.
FAST = ("nnan", "ninf", "nsz", "arcp", "contract")

_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(_INT32, LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_UNDEFINED = ir.Constant(_FLOATS, ir.Undefined)


class Float8Type(types.Type):
    """Numba type of eight float32 lanes."""

    def __init__(self) -> None:
        super().__init__(name="Float8")


class Mask8Type(types.Type):
    """Numba type of eight booleans, one a lane."""

    def __init__(self) -> None:
        super().__init__(name="Mask8")


float8 = Float8Type()
mask8 = Mask8Type()


@register_model(Float8Type)
class _Float8Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


@register_model(Mask8Type)
class _Mask8Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BITS)


def _splat(builder: Any, scalar: Any) -> Any:
    first = builder.insert_element(_UNDEFINED, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, _UNDEFINED, ir.Constant(_INTS, [0] * LANES))


def _lanes(builder: Any, kind: Any, value: Any) -> Any:
    """The value as lanes, whether it came as lanes or as a scalar."""
    return value if kind == float8 else _splat(builder, value)


def _takes_lanes(a: Any, b: Any) -> bool:
    return {a, b} in ({float8}, {float8, types.float32})


def _arithmetic(symbol: Any, instruction: str) -> None:
    """Make a Python operator act on Float8 by one LLVM instruction.

    By typing and lowering rules, not by an inlined ``overload``: hundreds of inlined calls made one kernel compile for
    most of a minute.
    """

    @infer_global(symbol)
    class _Operator(AbstractTemplate):
        @no_type_check
        def generic(self, arguments, keywords):
            if len(arguments) == 2 and _takes_lanes(*arguments):
                return signature(float8, *arguments)
            return None

    @no_type_check
    def generate(context, builder, signature, arguments):
        x, y = (_lanes(builder, k, v) for k, v in zip(signature.args, arguments))
        return getattr(builder, instruction)(x, y, flags=FAST)

    for kinds in ((float8, float8), (float8, types.float32), (types.float32, float8)):
        lower_builtin(symbol, *kinds)(generate)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@infer_global(operator.neg)
class _Negation(AbstractTemplate):
    @no_type_check
    def generic(self, arguments, keywords):
        return signature(float8, float8) if arguments == (float8,) else None


@lower_builtin(operator.neg, float8)
@no_type_check
def _negative(context, builder, signature, arguments):
    return builder.fneg(arguments[0])


def _comparison(sign: str) -> Callable:
    @intrinsic
    @no_type_check
    def compare(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            x, y = (_lanes(builder, k, v) for k, v in zip(signature.args, arguments))
            return builder.fcmp_ordered(sign, x, y, flags=FAST)

        return mask8(a, b), generate

    return compare


greater = _comparison(">")
greater_equal = _comparison(">=")
less = _comparison("<")


def _extremum(sign: str) -> Callable:
    @intrinsic
    @no_type_check
    def choose(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            x, y = (_lanes(builder, k, v) for k, v in zip(signature.args, arguments))
            return builder.select(builder.fcmp_ordered(sign, x, y, flags=FAST), x, y)

        return float8(a, b), generate

    return choose


maximum = _extremum(">")
minimum = _extremum("<")


def _unary(name: str) -> Callable:
    """A function of LLVM's own, lane by lane."""

    @intrinsic
    @no_type_check
    def call(typing_context, a):
        def generate(context, builder, signature, arguments):
            kind = ir.FunctionType(_FLOATS, [_FLOATS])
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v8f32")
            return builder.call(function, arguments)

        return float8(a), generate

    return call


square_root = _unary("sqrt")
floor = _unary("floor")
ceil = _unary("ceil")


@intrinsic
@no_type_check
def select(typing_context, mask, a, b):
    """Lanes of ``a`` where ``mask``, else of ``b``; either may be a scalar."""

    def generate(context, builder, signature, arguments):
        x, y = (_lanes(builder, k, v) for k, v in zip(signature.args[1:], arguments[1:]))
        return builder.select(arguments[0], x, y)

    return float8(mask, a, b), generate


@intrinsic
@no_type_check
def both(typing_context, a, b):
    """Logical and of two masks."""

    def generate(context, builder, signature, arguments):
        return builder.and_(*arguments)

    return mask8(a, b), generate


@intrinsic
@no_type_check
def any_lane(typing_context, mask):
    """Whether the mask holds in any lane."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(mask), generate


@intrinsic
@no_type_check
def broadcast(typing_context, scalar):
    """A float32 in all lanes."""

    def generate(context, builder, signature, arguments):
        return _splat(builder, arguments[0])

    return float8(types.float32), generate


@intrinsic
@no_type_check
def iota(typing_context):
    """0, 1, ... 7."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(_FLOATS, [float(i) for i in range(LANES)])

    return float8(), generate


@intrinsic
@no_type_check
def with_sign_set(typing_context, a):
    """-|a|, by the sign bit."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], _INTS)
        return builder.bitcast(builder.or_(bits, ir.Constant(_INTS, [-(2**31)] * LANES)), _FLOATS)

    return float8(a), generate


@intrinsic
@no_type_check
def without_sign(typing_context, a):
    """|a|, by the sign bit."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], _INTS)
        return builder.bitcast(builder.and_(bits, ir.Constant(_INTS, [2**31 - 1] * LANES)), _FLOATS)

    return float8(a), generate


@intrinsic
@no_type_check
def _add_exponent(typing_context, integer_in_low_bits, a):
    """``a`` times 2 to the integer that the magic-number rounding left in the low mantissa bits."""

    def generate(context, builder, signature, arguments):
        exponent = builder.shl(builder.bitcast(arguments[0], _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(exponent, builder.bitcast(arguments[1], _INTS)), _FLOATS)

    return float8(integer_in_low_bits, a), generate


# 2**f on [-1/2, 1/2]: minimax polynomial of its relative error (9e-8; with float32 rounding 2e-7), 1 at f =
# 0.
_ROUND = np.float32(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low mantissa bits
_ONE = np.float32(1.0)
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


def _element_pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@intrinsic
@no_type_check
def load(typing_context, array, index):
    """Eight consecutive float32 of a contiguous array, from flat ``index`` on (no bounds check)."""

    def generate(context, builder, signature, arguments):
        pointer = _element_pointer(context, builder, signature.args[0], *arguments)
        value = builder.load(builder.bitcast(pointer, _FLOATS.as_pointer()))
        value.align = 4
        return value

    return float8(array, types.int64), generate


@intrinsic
@no_type_check
def store(typing_context, array, index, value):
    """Write eight consecutive float32 of a contiguous array, from flat ``index`` on (no bounds check)."""

    def generate(context, builder, signature, arguments):
        pointer = _element_pointer(context, builder, signature.args[0], *arguments[:2])
        instruction = builder.store(arguments[2], builder.bitcast(pointer, _FLOATS.as_pointer()))
        instruction.align = 4
        return context.get_dummy_value()

    return types.void(array, types.int64, float8), generate


@intrinsic
@no_type_check
def peek(typing_context, array, index):
    """One element of a contiguous array at a flat index that is known to be inside: no check, no negative
    indices.
    """

    def generate(context, builder, signature, arguments):
        return builder.load(_element_pointer(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.int64), generate


@intrinsic
@no_type_check
def poke(typing_context, array, index, value):
    """Write one element of a contiguous array at a flat index that is known to be inside."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _element_pointer(context, builder, signature.args[0], *arguments[:2]))
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), generate


def _row_pointers(context: Any, builder: Any, kind: Any, arguments: Any) -> list[Any]:
    """Pointers to one column of eight consecutive rows; rows beyond the last are the last."""
    array, first, last, stride, column = arguments
    pointers = []
    for i in range(LANES):
        row = builder.add(first, ir.Constant(_INT64, i))
        row = builder.select(builder.icmp_signed("<", row, last), row, last)
        at = builder.add(builder.mul(row, stride), column)
        pointers.append(_element_pointer(context, builder, kind, array, at))
    return pointers


@intrinsic
@no_type_check
def load_rows(typing_context, array, first, last, stride, column):
    """``column`` of the rows ``first``, ``first + 1``, ...; lanes beyond row ``last`` repeat it."""

    def generate(context, builder, signature, arguments):
        lanes = _UNDEFINED
        for i, pointer in enumerate(_row_pointers(context, builder, signature.args[0], arguments)):
            lanes = builder.insert_element(lanes, builder.load(pointer), ir.Constant(_INT32, i))
        return lanes

    return float8(array, *[types.int64] * 4), generate


@intrinsic
@no_type_check
def store_rows(typing_context, array, first, last, stride, column, value):
    """The reverse of ``load_rows``: lanes beyond row ``last`` carry that row's value again, so they do no
    harm.

    An array of integers gets the lanes truncated.
    """

    def generate(context, builder, signature, arguments):
        value = arguments[5]
        if isinstance(signature.args[0].dtype, types.Integer):
            bits = ir.VectorType(ir.IntType(signature.args[0].dtype.bitwidth), LANES)
            value = builder.fptosi(value, bits)
        for i, pointer in enumerate(_row_pointers(context, builder, signature.args[0], arguments[:5])):
            builder.store(builder.extract_element(value, ir.Constant(_INT32, i)), pointer)
        return context.get_dummy_value()

    return types.void(array, *[types.int64] * 4, float8), generate


@intrinsic
@no_type_check
def load_listed(typing_context, array, rows, first, last, stride, column):
    """``column`` of the rows that are named by ``rows[2 i]`` for i = ``first``, ...; beyond ``last``, again
    that one.

    ``rows`` is a contiguous int32 array of pairs, of which the first of each names a row.
    """

    def generate(context, builder, signature, arguments):
        array, rows, first, last, stride, column = arguments
        lanes = _UNDEFINED
        for i in range(LANES):
            place = builder.add(first, ir.Constant(_INT64, i))
            place = builder.select(builder.icmp_signed("<", place, last), place, last)
            place = builder.mul(place, ir.Constant(_INT64, 2))
            row = builder.load(_element_pointer(context, builder, signature.args[1], rows, place))
            at = builder.add(builder.mul(builder.sext(row, _INT64), stride), column)
            pointer = _element_pointer(context, builder, signature.args[0], array, at)
            lanes = builder.insert_element(lanes, builder.load(pointer), ir.Constant(_INT32, i))
        return lanes

    return float8(array, rows, *[types.int64] * 4), generate


@intrinsic
@no_type_check
def store_integers(typing_context, array, index, value):
    """Write the lanes, truncated to integers, to eight consecutive places of a contiguous int32 array."""

    def generate(context, builder, signature, arguments):
        pointer = _element_pointer(context, builder, signature.args[0], *arguments[:2])
        integers = builder.fptosi(arguments[2], _INTS)
        builder.store(integers, builder.bitcast(pointer, _INTS.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(array, types.int64, float8), generate


_TRIPLE = ir.VectorType(ir.FloatType(), 3 * LANES)
_TRIPLE_INTS = ir.VectorType(_INT32, 3 * LANES)


@intrinsic
@no_type_check
def store_triples(typing_context, array, index, a, b, c):
    """Write a0 b0 c0 a1 b1 c1 ... to 24 consecutive float32 of a contiguous array."""

    def generate(context, builder, signature, arguments):
        a, b, c = arguments[2:]
        double = ir.Constant(ir.VectorType(_INT32, 2 * LANES), list(range(2 * LANES)))
        ab, c_ = builder.shuffle_vector(a, b, double), builder.shuffle_vector(c, c, double)
        order = [channel * LANES + i for i in range(LANES) for channel in range(3)]
        triples = builder.shuffle_vector(ab, c_, ir.Constant(_TRIPLE_INTS, order))
        pointer = _element_pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(triples, builder.bitcast(pointer, _TRIPLE.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(array, types.int64, a, b, c), generate


@intrinsic
@no_type_check
def load_triples(typing_context, array, index):
    """The reverse of ``store_triples``: three values of eight lanes."""
    result = types.UniTuple(float8, 3)

    def generate(context, builder, signature, arguments):
        pointer = _element_pointer(context, builder, signature.args[0], *arguments)
        triples = builder.load(builder.bitcast(pointer, _TRIPLE.as_pointer()))
        triples.align = 4
        parts = [
            builder.shuffle_vector(
                triples, triples, ir.Constant(_INTS, [3 * i + channel for i in range(LANES)])
            )
            for channel in range(3)
        ]
        return context.make_tuple(builder, result, parts)

    return result(array, types.int64), generate


def _shuffle(builder: Any, a: Any, b: Any, indices: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(_INTS, indices))


@intrinsic
@no_type_check
def sum_lanes(typing_context, a):
    """The sum of the eight lanes, always in the same order."""

    def generate(context, builder, signature, arguments):
        value = arguments[0]
        for step in (4, 2, 1):
            turned = _shuffle(builder, value, value, [(i + step) % LANES for i in range(LANES)])
            value = builder.fadd(value, turned)
        return builder.extract_element(value, ir.Constant(_INT32, 0))

    return types.float32(float8), generate


@intrinsic
@no_type_check
def sum_each(typing_context, a, b, c, d, e, f, g, h):
    """Lane i of the result is the sum of the i-th argument's lanes: eight reductions for little more than
    one.
    """

    def generate(context, builder, signature, arguments):
        def pairs(vectors, width):
            # Add neighbouring blocks of `width` lanes, and interleave the results of two vectors block by
            # block.
            left = [i for i in range(LANES) if not (i // width) % 2]
            joined = []
            for x, y in zip(vectors[0::2], vectors[1::2]):
                order_low, order_high = [], []
                for block in range(0, LANES, 2 * width):
                    inside = [i for i in left if block <= i < block + 2 * width]
                    order_low += inside + [i + LANES for i in inside]
                    order_high += [i + width for i in inside] + [i + width + LANES for i in inside]
                joined.append(
                    builder.fadd(_shuffle(builder, x, y, order_low), _shuffle(builder, x, y, order_high))
                )
            return joined

        vectors = list(arguments)
        for width in (1, 2, 4):
            vectors = pairs(vectors, width)
        return vectors[0]

    return float8(*[float8] * LANES), generate


@intrinsic
@no_type_check
def prefetch(typing_context, array, index):
    """Ask the processor to bring the cache line at flat ``index`` of a contiguous array nearer."""

    def generate(context, builder, signature, arguments):
        pointer = _element_pointer(context, builder, signature.args[0], *arguments)
        address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, _INT32, _INT32, _INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, *(ir.Constant(_INT32, i) for i in (0, 3, 1))])  # read, keep, data
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
