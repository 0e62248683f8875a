"""What Apple writes beside a picture: the depth map's meaning and the camera's calibration (XMP), gravity (maker note).

XMP namespaces `pixeldatainfo` (how stored numbers become disparities) and `depthData` (what AVDepthData and
AVCameraCalibrationData hold). The intrinsic matrix is written column by column, for a picture of the reference size,
its origin the upper left corner of the frame: as in a session, not as OpenCV has it. The extrinsic matrix relates the
lenses of a phone to each other; depth is given aligned to the picture, so that it is not needed.

The maker note's acceleration (tag 8) is the accelerometer's at rest, in g. In axes to the phone's right, to its top and
out of its screen it points down (ExifTool's table says the same with all three axes turned round).
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.errors import CalibrationError, InputError

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
PIXELS = "{http://ns.apple.com/pixeldatainfo/1.0/}"
DEPTH = "{http://ns.apple.com/depthData/1.0/}"
# Four-letter codes of the pixel format that the numbers had in the phone.
DISPARITY_FORMATS = (0x68646973, 0x66646973)  # hdis, fdis
DEPTH_FORMATS = (0x68646570, 0x66646570)  # hdep, fdep
APPLE_NOTE = b"Apple iOS\x00"
ACCELERATION = 8
# An accelerometer that reads further from 1 g than this was being shaken and does not tell gravity.
MOST_SHAKEN = 0.15


@dataclass(frozen=True)
class DepthMeaning:
    """What the numbers of an auxiliary depth image mean.

    Attributes:
        kind: disparity in 1/m or depth in metres.
        low: value of the smallest stored number; linear in between.
        high: value of the largest.
        absolute: in metres; otherwise only ratios mean anything.
        filtered: the phone has smoothed it and closed its holes.
    """

    kind: Literal["disparity", "depth"]
    low: float
    high: float
    absolute: bool
    filtered: bool


@dataclass(frozen=True)
class CameraMeaning:
    """The calibration of the picture that the depth belongs to, before any turn.

    Attributes:
        K: of a picture of `width` x `height`, corner of the first pixel at (0, 0).
        width: of that picture, pixels.
        height: likewise.
        distortion: as written; see `recon.importers.apple_lens`.
        inverse_distortion: likewise.
        centre: of the distortion, in the pixels of K.
        pixel_mm: size of such a pixel.
    """

    K: Float[np.ndarray, "3 3"]
    width: float
    height: float
    distortion: tuple[float, ...]
    inverse_distortion: tuple[float, ...]
    centre: tuple[float, float]
    pixel_mm: float


Values = Mapping[str, str | Sequence[str]]


def read_xmp(packets: Sequence[bytes], where: str) -> dict[str, str | list[str]]:
    """All properties of XMP packets by their full names: text, or the texts of a list.

    Raises:
        InputError: not XML, or XML with definitions of its own (XMP has none, and they can be made to explode).
    """
    values: dict[str, str | list[str]] = {}
    for packet in packets:
        if b"<!" in packet:
            raise InputError("metadata are not XMP", where=where, found="a document type definition")
        start, end = packet.find(b"<x:xmpmeta"), packet.rfind(b"</x:xmpmeta>")
        if start < 0 or end < 0:
            continue
        try:
            root = ET.fromstring(packet[start : end + len(b"</x:xmpmeta>")])
        except (ET.ParseError, ValueError, LookupError) as error:
            raise InputError("metadata are not XMP", where=where, found=error) from error
        for description in root.iter(f"{RDF}Description"):
            values.update(
                {key: value for key, value in description.attrib.items() if not key.startswith(RDF)}
            )
            for child in description:
                listed = [entry.text or "" for entry in child.iter(f"{RDF}li")]
                values[child.tag] = listed or (child.text or "").strip()
    return values


def depth_meaning(values: Values, where: str) -> DepthMeaning:
    """How to read the depth image that the XMP belongs to.

    Raises:
        InputError: it does not say, or says two things.
    """
    kind = _text(values, PIXELS + "AuxiliaryImageType", where)
    native = _text(values, PIXELS + "NativeFormat", where, "")
    expected = {"disparity": DISPARITY_FORMATS, "depth": DEPTH_FORMATS}.get(kind)
    if expected is None or (native and native not in [str(code) for code in expected]):
        raise InputError(
            "a depth map is neither disparity nor depth",
            where=where,
            expected="AuxiliaryImageType and NativeFormat that agree",
            found=f"{kind}, {native}",
        )
    low = _number(values, PIXELS + "FloatMinValue", where)
    high = _number(values, PIXELS + "FloatMaxValue", where)
    if not 0 <= low < high or high > 1e4:
        raise InputError("a depth map's range cannot be", where=where, found=f"{low} to {high}")
    accuracy = _text(values, DEPTH + "Accuracy", where)
    if accuracy not in ("absolute", "relative"):
        raise InputError(
            "a depth map's accuracy is not said", where=where, expected="absolute, relative", found=accuracy
        )
    filtered = _text(values, DEPTH + "Filtered", where, "False").lower() in ("true", "1")
    return DepthMeaning(
        "disparity" if kind == "disparity" else "depth", low, high, accuracy == "absolute", filtered
    )


def camera_meaning(values: Values, where: str) -> CameraMeaning:
    """The calibration in the XMP.

    Raises:
        CalibrationError: not there, or no numbers.
    """
    matrix = _numbers(values, DEPTH + "IntrinsicMatrix", where)
    width = _number(values, DEPTH + "IntrinsicMatrixReferenceWidth", where)
    height = _number(values, DEPTH + "IntrinsicMatrixReferenceHeight", where)
    if len(matrix) != 9 or not (1 <= width <= 65536 and 1 <= height <= 65536):
        raise CalibrationError(
            "the intrinsics of a portrait cannot be",
            where=where,
            expected="nine numbers and the size that they are of",
            found=f"{len(matrix)} numbers, {width:g}x{height:g}",
        )
    K = np.array(matrix).reshape(3, 3).T
    if np.abs(K[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 1e-3 or K[0, 0] <= 0 or K[1, 1] <= 0 or K[2, 2] != 1:
        raise CalibrationError(
            "the intrinsics of a portrait are no pinhole matrix",
            where=where,
            expected="column by column: fx 0 0, 0 fy 0, cx cy 1",
            found=list(matrix),
        )
    K = np.array([[K[0, 0], 0, K[0, 2]], [0, K[1, 1], K[1, 2]], [0, 0, 1.0]])
    forward = _numbers(values, DEPTH + "LensDistortionCoefficients", where, ())
    inverse = _numbers(values, DEPTH + "InverseLensDistortionCoefficients", where, ())
    if not (any(forward) or any(inverse)):
        return CameraMeaning(K, width, height, (), (), (K[0, 2], K[1, 2]), 0.0)
    centre = [_number(values, DEPTH + f"LensDistortionCenterOffset{axis}", where) for axis in "XY"]
    pixel_mm = _number(values, DEPTH + "PixelSize", where)
    return CameraMeaning(K, width, height, forward, inverse, (centre[0], centre[1]), pixel_mm)


def _text(values: Values, key: str, where: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise InputError("metadata of a depth map lack a value", where=where, expected=key.split("}")[1])
    return value


def _number(values: Values, key: str, where: str) -> float:
    return _parse_numbers([_text(values, key, where)], key, where)[0]


def _numbers(
    values: Values, key: str, where: str, default: tuple[float, ...] | None = None
) -> tuple[float, ...]:
    value = values.get(key)
    if value is None and default is not None:
        return default
    if value is None or isinstance(value, str) or len(value) > 4096:
        raise CalibrationError("a portrait lacks its calibration", where=where, expected=key.split("}")[1])
    return _parse_numbers(value, key, where)


def _parse_numbers(texts: Sequence[str], key: str, where: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError as error:
        raise CalibrationError(f"{key.split('}')[1]} is not a number", where=where, found=error) from error
    if not np.isfinite(numbers).all():
        raise CalibrationError(f"{key.split('}')[1]} is not finite", where=where, found=numbers)
    return numbers


def gravity_of_maker_note(note: bytes) -> Float[np.ndarray, "3"] | None:
    """Down, unit, in axes to the phone's right, its top and out of its screen; None where the note does not tell.

    The note is a TIFF directory in big-endian order, whose offsets count from the note's start.
    """
    if not note.startswith(APPLE_NOTE) or note[12:14] != b"MM" or len(note) < 16:
        return None
    (count,) = struct.unpack_from(">H", note, 14)
    for entry in range(min(count, 512)):
        at = 16 + 12 * entry
        if at + 12 > len(note):
            return None
        tag, form, number, offset = struct.unpack_from(">HHII", note, at)
        if tag != ACCELERATION:
            continue
        if form != 10 or number != 3 or offset + 24 > len(note):
            return None
        rationals = struct.unpack_from(">6i", note, offset)
        if 0 in rationals[1::2]:
            return None
        vector = np.array(rationals[::2]) / np.array(rationals[1::2])
        size = float(np.linalg.norm(vector))
        return vector / size if abs(size - 1) < MOST_SHAKEN else None
    return None
