"""Depth out of EXR files by the library OpenEXR, in a process of its own, as with `heif_pixels`.

One process decodes many files: starting it takes longer than decoding one. It writes plain arrays that are read here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from simulacra.render.runtime.errors import InputError, MissingExtraError

# A map of a phone's depth takes a hundredth of a second.
SECONDS = 120
MEMORY = 4 << 30
# Pixels: of a scanner's, not of a poster.
MOST_PIXELS = 64 << 20
PROGRAM = """
import os, resource, sys
import numpy as np
limit, most = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import OpenEXR
for number, path in enumerate(sys.argv[4:]):
    try:
        low, high = OpenEXR.File(path, header_only=True).header()["dataWindow"]
        if np.prod([int(h) - int(l) + 1 for l, h in zip(low, high)]) > most:
            raise ValueError(f"more than {most} pixels")
        channels = OpenEXR.File(path, separate_channels=True).channels()
        names = [name for name in ("R", "Z", "Y", "D") if name in channels] or sorted(channels)
        np.save(f"{sys.argv[3]}/{number:06d}.npy", channels[names[0]].pixels.astype(np.float32))
    except (ValueError, RuntimeError, TypeError, OSError, MemoryError, KeyError, IndexError) as error:
        sys.exit(f"{number} {type(error).__name__}: {error}"[:300])
"""


def decode_exr(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Arrays [h w] of 32 bit floats in .npy files, of the channel R (or Z, Y, D, or the first) of each file.

    Args:
        paths: of up to a few hundred files.
        folder: an empty folder for the arrays.

    Raises:
        MissingExtraError: OpenEXR is not installed.
        InputError: a file cannot be decoded.
    """
    if find_spec("OpenEXR") is None:
        raise MissingExtraError("reading EXR depth needs OpenEXR", remedy="pip install 'simulacra[exr]'")
    command = [sys.executable, "-I", "-c", PROGRAM, str(MEMORY), str(MOST_PIXELS), str(folder)]
    try:
        child = subprocess.run(
            [*command, *(str(path.absolute()) for path in paths)],
            capture_output=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _unreadable(paths[0], f"nothing after {SECONDS} s") from error
    made = sorted(folder.glob("*.npy"))
    if child.returncode != 0 or len(made) != len(paths):
        said = child.stderr.decode("utf-8", "replace").strip().splitlines()
        died = f"the decoder died of signal {-child.returncode}"
        raise _unreadable(
            paths[min(len(made), len(paths) - 1)], said[-1] if said and child.returncode > 0 else died
        )
    return made


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(
        "an EXR file cannot be decoded", where=path, found=found, remedy="export it again from the phone"
    )
