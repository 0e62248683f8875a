"""Depth that is no picture file of ours: EXR and numpy's arrays in metres, PNG in millimetres."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.exr_depth import decode_exr
from simulacra.recon.runs.plain_arrays import DAMAGE, plain_array
from simulacra.render.image import read_uint16
from simulacra.render.runtime.errors import InputError

DEPTH_ENDINGS = (".exr", ".png", ".npz", ".npy")
# So many files are decoded at a time.
BATCH = 64
# Of an array of depth: 64 megapixels of four bytes.
MOST_BYTES = 256 << 20


def iter_metres(paths: Sequence[Path]) -> Iterator[Float[np.ndarray, "h w"]]:
    """The depth maps of files of one kind, in order; 0 where not measured. Whole numbers are millimetres.

    Raises:
        MissingExtraError: EXR files, and OpenEXR is not installed.
        InputError: damaged, or no map of numbers.
    """
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        if batch[0].suffix.lower() != ".exr":
            yield from (read_metres(path) for path in batch)
            continue
        with tempfile.TemporaryDirectory(prefix="simulacra-") as temporary:
            for made, path in zip(decode_exr(batch, Path(temporary)), batch):
                yield _metres(plain_array(made.read_bytes()), path)


def read_metres(path: Path) -> Float[np.ndarray, "h w"]:
    """One map of a PNG, .npy or .npz file (its only array).

    Raises:
        InputError: missing, damaged, or no map of numbers.
    """
    if path.suffix.lower() == ".png":
        return _metres(read_uint16(path), path)
    try:
        return _metres(plain_array(_payload(path)), path)
    except DAMAGE as error:
        raise InputError("an array of depth cannot be read", where=path, found=str(error)[:200]) from error


def _payload(path: Path) -> bytes:
    """The .npy of a file: itself, or the only one in an archive."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    else:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if len(members) != 1:
                raise ValueError(f"{len(members)} arrays, and not one")
            with archive.open(members[0]) as stream:
                content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    return content


def _metres(array: np.ndarray, path: Path) -> Float[np.ndarray, "h w"]:
    array = np.squeeze(array)
    if array.ndim != 2 or min(array.shape) < 2:
        raise InputError("depth is no map", where=path, expected="rows and columns", found=array.shape)
    values = array.astype(np.float32) / (1 if array.dtype.kind == "f" else 1000)
    return np.where(np.isfinite(values) & (values > 0), values, np.float32(0))
