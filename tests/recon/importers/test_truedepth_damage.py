"""Damaged, foreign and hostile portraits end in a named error and leave nothing behind."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.importers.apple_metadata import (
    camera_meaning,
    depth_meaning,
    gravity_of_maker_note,
    read_xmp,
)
from simulacra.recon.importers.heif_boxes import read_heif_boxes
from simulacra.recon.importers.heif_pixels import decode_heif
from simulacra.recon.importers.jpeg_parts import decode_jpeg, read_jpeg_parts
from simulacra.recon.importers.options import TruedepthOptions
from simulacra.recon.importers.truedepth import import_truedepth
from simulacra.render.runtime.errors import CalibrationError, InputError, UserError
from tests.recon.importers.portrait_files import (
    Phone,
    _jpeg,
    maker_note,
    stored_color,
    write_heic,
    write_jpeg,
    xmp,
)


def _values(**values: str | list[float]) -> Callable[[Path], None]:
    names = {key.replace("__", ":"): value for key, value in values.items()}
    return lambda path: write_jpeg(path, Phone(values=names))  # type: ignore[arg-type]


def _changed(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        write_jpeg(path, Phone())
        content = path.read_bytes()
        assert old in content and len(old) == len(new)
        path.write_bytes(content.replace(old, new))

    return change


def _cut(share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        write_jpeg(path, Phone())
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return cut


MATRIX = "depthData__IntrinsicMatrix"
BAD: dict[str, tuple[type[Exception], Callable[[Path], object]]] = {
    "missing": (InputError, lambda path: None),
    "empty": (InputError, lambda path: path.write_bytes(b"")),
    "something else": (InputError, lambda path: path.write_bytes(b"%PDF-1.7 and so on")),
    "a plain picture": (InputError, lambda path: path.write_bytes(_jpeg(stored_color()))),
    "head only": (InputError, _cut(0.01)),
    "half": (InputError, _cut(0.5)),
    "mattes cut off": (InputError, _cut(0.97)),
    "mirrored": (InputError, lambda path: write_jpeg(path, Phone(orientation=5))),
    "a turn that does not exist": (InputError, lambda path: write_jpeg(path, Phone(orientation=77))),
    "color profile broken": (InputError, lambda path: write_jpeg(path, Phone(icc=b"no profile" * 40))),
    "XMP with definitions": (InputError, _changed(b'<rdf:Description rdf:about=""', b'<!ENTITY a "bcd"    x="y">   ')),
    "XMP not XML": (InputError, _changed(b"</apdi:NativeFormat>", b"</apdi:NativeFormat ")),
    "neither disparity nor depth": (InputError, _values(apdi__NativeFormat="1278226488")),
    "range reversed": (InputError, _values(apdi__FloatMinValue="3.5")),
    "range not a number": (CalibrationError, _values(apdi__FloatMaxValue="high")),
    "range infinite": (CalibrationError, _values(apdi__FloatMaxValue="inf")),
    "accuracy unknown": (InputError, _values(depthData__Accuracy="good")),
    "no intrinsics": (CalibrationError, _values(**{MATRIX: ""})),
    "too few intrinsics": (CalibrationError, _values(**{MATRIX: [400.0, 0, 0, 0]})),
    "intrinsics not numbers": (CalibrationError, _values(**{MATRIX: [float("nan")] * 9})),
    "intrinsics row by row": (CalibrationError, _values(**{MATRIX: [400.0, 0, 202, 0, 400, 132, 0, 0, 1]})),
    "intrinsics skewed": (CalibrationError, _values(**{MATRIX: [400.0, 0, 0, 9, 400, 0, 202, 132, 1]})),
    "intrinsics negative": (CalibrationError, _values(**{MATRIX: [-400.0, 0, 0, 0, 400, 0, 202, 132, 1]})),
    "intrinsics of another picture": (
        CalibrationError,
        _values(depthData__IntrinsicMatrixReferenceWidth="1000"),
    ),
    "intrinsics of a turned picture": (
        CalibrationError,
        _values(
            depthData__IntrinsicMatrixReferenceWidth="288", depthData__IntrinsicMatrixReferenceHeight="384"
        ),
    ),
    "principal point far outside": (
        CalibrationError,
        _values(**{MATRIX: [400.0, 0, 0, 0, 400, 0, 2020, 132, 1]}),
    ),
    "too few lens coefficients": (CalibrationError, _values(depthData__LensDistortionCoefficients=[0.0, 1, 2])),
    "lens of another unit": (
        CalibrationError,
        _values(depthData__LensDistortionCoefficients=[0.0, 1, 2, 3, 4, 5, 6, 7]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", BAD)
def test_bad_portraits_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "portrait.jpg", tmp_path / "out"
    (out / "earlier").mkdir(parents=True)
    expected, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected) as caught:
        import_truedepth(src, out / "session", TruedepthOptions())
    assert "where" in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["earlier"]


def test_bad_heic_harms_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif: pip install 'simulacra[heic]'")
    src, out = tmp_path / "portrait.heic", tmp_path / "out"
    out.mkdir()
    write_heic(src, Phone(turns=3), depth_turns=0)
    with pytest.raises(InputError, match="not shown alike"):
        import_truedepth(src, out / "session", TruedepthOptions())
    write_heic(src, Phone(), mirrored=True)
    with pytest.raises(InputError, match="mirrored"):
        import_truedepth(src, out / "session", TruedepthOptions())
    write_heic(src, Phone())
    content = src.read_bytes()
    for found, spoilt in {
        "truncated": content[: len(content) // 2],
        "boxes only": content[:200],
        "coded bytes lost": content[:-6000] + bytes(6000),
        "depth of another kind": content.replace(b"hevc:2015:auxid:2", b"hevc:2015:auxid:1"),
    }.items():
        src.write_bytes(spoilt)
        with pytest.raises(InputError) as caught:
            import_truedepth(src, out / "session", TruedepthOptions())
        assert "where" in str(caught.value), found
    assert list(out.iterdir()) == []


def test_a_decoder_that_dies_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif", reason="the check that it is installed comes first")
    monkeypatch.setattr("simulacra.recon.importers.heif_pixels.PROGRAM", "import os\nos.abort()")
    with pytest.raises(InputError, match="died of signal 6"):
        decode_heif(b"", [], "here")
    monkeypatch.setattr("simulacra.recon.importers.heif_pixels.PROGRAM", "import time\ntime.sleep(60)")
    monkeypatch.setattr("simulacra.recon.importers.heif_pixels.SECONDS", 0.2)
    with pytest.raises(InputError, match="no picture after"):
        decode_heif(b"", [], "here")


def _mutated(original: bytes, rng: np.random.Generator) -> bytes:
    content = bytearray(original if rng.random() < 0.7 else original[: rng.integers(1, len(original) + 1)])
    for at in rng.integers(0, len(content), rng.integers(1, 6)):
        content[at] = rng.integers(256)
    return bytes(content)


def test_fuzzed_jpeg_portraits_are_named_errors(tmp_path: Path) -> None:
    path = tmp_path / "p.jpg"
    write_jpeg(path, Phone())
    content = path.read_bytes()
    parts = read_jpeg_parts(content, "fuzzed")
    # Half of all bytes are pixels: the small parts that say what they mean are changed on their own too.
    rng, refused = np.random.default_rng(0), 0
    for _ in range(600):
        try:
            for part in read_jpeg_parts(_mutated(content, rng), "fuzzed"):
                read_xmp(part.xmp, "fuzzed")
                decode_jpeg(part, "fuzzed", color=True)
            values = read_xmp([_mutated(parts[1].xmp[0], rng)], "fuzzed")
            depth_meaning(values, "fuzzed")
            camera_meaning(values, "fuzzed")
        except UserError:
            refused += 1
        gravity_of_maker_note(_mutated(maker_note((0.0, -1.0, 0.0)), rng))
    assert refused > 100


def test_fuzzed_heic_boxes_are_named_errors(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif", reason="the seed is written with it")
    write_heic(tmp_path / "p.heic", Phone())
    content = (tmp_path / "p.heic").read_bytes()
    head = content.index(b"mdat")
    rng, refused = np.random.default_rng(0), 0
    for _ in range(2000):
        try:
            boxes = read_heif_boxes(_mutated(content[:head], rng) + content[head:], "fuzzed")
            for number in boxes.items:
                boxes.metadata_of(number)
        except InputError:
            refused += 1
    assert refused > 300


def test_metadata_cannot_explode(tmp_path: Path) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">]><x:xmpmeta>&a;</x:xmpmeta>'
    with pytest.raises(InputError, match="not XMP"):
        read_xmp([bomb], "here")
    assert read_xmp([b"no packet at all"], "here") == {}
    assert read_xmp([xmp({"apdi:AuxiliaryImageType": "depth"})], "here")
    assert os.listdir(tmp_path) == []
