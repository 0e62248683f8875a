"""Reading a phone's portrait file, HEIC or JPEG: picture, depth, calibration, mattes, all upright as shown."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from simulacra.recon.importers.apple_metadata import (
    PIXELS,
    CameraMeaning,
    DepthMeaning,
    camera_meaning,
    depth_meaning,
    read_xmp,
)
from simulacra.recon.importers.heif_boxes import HeifItem, read_heif_boxes
from simulacra.recon.importers.heif_pixels import decode_heif
from simulacra.recon.importers.jpeg_parts import EXIF_HEAD, JpegPart, decode_jpeg, read_jpeg_parts
from simulacra.render.runtime.errors import InputError

LARGEST_FILE = 256 << 20
HEIF_DEPTH = ("urn:mpeg:hevc:2015:auxid:2", "urn:mpeg:mpegB:cicp:systems:auxiliary:depth")
PERSON = "portraiteffects"
MATTES = (PERSON, "semantichair", "semanticskin", "semanticteeth", "semanticglasses")
# Sizes of one view that are rounded to whole pixels differ in shape by less than this.
SAME_SHAPE = 0.01
# Quarter turns anticlockwise of EXIF's orientations; the others are mirrored.
EXIF_TURNS = {1: 0, 3: 2, 6: 3, 8: 1}
# What Pillow raises at EXIF that is not sound.
EXIF_ERRORS = (OSError, SyntaxError, ValueError, struct.error, KeyError, TypeError, IndexError, UserWarning)


@dataclass(frozen=True)
class Portrait:
    """A file's contents as shown, upright.

    Attributes:
        color: the picture.
        depth: stored numbers.
        meaning: what they are.
        camera: of the picture before its turn.
        turns: quarter turns anticlockwise to the shown picture.
        stored: width and height before the turn.
        mattes: by the names in MATTES.
        icc: the picture's color profile, empty where it has none.
        exif: without its head.
    """

    color: UInt8[np.ndarray, "h w 3"]
    depth: UInt8[np.ndarray, "h2 w2"]
    meaning: DepthMeaning
    camera: CameraMeaning
    turns: int
    stored: tuple[int, int]
    mattes: Mapping[str, UInt8[np.ndarray, "h3 w3"]]
    icc: bytes
    exif: bytes


def read_portrait(path: Path) -> Portrait:
    """Everything of a portrait file, upright.

    Raises:
        InputError: missing, damaged, without depth, or of contents that contradict each other.
        CalibrationError: no intrinsics, or such as cannot be.
        MissingExtraError: a HEIC file, and pillow-heif is not installed.
    """
    if not path.is_file():
        raise InputError("a portrait is missing", where=path, expected="a .heic or .jpg file")
    if path.stat().st_size > LARGEST_FILE:
        raise InputError("a portrait is too large", where=path, expected=f"under {LARGEST_FILE >> 20} MiB")
    data = path.read_bytes()
    if data[:3] == b"\xff\xd8\xff":
        portrait = _from_jpeg(data, str(path))
    elif data[4:8] == b"ftyp":
        portrait = _from_heif(data, str(path))
    else:
        raise InputError("a portrait is neither HEIC nor JPEG", where=path, found=data[:12])
    shapes = {"depth": portrait.depth.shape, **{n: m.shape for n, m in portrait.mattes.items()}}
    for name, (height, width) in shapes.items():
        seen = portrait.color.shape[1] / portrait.color.shape[0]
        if min(width, height) < 2 or abs(width / height / seen - 1) > SAME_SHAPE:
            raise InputError(
                f"the {name} of a portrait does not cover the picture's view",
                where=path,
                expected=f"the shape of {portrait.color.shape[1]}x{portrait.color.shape[0]}",
                found=f"{width}x{height}",
            )
    return portrait


def _from_heif(data: bytes, where: str) -> Portrait:
    boxes = read_heif_boxes(data, where)
    main = boxes.items[boxes.primary]
    auxiliary = [item for item in boxes.items.values() if item.refers_to("auxl", boxes.primary)]
    depths = [item for item in auxiliary if item.auxiliary_type in HEIF_DEPTH]
    if len(depths) != 1:
        raise _without_depth(where, f"{len(depths)} depth images")
    named = _mattes_of(auxiliary)
    for item in (main, depths[0], *named.values()):
        _check_shown(item, main, where)
    meaning, camera = _meanings(boxes.metadata_of(depths[0].number), where)
    pixels = decode_heif(data, [item.number for item in named.values()], where)
    if "depth" not in pixels:
        raise _without_depth(where, "no depth image that can be decoded")
    if main.size is None:
        raise InputError("a picture does not say its size", where=where)
    return Portrait(
        pixels["color"],
        pixels["depth"],
        meaning,
        camera,
        main.quarter_turns,
        main.size,
        {name: pixels[str(item.number)] for name, item in named.items()},
        pixels["icc"].tobytes(),
        pixels["exif"].tobytes().removeprefix(EXIF_HEAD),
    )


def _mattes_of(auxiliary: list[HeifItem]) -> dict[str, HeifItem]:
    found = {}
    for item in auxiliary:
        for name in MATTES:
            if (item.auxiliary_type or "").endswith(f":{name}matte"):
                found[name] = item
    return found


def _check_shown(item: HeifItem, main: HeifItem, where: str) -> None:
    """The picture and what lies over it are turned alike, and neither mirrored nor cropped."""
    if item.mirrored:
        raise _mirror_error(where)
    if item.cropped or item.quarter_turns != main.quarter_turns:
        raise InputError(
            "a portrait's picture and its depth or mattes are not shown alike",
            where=f"{where}, item {item.number}",
            expected=f"{main.quarter_turns} quarter turns, not cropped",
            found=f"{item.quarter_turns} quarter turns{', cropped' if item.cropped else ''}",
        )


def _from_jpeg(data: bytes, where: str) -> Portrait:
    parts = read_jpeg_parts(data, where)
    main = parts[0]
    orientation = read_exif(main.exif.removeprefix(EXIF_HEAD), where).get(0x0112, 1)
    if orientation not in EXIF_TURNS:
        raise _mirror_error(where)
    turns = EXIF_TURNS[orientation]
    depth, mattes, meanings = None, {}, None
    for part in parts[1:]:
        values = read_xmp(part.xmp, where)
        kind = str(values.get(PIXELS + "AuxiliaryImageType", ""))
        subtype = str(values.get(PIXELS + "AuxiliaryImageSubType", ""))
        name = subtype.removesuffix("matte")
        if name in MATTES:
            mattes[name] = _turn_quarters(decode_jpeg(part, where, color=False), turns)
        elif kind in ("disparity", "depth") and not subtype:
            if depth is not None:
                raise _without_depth(where, "2 depth images")
            depth, meanings = part, _meanings(list(part.xmp), where)
    if depth is None or meanings is None:
        raise _without_depth(where, f"{len(parts)} pictures, none of them depth")
    return _jpeg_portrait(main, depth, mattes, meanings, turns, where)


def _jpeg_portrait(
    main: JpegPart,
    depth: JpegPart,
    mattes: Mapping[str, UInt8[np.ndarray, "_ _"]],
    meanings: tuple[DepthMeaning, CameraMeaning],
    turns: int,
    where: str,
) -> Portrait:
    color = decode_jpeg(main, where, color=True)
    stored = decode_jpeg(depth, where, color=False)
    return Portrait(
        _turn_quarters(color, turns),
        _turn_quarters(stored, turns),
        *meanings,
        turns,
        (color.shape[1], color.shape[0]),
        mattes,
        main.icc,
        main.exif.removeprefix(EXIF_HEAD),
    )


def _turn_quarters(image: UInt8[np.ndarray, "h w *c"], turns: int) -> UInt8[np.ndarray, "h2 w2 *c"]:
    return np.ascontiguousarray(np.rot90(image, turns))


def _meanings(packets: list[bytes], where: str) -> tuple[DepthMeaning, CameraMeaning]:
    values = read_xmp(packets, where)
    return depth_meaning(values, where), camera_meaning(values, where)


def _without_depth(where: str, found: str) -> InputError:
    return InputError(
        "a picture is no portrait with depth",
        where=where,
        expected="one depth map in the file",
        found=found,
        remedy="take it in the camera's portrait mode, and send the original: most programs drop the depth",
    )


def _mirror_error(where: str) -> InputError:
    return InputError(
        "a portrait is shown mirrored: whose left and right is whose cannot be known",
        where=where,
        remedy="switch off mirroring of the front camera, or save the picture turned back",
    )


def read_exif(exif: bytes, where: str) -> Image.Exif:
    """EXIF without its head.

    Raises:
        InputError: it is not sound.
    """
    found = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of tags that are cut off
            if exif:
                found.load(EXIF_HEAD + exif)
                found.get(0x0112)
    except EXIF_ERRORS as error:
        raise InputError("a portrait's EXIF cannot be read", where=where, found=error) from error
    return found
