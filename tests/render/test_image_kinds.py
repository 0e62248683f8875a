"""Which image files are opened at all, and what their pixels are taken for."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulacra.render.image import PICTURES, open_image, read_image, read_mask, read_uint16
from simulacra.render.runtime.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
READERS = (read_image, read_mask, read_uint16)
# Beginnings by which Pillow takes a file for one of the formats that it opens and does not save.
HEADS = {
    "CUR": b"\0\0\2\0",
    "DCX": b"\xb1\x68\xde\x3a",
    "FITS": b"SIMPLE  =",
    "FLI": b"\0\0\0\0\x11\xaf\0\0\0\0\0\0\0\0\3\0",
    "FTEX": b"FTU\0" + bytes(12),
    "GBR": b"\0\0\0\x1c\0\0\0\1" + bytes(8),
    "IMT": None,
    "IPTC": None,
    "MCIDAS": b"\0\0\0\0\0\0\0\4",
    "MPEG": b"\0\0\1\xb3",
    "PCD": None,
    "PIXAR": b"\200\350\000\000",
    "PSD": b"8BPS",
    "SUN": b"\x59\xa6\x6a\x95",
    "XPM": b"/* XPM */",
    "XVTHUMB": b"P7 332",
}


class Opened(BaseException):
    """A decoder that must not be reached was: no reader may take this for damage."""


def sample(name: str) -> bytes:
    """A small file of a format, or at least its beginning."""
    for mode in ("RGB", "L", "P", "1", "RGBA"):
        stream = io.BytesIO()
        try:
            Image.new(mode, (32, 32)).save(stream, name)
        except (OSError, ValueError, KeyError):
            continue
        return stream.getvalue()
    return (HEADS.get(name) or b"") + bytes(64)


def known_formats() -> list[str]:
    Image.init()
    return sorted({*Image.OPEN, *Image.SAVE} - set(PICTURES))


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program can be started, and no decoder but those of pictures."""

    def refuse(*_: object, **__: object) -> None:
        raise Opened

    Image.init()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr("os.system", refuse)
    for name, (_, accept) in list(Image.OPEN.items()):
        if name not in PICTURES:
            monkeypatch.setitem(Image.OPEN, name, (refuse, accept))


@pytest.mark.filterwarnings("ignore:IM image format is deprecated")
@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("name", known_formats())
def test_no_other_format_is_opened_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    # MPO is JPEG with more pictures behind the first: what phones call .jpg, and it is read.
    if name == "MPO":
        (tmp_path / "a.jpg").write_bytes(sample(name))
        assert read_image(tmp_path / "a.jpg").shape == (32, 32, 3)
        return
    for ending in (".jpg", ".png"):
        path = tmp_path / f"a{ending}"
        path.write_bytes(sample(name))
        for read in READERS:
            with pytest.raises(
                InputError, match=r"cannot be read[\s\S]*a\.[\s\S]*expected: [JP][\s\S]*found: "
            ):
                read(path)


def ask_pillow(folder: Path) -> tuple[int, set[str]]:
    """How many decoders are reached where nobody names formats, and which are not; none is left to work afterwards."""

    def reach(*_: object, **__: object) -> None:
        raise Opened

    Image.init()
    Image.OPEN.update(
        {name: (reach, accept) for name, (_, accept) in Image.OPEN.items() if name not in PICTURES}
    )
    tried = []
    for name in known_formats():
        (folder / "a.jpg").write_bytes(sample(name))
        try:
            Image.open(folder / "a.jpg")
        except Opened:
            tried.append(name)
        except Image.UnidentifiedImageError:
            pass
    return len(tried), set(Image.OPEN) - set(PICTURES) - set(tried)


def test_the_guard_sees_pillow_try_them_where_nobody_names_formats(tmp_path: Path) -> None:
    """In an interpreter of its own, which knows no formats but Pillow's."""
    words = "import sys, pathlib; from tests.render.test_image_kinds import ask_pillow as ask"
    command = [sys.executable, "-c", f"{words}; print(ask(pathlib.Path(sys.argv[1])))", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    reached, missed = ast.literal_eval(done.stdout.replace("set()", "[]"))
    # PDF and PALM are only saved, MPO is JPEG; all that can be opened is tried.
    assert reached > 30 and not missed


def test_postscript_named_as_a_picture_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(InputError, match="found: PostScript"):
        read_image(tmp_path / "a.jpg")


def test_nobody_opens_images_another_way() -> None:
    """Formats are a list wherever images are opened; OpenCV's readers take what they like."""
    # A verified archive's own picture, from memory.
    exempt = {"render/body/bake.py": "imdecode"}
    found = []
    for file in (path for part in ("render", "recon", "tools") for path in (REPOSITORY / part).rglob("*.py")):
        name = file.relative_to(REPOSITORY).as_posix()
        for call in (
            node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)
        ):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            of = ast.unparse(call.func)
            if of in ("Image.open", "PIL.Image.open") and "formats" not in {key.arg for key in call.keywords}:
                found.append(f"{name}: {of}")
            if (
                called in ("imread", "imdecode", "imreadmulti", "imdecodemulti")
                and exempt.get(name) != called
            ):
                found.append(f"{name}: {of}")
    assert not found


# -- pixels ----------------------------------------------------------------------------------------

STORED = {
    "mode F": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
    "mode I": np.arange(12, dtype=np.int32).reshape(3, 4),
}


@pytest.mark.parametrize("mode", STORED)
def test_floats_and_integers_are_named_and_refused(mode: str, tmp_path: Path) -> None:
    Image.fromarray(STORED[mode]).save(tmp_path / "a.tif")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.tif").read_bytes())
    with pytest.raises(InputError, match=rf"light[\s\S]*a\.tif[\s\S]*TIFF, 32 bit .*{mode}"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"mean nothing[\s\S]*32 bit"):
        read_mask(tmp_path / "a.tif")
    for read in READERS:
        with pytest.raises(InputError, match=r"a\.jpg[\s\S]*found: TIFF"):
            read(tmp_path / "a.jpg")


def test_boards_may_be_tiff_and_bmp_by_their_names(tmp_path: Path) -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    for ending in (".tif", ".bmp"):
        Image.fromarray(pixels).save(tmp_path / f"a{ending}")
        np.testing.assert_array_equal(np.round(read_image(tmp_path / f"a{ending}") * 255), pixels)


PERSON = np.zeros((6, 8), np.uint8)
PERSON[1:4, 2:5] = 1


def palette_mask(*colors: int) -> Image.Image:
    image = Image.fromarray(PERSON).convert("P")
    image.putpalette(colors)
    return image


def cut_out() -> Image.Image:
    """A photograph of which only the person is left."""
    pixels = np.random.default_rng(0).integers(0, 256, (*PERSON.shape, 4), np.uint8)
    pixels[..., 3] = 255 * PERSON
    return Image.fromarray(pixels)


SOUND = {
    "black and white palette": palette_mask(0, 0, 0, 255, 255, 255),
    "black and red palette": palette_mask(0, 0, 0, 128, 0, 0),
    "cut-out": cut_out(),
    "gray with alpha": Image.fromarray(np.stack([np.full_like(PERSON, 90), 255 * PERSON], -1)),
    "white on black, opaque": Image.fromarray(np.repeat(255 * PERSON[..., None], 3, -1)).convert("RGBA"),
    "green on black": Image.fromarray(PERSON[..., None] * np.array([0, 200, 0], np.uint8)),
    "bits": Image.fromarray(255 * PERSON).convert("1"),
}


@pytest.mark.parametrize("kind", SOUND)
def test_masks_that_can_only_mean_one_thing(kind: str, tmp_path: Path) -> None:
    SOUND[kind].save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), PERSON)


def test_soft_masks_keep_their_values_and_nobody_is_nobody(tmp_path: Path) -> None:
    soft = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for pixels in (soft, np.zeros_like(soft), np.full_like(soft, 255)):
        Image.fromarray(pixels).save(tmp_path / "mask.png")
        np.testing.assert_allclose(read_mask(tmp_path / "mask.png"), pixels / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("pixels", "label", "said"),
    [
        (PERSON, 1, "0 and 1 in PNG, 8 bit gray"),
        (15 * PERSON, 15, "0 and 15 in PNG, 8 bit gray"),
        (255 * PERSON.astype(np.uint16), 255, "0 and 255 in PNG, 16 bit gray"),
    ],
)
def test_labels_are_named_and_taken_with_an_option(
    pixels: np.ndarray, label: int, said: str, tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(
        InputError, match=rf"of labels[\s\S]*mask\.png[\s\S]*{said}[\s\S]*--mask-label {label}"
    ):
        read_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", label), PERSON)
    assert not read_mask(tmp_path / "mask.png", label + 1).any()


def test_several_colors_are_ambiguous_and_an_index_says(tmp_path: Path) -> None:
    image = palette_mask(0, 0, 0, 128, 0, 0, 0, 128, 0)
    image.putpixel((7, 5), 2)
    image.save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"several colors[\s\S]*8 bit palette"):
        read_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", 1), PERSON)
    cut_out().save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="no labels"):
        read_mask(tmp_path / "mask.png", 1)


# -- hostile ---------------------------------------------------------------------------------------


def test_a_bomb_is_refused_by_its_size(tmp_path: Path) -> None:
    """A few bytes that say a hundred gigabytes: the header is enough to refuse it."""
    Image.new("1", (8, 8)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = (300_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    for read in READERS:
        with pytest.raises(InputError, match=r"too large[\s\S]*a\.png"):
            read(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".bmp"])
def test_damaged_bytes_end_in_pixels_or_in_a_named_error(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded bytes and cuts in small files; what opens has finite values that are not negative."""
    # A header that says 100 megapixels is allowed, and takes seconds.
    monkeypatch.setattr("simulacra.render.image.MAX_PIXELS", 1_000_000)
    rng = np.random.default_rng(5)
    mode = {".jpg": "RGB", ".bmp": "P"}.get(ending, "RGBA")
    whole = tmp_path / f"whole{ending}"
    Image.fromarray(rng.integers(0, 256, (12, 12, 4), np.uint8)).convert(mode).save(whole)
    content, path = whole.read_bytes(), tmp_path / f"a{ending}"
    errors = []
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            # Headers are where readers stumble.
            end = len(content) if rng.random() < 0.5 else 64
            damaged[int(rng.integers(0, min(end, len(content))))] = int(rng.integers(0, 256))
        path.write_bytes(damaged[: int(rng.integers(1, len(content)))] if rng.random() < 0.2 else damaged)
        for read in READERS:
            try:
                values = read(path)
            except InputError as error:
                errors.append(str(error))
            else:
                assert np.isfinite(values).all() and values.min() >= 0
    assert errors and all(path.name in error for error in errors)


def test_the_whole_files_are_read(tmp_path: Path) -> None:
    """The control of the damaged ones."""
    for ending in (".png", ".jpg", ".tif", ".bmp"):
        Image.new("RGB", (12, 12)).save(tmp_path / f"a{ending}")
        assert open_image(tmp_path / f"a{ending}").size == (12, 12)
