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
from inspect import Parameter, Signature
from inspect import signature as signature_of
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
    return value if kind in (float8, mask8) else _splat(builder, value)


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


def declare_intrinsic(call: Callable, write: Callable, *names: str) -> Callable:
    """The intrinsic ``call``, documented as ``write`` and with parameters of these names: Numba takes no ``*kinds``."""
    call.__name__, call.__doc__ = write.__name__, write.__doc__
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("typing_context", *names)]
    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return intrinsic(call)


def lane_function(result: Any) -> Callable[[Callable], Callable]:
    """Make ``write(builder, *lanes)``, which writes LLVM instructions, a function inside Numba code that returns
    ``result``. Scalars among its arguments come as lanes.
    """

    def declare(write: Callable) -> Callable:
        @no_type_check
        def call(typing_context, *kinds):
            def generate(context, builder, signature, arguments):
                return write(builder, *(_lanes(builder, k, v) for k, v in zip(kinds, arguments)))

            return result(*kinds), generate

        return declare_intrinsic(call, write, *list(signature_of(write).parameters)[1:])

    return declare


def _comparison(sign: str) -> Callable:
    return lane_function(mask8)(lambda builder, x, y: builder.fcmp_ordered(sign, x, y, flags=FAST))


greater = _comparison(">")
greater_equal = _comparison(">=")
less = _comparison("<")


def _choose(builder: Any, sign: str, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(sign, x, y, flags=FAST), x, y)


def _extremum(sign: str) -> Callable:
    return lane_function(float8)(lambda builder, x, y: _choose(builder, sign, x, y))


maximum = _extremum(">")
minimum = _extremum("<")


def _unary(name: str) -> Callable:
    """A function of LLVM's own, lane by lane."""

    @lane_function(float8)
    def call(builder: Any, a: Any) -> Any:
        kind = ir.FunctionType(FLOATS, [FLOATS])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v8f32"), [a])

    return call


square_root = _unary("sqrt")
floor = _unary("floor")
ceil = _unary("ceil")


@lane_function(float8)
def select(builder: Any, mask: Any, a: Any, b: Any) -> Any:
    """Lanes of ``a`` where ``mask``, else of ``b``; either may be a scalar."""
    return builder.select(mask, a, b)


@lane_function(mask8)
def both(builder: Any, a: Any, b: Any) -> Any:
    """Logical and of two masks."""
    return builder.and_(a, b)


@lane_function(types.boolean)
def any_lane(builder: Any, mask: Any) -> Any:
    """Whether the mask holds in any lane."""
    bits = builder.bitcast(mask, ir.IntType(LANES))
    return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))


@lane_function(float8)
def broadcast(builder: Any, lanes: Any) -> Any:
    """A float32 in all lanes."""
    return lanes


@lane_function(float8)
def iota(builder: Any) -> Any:
    """0, 1, ... 7."""
    return ir.Constant(FLOATS, [float(i) for i in range(LANES)])


@lane_function(float8)
def with_sign_set(builder: Any, a: Any) -> Any:
    """-|a|, by the sign bit."""
    bits = builder.bitcast(a, INTS)
    return builder.bitcast(builder.or_(bits, ir.Constant(INTS, [-(2**31)] * LANES)), FLOATS)


@lane_function(float8)
def without_sign(builder: Any, a: Any) -> Any:
    """|a|, by the sign bit."""
    bits = builder.bitcast(a, INTS)
    return builder.bitcast(builder.and_(bits, ir.Constant(INTS, [2**31 - 1] * LANES)), FLOATS)


def _shuffle(builder: Any, a: Any, b: Any, indices: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(INTS, indices))


def _fold(combine: Callable) -> Callable:
    """All lanes into one, always in the same order, by ``combine(builder, x, y)``."""

    @lane_function(types.float32)
    def fold(builder: Any, value: Any) -> Any:
        for step in (4, 2, 1):
            turned = _shuffle(builder, value, value, [(i + step) % LANES for i in range(LANES)])
            value = combine(builder, value, turned)
        return builder.extract_element(value, ir.Constant(INT32, 0))

    return fold


sum_lanes = _fold(lambda builder, x, y: builder.fadd(x, y))
max_lane = _fold(lambda builder, x, y: _choose(builder, ">", x, y))


@lane_function(float8)
def sum_each(builder: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Lane i of the result is the sum of the i-th argument's lanes: eight reductions for little more than one."""
    vectors = (a, b, c, d, e, f, g, h)
    for width in (1, 2, 4):
        # Add neighbouring blocks of `width` lanes, and interleave the results of two vectors block by block.
        order = []
        for block in range(0, LANES, 2 * width):
            inside = list(range(block, block + width))
            order += inside + [i + LANES for i in inside]
        later = [i + width for i in order]
        pairs = zip(vectors[0::2], vectors[1::2])
        vectors = tuple(
            builder.fadd(_shuffle(builder, x, y, order), _shuffle(builder, x, y, later)) for x, y in pairs
        )
    return vectors[0]
