"""JPEG files that hold several pictures (Multi-Picture Format, CIPA DC-007): where each lies, and its metadata.

Phones write a portrait so: the picture first, after it the depth map and the mattes, each a JPEG of its own whose XMP
says what it is.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from simulacra.render.image import MAX_PIXELS
from simulacra.render.runtime.errors import InputError

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
MPF_HEAD = b"MPF\0"
EXIF_HEAD = b"Exif\0\0"
ICC_HEAD = b"ICC_PROFILE\0"
MP_ENTRIES = 0xB002
MOST_PICTURES = 32
# Grey that was stored in color differs between channels by what the coding rounds.
SAME_GREY = 4


@dataclass(frozen=True)
class JpegPart:
    """One picture of the file: what its segments say, and its bytes without them, for a decoder."""

    data: bytes
    xmp: tuple[bytes, ...]
    exif: bytes
    icc: bytes


def read_jpeg_parts(data: bytes, where: str) -> list[JpegPart]:
    """The pictures of a JPEG file, the shown one first.

    Raises:
        InputError: not JPEG, or an index that points out of the file.
    """
    first, index = _part(data, where)
    parts = [first]
    for start, size in index[1:]:
        if start <= 0 or size < 4 or start + size > len(data):
            raise _damage_error(where, f"a picture of {size} bytes at {start}, in a file of {len(data)}")
        parts.append(_part(data[start : start + size], where)[0])
    return parts


def decode_jpeg(part: JpegPart, where: str, *, color: bool) -> UInt8[np.ndarray, "h w *c"]:
    """Pixels as stored, without the turn that EXIF asks for: h w 3, or h w of a grey picture.

    Raises:
        InputError: damaged, too large, or not grey where that is wanted.
    """
    try:
        with JpegImageFile(io.BytesIO(part.data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _damage_error(where, f"{image.width}x{image.height} pixels")
            if color:
                return np.asarray(image.convert("RGB"))
            if image.mode == "L":
                return np.asarray(image)
            pixels = np.asarray(image.convert("RGB"))
            if np.ptp(pixels.astype(np.int16), axis=-1).max() > SAME_GREY:
                raise InputError("a depth map or matte is not grey", where=where, found=image.mode)
            return np.ascontiguousarray(pixels[..., 1])
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _damage_error(where, error) from error


def _part(data: bytes, where: str) -> tuple[JpegPart, list[tuple[int, int]]]:
    """A picture's segments up to its pixels, and the index of the file's pictures if it is there."""
    if data[:2] != b"\xff\xd8":
        raise _damage_error(where, "no JPEG marker")
    xmp, exif, icc, kept = [], b"", [], [data[:2]]
    index: list[tuple[int, int]] = []
    at = 2
    while at + 4 <= len(data):
        marker, size = data[at : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker[0] != 0xFF or size < 2 or at + 2 + size > len(data):
            raise _damage_error(where, f"a segment of {size} bytes at {at}")
        body = data[at + 4 : at + 2 + size]
        # Adobe's segment says how colors are coded; no other application's concerns the pixels.
        if not 0xE0 <= marker[1] <= 0xEF or marker[1] == 0xEE:
            kept.append(data[at : at + 2 + size])
        if marker == b"\xff\xda":
            at += 2 + size
            break
        if marker == b"\xff\xe1" and body.startswith(XMP_HEAD):
            xmp.append(body[len(XMP_HEAD) :])
        elif marker == b"\xff\xe1" and body.startswith(EXIF_HEAD) and not exif:
            exif = body
        elif marker == b"\xff\xe2" and body.startswith(ICC_HEAD):
            icc.append(body[len(ICC_HEAD) :])
        elif marker == b"\xff\xe2" and body.startswith(MPF_HEAD) and not index:
            index = _index(body[4:], at + 8, where)
        at += 2 + size
    # The profile's pieces carry their number first.
    profile = b"".join(piece[2:] for piece in sorted(icc, key=lambda piece: piece[:1]))
    return JpegPart(b"".join([*kept, data[at:]]), tuple(xmp), exif, profile), index


def _index(tiff: bytes, start: int, where: str) -> list[tuple[int, int]]:
    """Offset in the file and size of each picture; offsets count from the index's own TIFF header."""
    try:
        order = {b"MM": ">", b"II": "<"}[tiff[:2]]
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(min(count, 64)):
            tag, _, size, offset = struct.unpack_from(order + "HHII", tiff, directory + 2 + 12 * entry)
            if tag != MP_ENTRIES:
                continue
            if size % 16 or size // 16 > MOST_PICTURES:
                raise _damage_error(where, f"an index of {size // 16} pictures")
            found = [struct.unpack_from(order + "III", tiff, offset + 16 * i) for i in range(size // 16)]
            return [(at + start if at else 0, length) for _, length, at in found]
    except (KeyError, struct.error) as error:
        raise _damage_error(where, f"the index of pictures: {error}") from error
    return []


def _damage_error(where: str, found: object) -> InputError:
    return InputError(
        "a JPEG file cannot be read", where=where, found=found, remedy="copy it again from the phone"
    )
