"""Eight lanes to and from the memory of Numba arrays: rows of pixels, columns of records, whole cache lines.

No function checks bounds: an index that is wrong reads or writes elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, no_type_check

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from simulacra.render.gaussians.simd import (
    FLOATS,
    INT32,
    INT64,
    INTS,
    LANES,
    UNDEFINED,
    declare_intrinsic,
    float8,
)


def _element_pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _memory_function(result: Any, *kinds: Any) -> Callable[[Callable], Callable]:
    """Make ``write(builder, pointer, *values)`` a function of a contiguous array, a flat index and values of
    ``kinds`` inside Numba code; ``result`` None is the array's own number, and so is a kind None.
    """

    def declare(write: Callable) -> Callable:
        @no_type_check
        def call(typing_context, array, index, *values):
            def generate(context, builder, signature, arguments):
                pointer = _element_pointer(context, builder, array, *arguments[:2])
                written = write(builder, pointer, *arguments[2:])
                if isinstance(result, types.UniTuple):
                    return context.make_tuple(builder, result, written)
                return context.get_dummy_value() if result is types.void else written

            taken = (array.dtype if kind is None else kind for kind in kinds)
            return (result or array.dtype)(array, types.int64, *taken), generate

        return declare_intrinsic(call, write, "array", "index", *list(signature(write).parameters)[2:])

    return declare


@_memory_function(float8)
def load(builder: Any, pointer: Any) -> Any:
    """Eight consecutive float32 of a contiguous array, from flat ``index`` on (no bounds check)."""
    value = builder.load(builder.bitcast(pointer, FLOATS.as_pointer()))
    value.align = 4
    return value


@_memory_function(types.void, float8)
def store(builder: Any, pointer: Any, value: Any) -> None:
    """Write eight consecutive float32 of a contiguous array, from flat ``index`` on (no bounds check)."""
    builder.store(value, builder.bitcast(pointer, FLOATS.as_pointer())).align = 4


@_memory_function(None)
def peek(builder: Any, pointer: Any) -> Any:
    """One element of a contiguous array at a flat index that is known to be inside: no check, no negative
    indices.
    """
    return builder.load(pointer)


@_memory_function(types.void, None)
def poke(builder: Any, pointer: Any, value: Any) -> None:
    """Write one element of a contiguous array at a flat index that is known to be inside."""
    builder.store(value, pointer)


def _row_pointers(context: Any, builder: Any, kind: Any, arguments: Any) -> list[Any]:
    """Pointers to one column of eight consecutive rows; rows beyond the last are the last."""
    array, first, last, stride, column = arguments
    pointers = []
    for i in range(LANES):
        row = builder.add(first, ir.Constant(INT64, i))
        row = builder.select(builder.icmp_signed("<", row, last), row, last)
        at = builder.add(builder.mul(row, stride), column)
        pointers.append(_element_pointer(context, builder, kind, array, at))
    return pointers


@intrinsic
@no_type_check
def load_rows(typing_context, array, first, last, stride, column):
    """``column`` of the rows ``first``, ``first + 1``, ...; lanes beyond row ``last`` repeat it."""

    def generate(context, builder, signature, arguments):
        lanes = UNDEFINED
        for i, pointer in enumerate(_row_pointers(context, builder, signature.args[0], arguments)):
            lanes = builder.insert_element(lanes, builder.load(pointer), ir.Constant(INT32, i))
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
            builder.store(builder.extract_element(value, ir.Constant(INT32, i)), pointer)
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
        lanes = UNDEFINED
        for i in range(LANES):
            place = builder.add(first, ir.Constant(INT64, i))
            place = builder.select(builder.icmp_signed("<", place, last), place, last)
            place = builder.mul(place, ir.Constant(INT64, 2))
            row = builder.load(_element_pointer(context, builder, signature.args[1], rows, place))
            at = builder.add(builder.mul(builder.sext(row, INT64), stride), column)
            pointer = _element_pointer(context, builder, signature.args[0], array, at)
            lanes = builder.insert_element(lanes, builder.load(pointer), ir.Constant(INT32, i))
        return lanes

    return float8(array, rows, *[types.int64] * 4), generate


@_memory_function(types.void, float8)
def store_integers(builder: Any, pointer: Any, value: Any) -> None:
    """Write the lanes, truncated to integers, to eight consecutive places of a contiguous int32 array."""
    builder.store(builder.fptosi(value, INTS), builder.bitcast(pointer, INTS.as_pointer())).align = 4


_TRIPLE = ir.VectorType(ir.FloatType(), 3 * LANES)
_TRIPLE_INTS = ir.VectorType(INT32, 3 * LANES)


@_memory_function(types.void, float8, float8, float8)
def store_triples(builder: Any, pointer: Any, a: Any, b: Any, c: Any) -> None:
    """Write a0 b0 c0 a1 b1 c1 ... to 24 consecutive float32 of a contiguous array."""
    double = ir.Constant(ir.VectorType(INT32, 2 * LANES), list(range(2 * LANES)))
    ab, c_ = builder.shuffle_vector(a, b, double), builder.shuffle_vector(c, c, double)
    order = [channel * LANES + i for i in range(LANES) for channel in range(3)]
    triples = builder.shuffle_vector(ab, c_, ir.Constant(_TRIPLE_INTS, order))
    builder.store(triples, builder.bitcast(pointer, _TRIPLE.as_pointer())).align = 4


@_memory_function(types.UniTuple(float8, 3))
def load_triples(builder: Any, pointer: Any) -> list[Any]:
    """The reverse of ``store_triples``: three values of eight lanes."""
    triples = builder.load(builder.bitcast(pointer, _TRIPLE.as_pointer()))
    triples.align = 4
    orders = [[3 * i + channel for i in range(LANES)] for channel in range(3)]
    return [builder.shuffle_vector(triples, triples, ir.Constant(INTS, order)) for order in orders]


@_memory_function(types.void)
def prefetch(builder: Any, pointer: Any) -> None:
    """Ask the processor to bring the cache line at flat ``index`` of a contiguous array nearer."""
    address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [address.type, INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [address, *(ir.Constant(INT32, i) for i in (0, 3, 1))])  # read, keep, data
