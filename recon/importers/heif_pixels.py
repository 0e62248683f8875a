"""Decoding of HEIC pictures by pillow-heif (libheif and libde265), in a process of its own.

Decoders of video are large C programs, and files are not always sound. A decoder that crashes, hangs or asks for all
memory takes only its own process with it, and the file is a named error here. That process's program is a text below:
it imports nothing of the project, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import UInt8

from simulacra.render.runtime.errors import InputError, MissingExtraError

# A phone's picture takes a second or two. Memory: a picture of 200 megapixels, decoded and converted.
SECONDS = 120
MEMORY = 4 << 30
PROGRAM = """
import io, resource, sys
import numpy as np
limit, hard = int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_AS)[1]
limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import pillow_heif
pillow_heif.options.DECODE_THREADS = 1
try:
    picture = pillow_heif.open_heif(io.BytesIO(sys.stdin.buffer.read()), convert_hdr_to_8bit=True)
    main = picture[picture.primary_index]
    depths = main.info.get("depth_images", [])
    parts = {"color": np.asarray(main)}
    if len(depths) == 1:
        parts["depth"] = np.asarray(depths[0])
    for number in sys.argv[2:]:
        parts[number] = np.asarray(main.get_aux_image(int(number)))
    parts["icc"] = np.frombuffer(main.info.get("icc_profile") or b"", np.uint8)
    parts["exif"] = np.frombuffer(main.info.get("exif") or b"", np.uint8)
except (ValueError, RuntimeError, OSError, EOFError, SyntaxError, MemoryError, KeyError, IndexError) as error:
    sys.exit(f"{type(error).__name__}: {error}"[:300])
np.savez(sys.stdout.buffer, **parts)
"""


def decode_heif(data: bytes, auxiliary: Sequence[int], where: str) -> dict[str, UInt8[np.ndarray, "..."]]:
    """The shown picture (`color`, h w 3), its only depth image if there is one (`depth`), auxiliary images by the
    numbers of their items (h w), and the bytes of `icc` and `exif`. All turned as the file says they are shown.

    Raises:
        MissingExtraError: pillow-heif is not installed.
        InputError: the file cannot be decoded.
    """
    if find_spec("pillow_heif") is None:
        raise MissingExtraError(
            "reading HEIC pictures needs pillow-heif", remedy="pip install 'simulacra[heic]'"
        )
    command = [sys.executable, "-I", "-c", PROGRAM, str(MEMORY), *map(str, auxiliary)]
    try:
        child = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _unreadable(where, f"no picture after {SECONDS} s") from error
    if child.returncode != 0:
        said = child.stderr.decode("utf-8", "replace").strip().splitlines()
        died = (
            f"the decoder died of signal {-child.returncode}" if child.returncode < 0 else "no reason given"
        )
        raise _unreadable(where, said[-1] if said and child.returncode > 0 else died)
    with np.load(io.BytesIO(child.stdout), allow_pickle=False) as parts:
        return {name: _check_part(parts[name], name, where) for name in parts.files}


def _check_part(part: np.ndarray, name: str, where: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    wanted = {"color": (3,), "icc": (1,), "exif": (1,)}.get(name, (2,))
    if part.dtype != np.uint8 or part.ndim not in wanted or (name == "color" and part.shape[2] not in (3, 4)):
        raise _unreadable(where, f"{name} of shape {part.shape} and type {part.dtype}")
    return part[..., :3] if name == "color" else part


def _unreadable(where: str, found: str) -> InputError:
    return InputError(
        "a HEIC picture cannot be decoded",
        where=where,
        found=found,
        remedy="copy it again from the phone, as the original",
    )
