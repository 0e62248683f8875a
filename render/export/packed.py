"""SPZ and SOG, small files of splats for viewers: what `ply` lays out, packed by the library gaussforge.

SPZ (Niantic, version 3, which all readers take): 20 bytes a Gaussian and gzip. The library has places in 4096ths of
a metre, which shows where a head fills the picture; the format has room for 65536ths of what is within 128 m.
SOG (PlayCanvas, version 2): a zip of lossless WebP pictures and a table; places to 16 bits of the box around all, on a
grid that is finer near the origin; sizes and colors by tables of 256.
Both keep the axes of the PLY that they come of, as viewers have it.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from simulacra.render.export.ply import Axes, half_turn, ply_bytes
from simulacra.render.gaussians.record import Gaussians
from simulacra.render.runtime.errors import MissingExtraError
from simulacra.render.runtime.whole_files import sync, whole_file

SPZ_MAGIC, SPZ_VERSION = 0x5053474E, 3
# Behind magic, version and count: degree, bits of a place after the point, flags, nothing; then places, 3 x 3 bytes.
SPZ_HEAD, SPZ_BITS_AT, SPZ_MOST_BITS = 16, 13, 16

Packing = Literal["spz", "sog"]


def packed_bytes(gaussians: Gaussians, packing: Packing, axes: Axes = "3dgs") -> bytes:
    """The whole file.

    Args:
        gaussians: +Y up.
        axes: of the file.

    Raises:
        MissingExtraError: the extra `splats` is not installed.
        RuntimeError: the library could not, or what it made says something else of itself: a bug of ours or of its.
    """
    try:
        import gaussforge
    except ImportError as error:
        raise MissingExtraError(
            "SPZ and SOG are packed by gaussforge", remedy="pip install 'simulacra[splats]'; or write a .ply"
        ) from error
    made = gaussforge.GaussForge().convert(
        ply_bytes(gaussians, axes), "ply", packing, spz_version=SPZ_VERSION
    )
    if "data" not in made:
        raise RuntimeError(f"gaussforge packed no {packing}: {made.get('error')}")
    content = bytes(made["data"])
    if packing == "spz":
        content = _finer_places(content, half_turn(gaussians) if axes == "3dgs" else gaussians)
    count = _spz_count(content) if packing == "spz" else _sog_count(content)
    if count != len(gaussians):
        raise RuntimeError(f"gaussforge packed {count} of {len(gaussians)} Gaussians into {packing}")
    return content


def write_packed(path: Path, gaussians: Gaussians, packing: Packing, axes: Axes = "3dgs") -> None:
    """Writes the file atomically; arguments and errors as of `packed_bytes`."""
    content = packed_bytes(gaussians, packing, axes)
    with whole_file(path) as stream:
        stream.write(content)
    sync(path.parent)


def _finer_places(content: bytes, gaussians: Gaussians) -> bytes:
    """The same SPZ with places on as fine a grid as 24 bits give; one that is further away is left as it is."""
    whole, means = bytearray(gzip.decompress(content)), gaussians.means.detach().double().numpy()
    room = np.floor(np.log2((2**23 - 1) / max(float(np.abs(means).max(initial=0.0)), 1e-9)))
    bits = int(min(SPZ_MOST_BITS, room))
    if bits > whole[SPZ_BITS_AT]:
        grid = np.round(means * 2.0**bits).astype("<i4")
        places = grid.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        whole[SPZ_HEAD : SPZ_HEAD + len(places)] = places
        whole[SPZ_BITS_AT] = bits
    return gzip.compress(bytes(whole), mtime=0)


def _spz_count(content: bytes) -> int:
    """How many Gaussians an SPZ of version 3 holds; -1 of another file."""
    magic, version, count = struct.unpack_from("<III", gzip.decompress(content))
    return count if (magic, version) == (SPZ_MAGIC, SPZ_VERSION) else -1


def _sog_count(content: bytes) -> int:
    """How many Gaussians a SOG says to hold; -1 where a part of it is damaged."""
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        return int(json.loads(parts.read("meta.json"))["count"]) if parts.testzip() is None else -1
