"""Arrays of long captures that stay on disk: mapped into memory, of which only what is being looked at is held.

Records of numpy's `savez` are zip archives without compression, so that their arrays lie in the file as they are.
"""

from __future__ import annotations

import math
import mmap
import tokenize
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from simulacra.recon.runs.files import check_file

_BLOCK_BYTES = 1 << 20
# What the standard library says of an archive with wrong bytes: of another version or method, encrypted or cut off;
# and of an array's header, which is Python's text: a size beyond all numbers, one without an end, one too deep.
_DAMAGE = (
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    MemoryError,
    tokenize.TokenError,
)
_LOCAL_HEADER = 30  # bytes of a zip archive's header of one file, before the name and the extra field


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz that `recon.runs.files.write_arrays` or `pack_arrays` wrote, read only.

    Raises:
        OSError: the file is missing.
        ValueError: it is damaged, or not such a file.
    """
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes(members, path.stat().st_size)
            bad = archive.testzip()
            if bad is not None:
                raise ValueError(f"{bad} is damaged")
        with path.open("rb") as stream:
            return {m.filename.removesuffix(".npy"): _map_member(stream, path, m) for m in members}
    except _DAMAGE as error:
        raise ValueError(str(error) or "it ends too soon") from error


def _check_sizes(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Before any is read: members are as long as they are in the file, and do not lie in one place."""
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename} is compressed")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it holds two arrays of one name")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its arrays are longer than the file")


def _map_member(stream: IO[bytes], path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    stream.seek(member.header_offset)
    header = stream.read(_LOCAL_HEADER)
    stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects")
    if dtype.kind not in "fiubU":
        raise ValueError(f"{member.filename} holds neither numbers nor text: {dtype}")
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} is of another size than its header says")
    if 0 in shape or not dtype.itemsize:
        return np.zeros(shape, dtype)
    order = "F" if fortran else "C"
    return np.memmap(path, dtype, "r", stream.tell(), shape, order)  # type: ignore[call-overload]


def new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of zeros in a file of its own, to be filled; it is in memory where there is nothing in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "w+", shape=shape)


def release(array: np.ndarray) -> None:
    """Gives back the memory of a mapped array; it is read again, or what was written kept, as needed. Others stay."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def pack_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the npz that `recon.runs.files.write_arrays` writes, to the byte, without holding any array whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.npz")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                described = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(stream, described)
                rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes)) if array.ndim else 1
                for start in range(0, len(array), rows):
                    stream.write(np.ascontiguousarray(array[start : start + rows]).tobytes())
                    release(array)
    partial.replace(path)
