"""Joints measured another way, in a file of arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.runs.plain_arrays import DAMAGE, plain_arrays
from simulacra.render.runtime.errors import InputError

# Of all arrays unpacked: a hundred joints for a day.
LARGEST_REFERENCE = 1 << 29


def read_reference(path: Path) -> tuple[tuple[str, ...], tuple[int, ...], Float[np.ndarray, "t k 3"]]:
    """Names, frame indices and world positions in metres of a file of reference joints.

    Raises:
        InputError: missing, damaged, or arrays that do not fit each other.
    """
    if not path.is_file():
        raise InputError("a reference is missing", where=path)
    try:
        stored = plain_arrays(path, ("names", "frames", "joints"), LARGEST_REFERENCE, "Uiuf")
        names, frames, joints = (stored[key] for key in ("names", "frames", "joints"))
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
