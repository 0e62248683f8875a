"""Dictionaries of arrays that numpy pickled into .npy files, read without running anything that a pickle may hold.

A pickle is a program, and numpy's own classes are no safe place for it either: a dtype with a few bytes changed
crashes the interpreter. So none of the named classes is ever made: stand-ins take down what numpy would have been
told, and arrays of plain numbers are built of that, once their sizes fit. The unpickler is Python's own one, not the
compiled one, in which a wrong index allocates gigabytes; it runs only the few instructions that such files need.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.render.runtime.errors import InputError

# Whatever a damaged or hostile pickle can raise.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
    AssertionError,
    struct.error,
    pickle.UnpicklingError,
)
# A file of K and RT has 600 bytes.
MOST_BYTES = 1 << 18
MOST_ITEMS = 10_000
# What protocols 0 to 5 need for dictionaries, lists, tuples, text, numbers and numpy's way of making arrays.
INSTRUCTIONS = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES UNICODE BINUNICODE SHORT_BINUNICODE EMPTY_LIST LIST "
    "APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET "
    "PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD".split()
)
NUMBERS = {"f8": "f8", "f4": "f4", "f2": "f2", "i8": "i8", "i4": "i4", "i2": "i2", "u1": "u1", "b1": "?"}


def read_pickled_arrays(path: Path) -> dict[str, Any]:
    """The dictionary of an .npy file: numbers, text, and arrays of numbers.

    Raises:
        InputError: missing, damaged, or something else than a dictionary of arrays.
    """
    if not path.is_file():
        raise InputError("a calibration file is missing", where=path)
    try:
        with path.open("rb") as stream:
            program = _payload(stream.read(MOST_BYTES + 1))
        loaded = _Plain().of(_ArraysOnly(io.BytesIO(program)).load())
        # A single object is stored as an array of one, without a shape.
        found = loaded[0] if isinstance(loaded, list) and len(loaded) == 1 else loaded
    except _DAMAGE as error:
        raise InputError(
            "a calibration file cannot be read",
            where=path,
            expected="a dictionary of arrays",
            found=str(error) or type(error).__name__,
        ) from error
    if not isinstance(found, dict):
        raise InputError("a calibration file holds no dictionary", where=path, found=type(found).__name__)
    return found


def _payload(content: bytes) -> bytes:
    """The pickle in an .npy file. Its header is not evaluated: only that it announces objects matters."""
    if not content.startswith(b"\x93NUMPY") or len(content) < 12:
        raise ValueError("not an .npy file")
    size = 2 if content[6] == 1 else 4
    start = 8 + size + int.from_bytes(content[8 : 8 + size], "little")
    if b"O'" not in content[8 + size : start]:
        raise ValueError("an array, and not a dictionary")
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    program = content[start:]
    for instruction, _, _ in pickletools.genops(program):
        if instruction.name not in INSTRUCTIONS:
            raise pickle.UnpicklingError(f"instruction {instruction.name}")
    return program


class _Dtype:
    def __init__(self, code: object = None, *options: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


def _reconstruct(*told: object) -> _Array:
    return _Array()


def _scalar(dtype: object, data: object) -> _Array:
    made = _Array()
    made.state = (1, (), dtype, False, data)
    return made


def _encode(text: str, coding: str) -> bytes:
    """Older protocols write bytes as text."""
    if coding != "latin1":
        raise pickle.UnpicklingError(f"text coding {coding}")
    return text.encode("latin1")


_STAND_INS = {
    ("multiarray", "_reconstruct"): _reconstruct,
    ("multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _ArraysOnly(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            module = "multiarray"
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return _STAND_INS[module, name]


class _Plain:
    """What the stand-ins took down, as dictionaries, lists and arrays; of bounded size, for parts may be shared."""

    def __init__(self) -> None:
        self.left = MOST_ITEMS

    def of(self, value: object, depth: int = 0) -> Any:
        self.left -= 1
        if depth > 8 or self.left < 0:
            raise ValueError("nested too deeply or too large")
        if isinstance(value, dict):
            return {str(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        if isinstance(value, _Array):
            return self._build(value.state, depth)
        if value is None or isinstance(value, int | float | str):
            return value
        raise TypeError(f"{type(value).__name__} in a calibration")

    def _build(self, state: tuple[Any, ...], depth: int) -> Any:
        _, shape, dtype, columns_first, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise TypeError("an array without a type")
        if isinstance(data, list):
            return self.of(data, depth + 1)
        if dtype.code not in NUMBERS or not isinstance(data, bytes):
            raise TypeError(f"an array of {dtype.code}")
        numbers = np.frombuffer(data, dtype.order + NUMBERS[dtype.code])
        return numbers.reshape(shape, order="F" if columns_first else "C").copy()
