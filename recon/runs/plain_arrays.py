"""Arrays of numbers or text in other people's .npy and .npz files: never unpickled, bounded in memory.

numpy makes room for what an array's header claims before it reads the data. Here the data is read first, at most so
many bytes of it, and the header only says what it means.
"""

from __future__ import annotations

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

# What a damaged archive, stream or header raises; RuntimeError where an archive says that it is encrypted.
DAMAGE = (
    OSError, ValueError, LookupError, ArithmeticError, TypeError, EOFError, RuntimeError, SyntaxError, MemoryError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip


def plain_array(content: bytes, kinds: str = "fiu") -> np.ndarray:
    """The array of an .npy file's bytes.

    Args:
        kinds: numpy's letters of the types that are taken.

    Raises:
        ValueError: something else, or damaged (and what else `DAMAGE` has).
    """
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(stream)
    if dtype.hasobject or dtype.kind not in kinds:
        raise ValueError(f"an array of {dtype}")
    count = int(np.prod(shape, dtype=object)) if shape else 1
    array = np.frombuffer(content, dtype, count, stream.tell())
    return array.reshape(shape, order="F" if columns_first else "C")


def plain_arrays(
    path: Path, wanted: Collection[str], most_bytes: int, kinds: str = "fiu"
) -> dict[str, np.ndarray]:
    """Those arrays of an .npz that are wanted and there.

    Args:
        most_bytes: of all of them together, unpacked.

    Raises:
        ValueError: one is too large, or not plain (and what else `DAMAGE` has).
    """
    found, left = {}, most_bytes
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            if name not in wanted or not member.endswith(".npy"):
                continue
            with archive.open(member) as stream:
                content = stream.read(left + 1)
            if len(content) > left:
                raise ValueError(f"more than {most_bytes} bytes")
            left -= len(content)
            found[name] = plain_array(content, kinds)
    return found


def names_in(path: Path) -> list[str]:
    """What the arrays of an .npz are called; raises what `DAMAGE` has."""
    with zipfile.ZipFile(path) as archive:
        return [member.removesuffix(".npy") for member in archive.namelist()]
