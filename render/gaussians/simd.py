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

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
# Fast-math without `reassoc`, for Numba's scalar code and for the lanes alike.
FAST = ("nnan", "ninf", "nsz", "arcp", "contract")

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
INTS = ir.VectorType(INT32, LANES)
BITS = ir.VectorType(ir.IntType(1), LANES)
UNDEFINED = ir.Constant(FLOATS, ir.Undefined)


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
        super().__init__(manager, kind, FLOATS)


@register_model(Mask8Type)
class _Mask8Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, BITS)


def _splat(builder: Any, scalar: Any) -> Any:
    first = builder.insert_element(UNDEFINED, scalar, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, UNDEFINED, ir.Constant(INTS, [0] * LANES))


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
            kind = ir.FunctionType(FLOATS, [FLOATS])
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
        return ir.Constant(FLOATS, [float(i) for i in range(LANES)])

    return float8(), generate


@intrinsic
@no_type_check
def with_sign_set(typing_context, a):
    """-|a|, by the sign bit."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], INTS)
        return builder.bitcast(builder.or_(bits, ir.Constant(INTS, [-(2**31)] * LANES)), FLOATS)

    return float8(a), generate


@intrinsic
@no_type_check
def without_sign(typing_context, a):
    """|a|, by the sign bit."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], INTS)
        return builder.bitcast(builder.and_(bits, ir.Constant(INTS, [2**31 - 1] * LANES)), FLOATS)

    return float8(a), generate


def _shuffle(builder: Any, a: Any, b: Any, indices: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(INTS, indices))


def _folded(combine: Callable) -> Callable:
    """All lanes into one, always in the same order, by ``combine(builder, x, y)``."""

    @intrinsic
    @no_type_check
    def fold(typing_context, a):
        def generate(context, builder, signature, arguments):
            value = arguments[0]
            for step in (4, 2, 1):
                turned = _shuffle(builder, value, value, [(i + step) % LANES for i in range(LANES)])
                value = combine(builder, value, turned)
            return builder.extract_element(value, ir.Constant(INT32, 0))

        return types.float32(a), generate

    return fold


sum_lanes = _folded(lambda builder, x, y: builder.fadd(x, y))
max_lane = _folded(lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y, flags=FAST), x, y))


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
