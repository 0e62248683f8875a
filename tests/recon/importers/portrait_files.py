"""Portrait files made at test time: a slanted plane as a phone would have photographed it, in JPEG and in HEIC.

The stored picture is landscape; the file may ask for it to be shown turned. Everything is exact but for the eight bits
of the disparity and what the codec does to the colors.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

# No smaller: the HEIC encoder pads what is under 64 pixels.
WIDTH, HEIGHT = 192, 144
DEPTH_WIDTH, DEPTH_HEIGHT = 96, 72
# The calibration is of a picture twice the size.
REFERENCE = (384.0, 288.0)
FOCAL, CX, CY = 400.0, 202.0, 132.0
# The plane in the stored camera's axes: normal . point = offset, metres.
NORMAL, OFFSET = np.array([0.3, -0.2, 1.0]), 0.5
LOW, HIGH = 1.5, 2.6
# Down, in axes to the phone's right, its top and out of its screen: leaning back by 30 degrees.
LEANING = (0.0, -np.cos(np.radians(30)), -np.sin(np.radians(30)))
ORIENTATION = {0: 1, 2: 3, 3: 6, 1: 8}
MATTE_TYPES = {
    "portraiteffects": "urn:com:apple:photo:2018:aux:portraiteffectsmatte",
    "semanticskin": "urn:com:apple:photo:2019:aux:semanticskinmatte",
}
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/"
 xmlns:depthData="http://ns.apple.com/depthData/1.0/">{}</rdf:Description></rdf:RDF></x:xmpmeta>"""


@dataclass
class Phone:
    """What the test's phone writes; change a field to change the file."""

    turns: int = 0
    values: dict[str, str | Sequence[float]] = field(default_factory=dict)
    gravity: tuple[float, float, float] | None = LEANING
    model: str = "iPhone front TrueDepth camera"
    mattes: tuple[str, ...] = ("portraiteffects", "semanticskin")
    icc: bytes = b""
    orientation: int | None = None
    # Instead of what the other fields come to:
    xmp: bytes | None = None
    exif: bytes | None = None
    depth: np.ndarray | None = None

    def depth_values(self) -> dict[str, str | Sequence[float]]:
        zeros = [0.0] * 8
        return {
            "apdi:AuxiliaryImageType": "disparity",
            "apdi:NativeFormat": str(0x68646973),
            "apdi:FloatMinValue": str(LOW),
            "apdi:FloatMaxValue": str(HIGH),
            "depthData:Accuracy": "absolute",
            "depthData:Filtered": "True",
            "depthData:PixelSize": "0.001",
            "depthData:IntrinsicMatrix": [FOCAL, 0, 0, 0, FOCAL, 0, CX, CY, 1],
            "depthData:IntrinsicMatrixReferenceWidth": str(REFERENCE[0]),
            "depthData:IntrinsicMatrixReferenceHeight": str(REFERENCE[1]),
            "depthData:LensDistortionCoefficients": zeros,
            "depthData:InverseLensDistortionCoefficients": zeros,
            "depthData:LensDistortionCenterOffsetX": str(CX),
            "depthData:LensDistortionCenterOffsetY": str(CY),
        } | self.values


def disparity(width: int, height: int) -> np.ndarray:
    """1 / z of the plane at every pixel's centre of the stored view."""
    x = ((np.arange(width) + 0.5) * REFERENCE[0] / width - CX) / FOCAL
    y = ((np.arange(height) + 0.5) * REFERENCE[1] / height - CY) / FOCAL
    return (NORMAL[0] * x[None, :] + NORMAL[1] * y[:, None] + NORMAL[2]) / OFFSET


def stored_color() -> np.ndarray:
    """A gradient, with a red square in the stored upper left corner."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    color = np.stack([np.full_like(rows, 90), 60 + rows // 2, 60 + columns // 2], axis=-1).astype(np.uint8)
    color[:48, :48] = (220, 30, 30)
    return color


def stored_depth() -> np.ndarray:
    return np.rint(255 * (disparity(DEPTH_WIDTH, DEPTH_HEIGHT) - LOW) / (HIGH - LOW)).astype(np.uint8)


def stored_matte(name: str) -> np.ndarray:
    matte = np.zeros((DEPTH_HEIGHT, DEPTH_WIDTH), np.uint8)
    if name == "portraiteffects":
        matte[16:60, 20:80] = 255
    return matte


def xmp(values: Mapping[str, str | Sequence[float]]) -> bytes:
    parts = []
    for key, value in values.items():
        if not isinstance(value, str):
            listed = "".join(f"<rdf:li>{number}</rdf:li>" for number in value)
            value = f"<rdf:Seq>{listed}</rdf:Seq>"
        parts.append(f"<{key}>{value}</{key}>")
    return XMP.format("".join(parts)).encode()


def maker_note(gravity: tuple[float, float, float]) -> bytes:
    """Apple's maker note with nothing in it but the acceleration."""
    head = b"Apple iOS\0\0\1MM" + struct.pack(">H", 1)
    at = len(head) + 12 + 4
    entry = struct.pack(">HHII", 8, 10, 3, at) + bytes(4)
    return head + entry + b"".join(struct.pack(">ii", round(1e6 * g), 1_000_000) for g in gravity)


def depth_xmp(phone: Phone) -> bytes:
    return phone.xmp if phone.xmp is not None else xmp(phone.depth_values())


def exif(phone: Phone) -> bytes:
    if phone.exif is not None:
        return phone.exif
    made = Image.Exif()
    made[0x0112] = phone.orientation or ORIENTATION[phone.turns]
    inner = made.get_ifd(0x8769)
    inner[42036] = phone.model
    if phone.gravity is not None:
        inner[37500] = maker_note(phone.gravity)
    return made.tobytes()


def swapped_profile() -> bytes:
    """sRGB's profile with the primaries of red and blue in each other's place."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    at = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


# -- JPEG ------------------------------------------------------------------------------------------


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


def write_jpeg(path: Path, phone: Phone) -> None:
    """The picture, then depth and mattes, with the index of the Multi-Picture Format."""
    head = b"http://ns.adobe.com/xap/1.0/\0"
    pieces = [(stored_depth() if phone.depth is None else phone.depth, depth_xmp(phone))]
    for name in phone.mattes:
        kind = {"apdi:AuxiliaryImageType": "depth", "apdi:AuxiliaryImageSubType": f"{name}matte"}
        pieces.append((stored_matte(name), xmp(kind)))
    others = []
    for pixels, packet in pieces:
        coded = _jpeg(pixels)
        others.append(coded[:2] + _segment(0xE1, head + packet) + coded[2:])
    body = _jpeg(stored_color())
    start = body[:2] + _segment(0xE1, exif(phone))
    if phone.icc:
        start += _segment(0xE2, b"ICC_PROFILE\0\1\1" + phone.icc)
    count = 1 + len(others)
    size = len(_segment(0xE2, b"MPF\0" + _index([0] * count, [0] * count)))
    first = len(start) + size + len(body) - 2
    offsets, at = [0], first
    for other in others:
        offsets.append(at - (len(start) + 8))
        at += len(other)
    index = _index(offsets, [first, *map(len, others)])
    path.write_bytes(start + _segment(0xE2, b"MPF\0" + index) + body[2:] + b"".join(others))


def _index(offsets: Sequence[int], sizes: Sequence[int]) -> bytes:
    entries = b"".join(struct.pack(">IIIHH", 0, size, offset, 0, 0) for size, offset in zip(sizes, offsets))
    directory = struct.pack(">H", 1) + struct.pack(">HHII", 0xB002, 7, len(entries), 26) + bytes(4)
    return b"MM\0*" + struct.pack(">I", 8) + directory + entries


# -- HEIC ------------------------------------------------------------------------------------------


def _box(name: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name.encode()) + body


def _coded(pixels: np.ndarray) -> tuple[bytes, bytes]:
    """The decoder's configuration box and the coded bytes of one picture, out of a file of its own."""
    import pillow_heif

    from simulacra.recon.importers.heif_boxes import read_heif_boxes

    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(buffer, quality=-1, chroma=444)
    boxes = read_heif_boxes(buffer.getvalue(), "coded")
    item = boxes.items[boxes.primary]
    return _box("hvcC", dict(item.properties)["hvcC"]), boxes.content(boxes.primary)


def write_heic(path: Path, phone: Phone, *, depth_turns: int | None = None, mirrored: bool = False) -> None:
    """Items: 1 the picture, 2 its EXIF, 3 depth, 4 the depth's XMP, 5... mattes. Turns are irot properties."""
    pictures = [(1, stored_color(), None), (3, stored_depth(), "urn:mpeg:hevc:2015:auxid:2")]
    pictures += [(5 + i, stored_matte(name), MATTE_TYPES[name]) for i, name in enumerate(phone.mattes)]
    payloads = {2: struct.pack(">I", 6) + exif(phone), 4: depth_xmp(phone)}
    properties, associations = [], []
    for number, pixels, kind in pictures:
        configuration, payloads[number] = _coded(pixels)
        height, width = pixels.shape[:2]
        mine = [configuration, _box("ispe", struct.pack(">III", 0, width, height))]
        if kind is not None:
            mine.append(_box("auxC", bytes(4), kind.encode() + b"\0"))
        elif phone.icc:
            mine.append(_box("colr", b"prof", phone.icc))
        turns = phone.turns if number == 1 or depth_turns is None else depth_turns
        mine.append(_box("irot", bytes([turns])))
        if mirrored and number == 1:
            mine.append(_box("imir", b"\0"))
        places = range(len(properties) + 1, len(properties) + 1 + len(mine))
        properties += mine
        associations.append(struct.pack(">HB", number, len(mine)) + bytes(places))
    kinds = {2: b"Exif\0", 4: b"mime\0application/rdf+xml\0"}
    infos = [
        _box("infe", b"\2\0\0\0", struct.pack(">HH", number, 0), kinds.get(number, b"hvc1\0"))
        for number in sorted(payloads)
    ]
    links = [("cdsc", 2, 1), ("cdsc", 4, 3)] + [("auxl", number, 1) for number, _, k in pictures if k]
    references = [_box(kind, struct.pack(">HHH", a, 1, b)) for kind, a, b in links]

    def meta(start: int) -> bytes:
        places, at = [], start
        for number in sorted(payloads):
            places.append(struct.pack(">HHHII", number, 0, 1, at, len(payloads[number])))
            at += len(payloads[number])
        return _box(
            "meta",
            bytes(4),
            _box("hdlr", bytes(8), b"pict", bytes(13)),
            _box("pitm", bytes(4), struct.pack(">H", 1)),
            _box("iinf", bytes(4), struct.pack(">H", len(infos)), *infos),
            _box("iref", bytes(4), *references),
            _box(
                "iprp",
                _box("ipco", *properties),
                _box("ipma", bytes(4), struct.pack(">I", len(associations)), *associations),
            ),
            _box("iloc", bytes(4), b"\x44\x00", struct.pack(">H", len(places)), *places),
        )

    head = _box("ftyp", b"heic", bytes(4), b"mif1heic")
    start = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(start) + _box("mdat", *(payloads[n] for n in sorted(payloads))))
