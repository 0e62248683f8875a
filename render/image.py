"""Images in memory and on disk: ``h w c`` RGB float32 in 0..1, sRGB-encoded unless the name says ``_linear``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt16
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from simulacra.render.runtime.errors import InputError
from simulacra.render.runtime.whole_files import whole_file

Array = TypeVar("Array", np.ndarray, Tensor)

# An image of more pixels than this is refused rather than decoded: 200 megapixels is beyond any camera of the field.
MAX_PIXELS = 200_000_000
# Pillow knows some forty formats, and starts programs for some of them (Ghostscript for PostScript): none but these
# is ever opened, whatever a file is called.
PICTURES: tuple[str, ...] = ("JPEG", "PNG")
# Only what is named so is looked at as these: pictures of calibration boards.
BY_ENDING: dict[str, tuple[str, ...]] = {".bmp": ("BMP",), ".tif": ("TIFF",), ".tiff": ("TIFF",)}
DECODER_ERRORS = (OSError, SyntaxError, ValueError)
# Pillow's modes in words.
MODES = {
    "1": "1 bit gray",
    "L": "8 bit gray",
    "LA": "8 bit gray with alpha",
    "P": "8 bit palette",
    "PA": "8 bit palette with alpha",
    "RGB": "8 bit color",
    "RGBA": "8 bit color with alpha",
    "CMYK": "8 bit printing color",
    "I": "32 bit integers",
    "F": "32 bit floating point",
    "I;16": "16 bit gray",
    "I;16B": "16 bit gray",
}
SIXTEEN = ("I;16", "I;16B", "I;16L")
# What files of other formats begin with.
BEGINNINGS = {
    b"\xff\xd8": "a damaged JPEG file",
    b"\x89PNG": "a damaged PNG file",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%!PS": "PostScript",
    b"%PDF": "PDF",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"8BPS": "Photoshop",
}


def open_image(path: Path, formats: Sequence[str] | None = None) -> Image.Image:
    """A decoded image in Pillow's mode, in no format but these: by default those of pictures.

    Raises:
        InputError: missing, of another format, damaged, or too large.
    """
    if not path.is_file():
        raise InputError("an image file is missing", where=path)
    allowed = tuple(formats) if formats else BY_ENDING.get(path.suffix.lower(), PICTURES)
    try:
        with Image.open(path, formats=allowed) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width}x{image.height}")
            image.load()
    except UnidentifiedImageError as error:
        raise InputError(
            "an image cannot be read",
            where=path,
            expected=" or ".join(allowed),
            found=_beginning(path),
            remedy="copy it again from the source, or convert it",
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, error) from error
    # A damaged PNG may ask for gigabytes of one chunk: MemoryError.
    except (*DECODER_ERRORS, MemoryError) as error:
        raise InputError(
            "an image cannot be read", where=path, found=error, remedy="copy it again from the source"
        ) from error
    return image


def describe_image(image: Image.Image) -> str:
    """Format, bit depth and mode in words."""
    words = MODES.get(image.mode)
    return f"{image.format}, {words + ', ' if words else ''}mode {image.mode}"


def _too_large(path: Path, found: object) -> InputError:
    return InputError("an image is too large", where=path, expected=f"<= {MAX_PIXELS} pixels", found=found)


def _beginning(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(16)
    if head[4:8] == b"ftyp":
        return "HEIC or AVIF"
    return next(
        (name for start, name in BEGINNINGS.items() if head.startswith(start)), f"first bytes {head!r}"
    )


def read_image(path: str | os.PathLike[str]) -> Float[np.ndarray, "h w 3"]:
    """An 8 or 16 bit image file as RGB in 0..1.

    Raises:
        InputError: missing, truncated, not an image, or of pixels that are no light (floats, 32 bit integers).
    """
    return to_rgb(open_image(Path(path)), Path(path))


def to_rgb(image: Image.Image, path: Path) -> Float[np.ndarray, "h w 3"]:
    """A decoded image as RGB in 0..1; alpha is left out.

    Raises:
        InputError: pixels that are no light (floats, 32 bit integers).
    """
    if _is_sixteen(image):
        gray = np.asarray(image, dtype=np.float32) / 65535.0
        return np.repeat(gray[..., None], 3, axis=-1)
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise InputError(
            "an image's pixels cannot be taken for light",
            where=path,
            expected="8 or 16 bit, gray or RGB",
            found=describe_image(image),
            remedy="convert it to 8 bit RGB",
        )
    return np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0


def _is_sixteen(image: Image.Image) -> bool:
    """PNG has no 32 bit integers: older versions of Pillow call its 16 bits so."""
    return image.mode in SIXTEEN or (image.mode == "I" and image.format == "PNG")


def read_mask(path: str | os.PathLike[str], label: int | None = None) -> Float[np.ndarray, "h w"]:
    """A mask file, 0 background to 1 person.

    Gray is taken by its value, a cut-out by its alpha, and of two colors of which one is black the other is the person.

    Args:
        label: pixels of this stored value (an index of a palette) are the person, and no others.

    Raises:
        InputError: missing or damaged; of several colors; or its values are labels, as 0 and 1, and none is given.
    """
    path = Path(path)
    image = open_image(path)
    if not (_is_sixteen(image) or image.mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA")):
        raise _mask_error("a mask is of pixels that mean nothing", path, image)
    if label is not None:
        if image.mode not in ("1", "L", "P", *SIXTEEN, "I"):
            raise _mask_error(
                "a mask has no labels", path, image, "of one channel", "leave --mask-label away"
            )
        return (np.asarray(image).astype(np.int64) == label).astype(np.float32)
    if image.mode == "1":
        return np.asarray(image).astype(np.float32)
    if image.mode == "L" or _is_sixteen(image):
        values = np.asarray(image)
        full = 255 if image.mode == "L" else 65535
        _check_range(values, full, path, image)
        return np.asarray(values, np.float32) / full
    return _mask_of_colors(image, path)


def _check_range(values: np.ndarray, full: int, path: Path, image: Image.Image) -> None:
    """Two values of which the larger is dark are labels: as gray they would be a mask of nobody."""
    largest = int(values.max())
    if 0 < largest < full / 2 and bool(((values == 0) | (values == largest)).all()):
        raise _mask_error(
            "a mask is of labels, not of black and white",
            path,
            image,
            f"0 and {full}",
            f"import it with --mask-label {largest}",
            f"0 and {largest} in ",
        )


def _mask_of_colors(image: Image.Image, path: Path) -> Float[np.ndarray, "h w"]:
    """Alpha where there is any; else gray, or the one color that is not black."""
    pixels = np.asarray(image.convert("RGBA"))
    if pixels[..., 3].min() < 255:
        return np.asarray(pixels[..., 3], np.float32) / 255
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if (red == green).all() and (green == blue).all():
        _check_range(red, 255, path, image)
        return np.asarray(red, np.float32) / 255
    lit = pixels[..., :3].any(-1)
    if bool((pixels[lit] == pixels[lit][0]).all()):
        return np.asarray(lit, np.float32)
    raise _mask_error(
        "a mask is of several colors", path, image, "black and one color", "import it with --mask-label INDEX"
    )


def _mask_error(
    what: str,
    path: Path,
    image: Image.Image,
    expected: str = "8 or 16 bit gray, palette or alpha",
    remedy: str | None = None,
    values: str = "",
) -> InputError:
    return InputError(
        what, where=path, expected=expected, found=f"{values}{describe_image(image)}", remedy=remedy
    )


def read_uint16(path: str | os.PathLike[str]) -> UInt16[np.ndarray, "h w"]:
    """A 16 bit gray PNG, as depth cameras write it.

    Raises:
        InputError: not a single-channel 16 bit image: an 8 bit depth map has lost what matters.
    """
    image = open_image(Path(path), ("PNG",))
    if not _is_sixteen(image):
        raise InputError(
            "a depth image is not 16 bit gray",
            where=path,
            expected="uint16, one channel",
            found=describe_image(image),
        )
    return np.asarray(image).astype(np.uint16)


def write_image(path: str | os.PathLike[str], image: Float[np.ndarray, "h w *c"], quality: int = 92) -> None:
    """Writes 0..1 RGB or grey as 8 bit PNG or JPEG (by the name's ending), atomically."""
    path = Path(path)
    pixels = (np.clip(np.nan_to_num(image), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    with whole_file(path) as stream:
        Image.fromarray(pixels).save(stream, kind, quality=quality)


def limited_size(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """Width and height with at most so many pixels on the longer side: never enlarged, the shape kept to a pixel."""
    scale = min(1.0, longest_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize_area(image: Float[np.ndarray, "h w *c"], width: int, height: int) -> Float[np.ndarray, "h2 w2 *c"]:
    """Resampling by pixel area when shrinking (no aliasing), bilinear when growing."""
    shrinks = width <= image.shape[1] and height <= image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def srgb_to_linear(image: Array) -> Array:
    """IEC 61966-2-1 decoding, piecewise."""
    where = torch.where if isinstance(image, Tensor) else np.where
    return where(image <= 0.04045, image / 12.92, ((image.clip(min=0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(image: Array) -> Array:
    """IEC 61966-2-1 encoding, piecewise."""
    where = torch.where if isinstance(image, Tensor) else np.where
    return where(image <= 0.0031308, image * 12.92, 1.055 * image.clip(min=0.0031308) ** (1 / 2.4) - 0.055)


def composite(rgb_premul: Array, alpha: Array, background: Array) -> Array:
    """Premultiplied color over a background: ``rgb_premul + (1 - alpha) * background``."""
    return rgb_premul + (1 - alpha[..., None]) * background
