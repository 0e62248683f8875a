"""Joints measured another way, in a file of arrays."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.errors import InputError

# Of all arrays unpacked: a hundred joints for a day.
LARGEST_REFERENCE = 1 << 29
# What zip files, numpy's headers (Python's text, and sizes that no memory has) and compressed data raise when they are
# damaged.
DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    EOFError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_reference(path: Path) -> tuple[tuple[str, ...], tuple[int, ...], Float[np.ndarray, "t k 3"]]:
    """Names, frame indices and world positions in metres of a file of reference joints.

    Raises:
        InputError: missing, damaged, or arrays that do not fit each other.
    """
    if not path.is_file():
        raise InputError("a reference is missing", where=path)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_REFERENCE:
                raise InputError(
                    "a reference is too large", where=path, expected=f"<= {LARGEST_REFERENCE} bytes"
                )
        with np.load(path) as stored:
            names, frames, joints = (np.asarray(stored[key]) for key in ("names", "frames", "joints"))
    except DAMAGE as error:
        raise InputError("a reference cannot be read", where=path, found=str(error)[:120]) from error
    kinds = names.dtype.kind == "U" and frames.dtype.kind in "iu" and joints.dtype.kind == "f"
    if not kinds or (names.ndim, frames.ndim) != (1, 1) or joints.shape != (len(frames), len(names), 3):
        raise InputError(
            "the arrays of a reference do not fit each other",
            where=path,
            expected="names [k], frames [t], joints [t k 3]",
            found=f"{names.shape} {frames.shape} {joints.shape}",
        )
    return tuple(map(str, names)), tuple(map(int, frames)), joints.astype(np.float64)
