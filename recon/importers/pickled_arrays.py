"""Dictionaries of arrays that were pickled, into .npy files or plainly, read without running what a pickle may hold.

A pickle is a program, and numpy's own classes are no safe place for it either: a dtype with a few bytes changed
crashes the interpreter. So none of the named classes is ever made: stand-ins take down what numpy would have been
told, and arrays of plain numbers are built of that, once their sizes fit. The unpickler is Python's own one, not the
compiled one, in which a wrong index allocates gigabytes; it runs only the few instructions that such files need.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
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
# Instructions that make one item, at most: a number in a tuple in a list in a dictionary takes some ten.
MOST_STEPS = 20
# What protocols 0 to 5 need for dictionaries, lists, tuples, text, numbers and numpy's way of making arrays.
INSTRUCTIONS = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BYTEARRAY8 UNICODE BINUNICODE "
    "SHORT_BINUNICODE EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT "
    "SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE "
    "NEWOBJ BUILD".split()
)
# Text of up to 999 letters, as numpy pads it.
TEXT = re.compile(r"U[1-9]\d{0,2}")
NUMBERS = {"f8": "f8", "f4": "f4", "f2": "f2", "i8": "i8", "i4": "i4", "i2": "i2", "u8": "u8", "u4": "u4", "u2": "u2",
           "u1": "u1", "b1": "?"}  # fmt: skip


def read_pickled_arrays(
    path: Path, most_bytes: int = MOST_BYTES, most_items: int = MOST_ITEMS
) -> dict[str, Any]:
    """The dictionary of an .npy file or of a plain pickle: numbers, text, and arrays of them.

    Args:
        path: known by its ending: .npy, or anything else for a plain pickle.
        most_bytes: of the file.
        most_items: numbers, texts, arrays and what holds them; a shared one counts wherever it is used.

    Raises:
        InputError: missing, damaged, or something else than a dictionary of arrays.
    """
    if not path.is_file():
        raise InputError("a calibration file is missing", where=path)
    try:
        with path.open("rb") as stream:
            content = stream.read(most_bytes + 1)
        program = _payload(content) if path.suffix == ".npy" else content
        if len(content) > most_bytes:
            raise ValueError(f"more than {most_bytes} bytes")
        _check_program(program, most_items)
        loaded = _Plain(most_items).of(_ArraysOnly(io.BytesIO(program), encoding="latin1").load())
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
    return content[start:]


def _check_program(program: bytes, most_items: int) -> None:
    """It has none but the few instructions, not too many of them, and each is whole."""
    for number, (instruction, _, _) in enumerate(pickletools.genops(program)):
        if instruction.name not in INSTRUCTIONS:
            raise pickle.UnpicklingError(f"instruction {instruction.name}")
        if number > MOST_STEPS * most_items:
            raise ValueError(f"more than {MOST_STEPS * most_items} instructions")


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


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> _Array:
    """Protocol 5 hands over the bytes at once."""
    made = _Array()
    made.state = (1, shape, dtype, order == "F", bytes(data) if isinstance(data, bytearray) else data)
    return made


def _encode(text: str, coding: str) -> bytes:
    """Older protocols write bytes as text."""
    if coding != "latin1":
        raise pickle.UnpicklingError(f"text coding {coding}")
    return text.encode("latin1")


class _Sparse:
    """A matrix of scipy in compressed rows or columns; `read_pickled_arrays` gives its state as a dictionary."""

    by = ""
    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Rows(_Sparse):
    by = "rows"


class _Columns(_Sparse):
    by = "columns"


class _Object:
    """The base of every class, which older protocols name."""


def _remade(kind: type, base: type, state: object) -> object:
    """How protocols before the second make an instance: without its arguments."""
    if not issubclass(kind, _Sparse) or base is not _Object or state is not None:
        raise pickle.UnpicklingError("an object that is no array")
    return kind()


_STAND_INS = {
    ("multiarray", "_reconstruct"): _reconstruct,
    ("multiarray", "scalar"): _scalar,
    ("numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("sparse", "csr_matrix"): _Rows,
    ("sparse", "csc_matrix"): _Columns,
    ("copyreg", "_reconstructor"): _remade,
    ("builtins", "object"): _Object,
}


class _ArraysOnly(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if re.fullmatch(r"numpy\._?core\.(multiarray|numeric)", module):
            module = module.rsplit(".", 1)[1]
        if re.fullmatch(r"scipy\.sparse(\._?cs[rc])?", module):
            module = "sparse"
        module = {"copy_reg": "copyreg", "__builtin__": "builtins"}.get(module, module)
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return _STAND_INS[module, name]


class _Plain:
    """What the stand-ins took down, as dictionaries, lists and arrays; of bounded size, for parts may be shared."""

    def __init__(self, most_items: int) -> None:
        self.left = most_items

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
        if isinstance(value, _Sparse) and isinstance(value.state, dict):
            return {"by": value.by, **self.of(value.state, depth + 1)}
        if value is None or isinstance(value, int | float | str):
            return value
        raise TypeError(f"{type(value).__name__} in a calibration")

    def _build(self, state: tuple[Any, ...], depth: int) -> Any:
        _, shape, dtype, columns_first, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise TypeError("an array without a type")
        if isinstance(data, list):
            return self.of(data, depth + 1)
        code = dtype.code if isinstance(dtype.code, str) else ""
        kind = code if TEXT.fullmatch(code) else NUMBERS.get(code)
        if isinstance(data, str):  # as Python 2 wrote bytes
            data = data.encode("latin1")
        if kind is None or not isinstance(data, bytes):
            raise TypeError(f"an array of {dtype.code}")
        numbers = np.frombuffer(data, dtype.order + kind)
        return numbers.reshape(shape, order="F" if columns_first else "C").copy()
