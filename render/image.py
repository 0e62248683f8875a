"""Images in memory and on disk: ``h w c`` RGB float32 in 0..1, sRGB-encoded unless the name says ``_linear``."""

from __future__ import annotations

import os
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
DECODER_ERRORS = (UnidentifiedImageError, OSError, SyntaxError, ValueError)


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError("an image file is missing", where=path)
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(
                    "an image is too large",
                    where=path,
                    expected=f"<= {MAX_PIXELS} pixels",
                    found=f"{image.width}x{image.height}",
                )
            image.load()
    # A damaged PNG may ask for gigabytes of one chunk: MemoryError.
    except (*DECODER_ERRORS, Image.DecompressionBombError, MemoryError) as error:
        raise InputError(
            "an image cannot be read", where=path, found=error, remedy="copy it again from the source"
        ) from error
    return image


def read_image(path: str | os.PathLike[str]) -> Float[np.ndarray, "h w 3"]:
    """An 8 or 16 bit image file as RGB in 0..1.

    Raises:
        InputError: missing, truncated or not an image.
    """
    image = _open(Path(path))
    if image.mode in ("I;16", "I"):
        gray = np.asarray(image, dtype=np.float32) / 65535.0
        return np.repeat(gray[..., None], 3, axis=-1)
    return np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0


def read_mask(path: str | os.PathLike[str]) -> Float[np.ndarray, "h w"]:
    """A mask file, 0 background to 1 person; of several channels the first counts."""
    array = np.asarray(_open(Path(path)))
    array = array[..., 0] if array.ndim == 3 else array
    full = 1.0 if array.dtype == bool else float(np.iinfo(array.dtype).max)
    return array.astype(np.float32) / full


def read_uint16(path: str | os.PathLike[str]) -> UInt16[np.ndarray, "h w"]:
    """A 16 bit grey PNG, as depth cameras write it.

    Raises:
        InputError: not a single-channel 16 bit image: an 8 bit depth map has lost what matters.
    """
    image = _open(Path(path))
    if image.mode not in ("I;16", "I;16B", "I"):
        raise InputError(
            "a depth image is not 16 bit grey", where=path, expected="uint16, one channel", found=image.mode
        )
    array = np.asarray(image)
    if array.min() < 0 or array.max() > 65535:
        raise InputError(
            "a depth image does not fit 16 bits", where=path, found=f"{array.min()}..{array.max()}"
        )
    return array.astype(np.uint16)


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
