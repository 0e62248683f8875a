"""Pictures for a page: cut to the person, small enough that the page stays one that can be sent."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from simulacra.render.image import read_image

# Of all pictures of a page together, as they are in it: with the rest of the page under 15 MB.
MOST_BYTES = 13_000_000
# Pictures are looked at, not measured: tried from the best to the smallest until all have room.
SIZES = ((900, 88), (700, 85), (512, 80), (384, 75), (256, 70), (160, 60))
# Darker than this over all channels is the black that captures and renders are laid over.
BLACK = 0.02

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Picture:
    """A file, and the part of it that is shown; all of it if None."""

    path: Path
    box: Box | None = None


def embed(pictures: Sequence[Picture], most_bytes: int = MOST_BYTES) -> list[str]:
    """All of them as JPEGs in data URIs, at the largest size at which they have room together."""
    for longest, quality in SIZES:
        found, left = [], most_bytes
        for picture in pictures:
            found.append(_as_data(picture, longest, quality))
            left -= len(found[-1])
            if left < 0 and (longest, quality) != SIZES[-1]:
                break
        else:
            return found
    raise AssertionError("the smallest size is always taken")


def _as_data(picture: Picture, longest: int, quality: int) -> str:
    pixels = read_image(picture.path)
    pixels = pixels if picture.box is None else pixels[picture.box]
    image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Optimized tables would need all of it in one buffer, which pillow makes too small for noise.
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def person_box(photo: Path) -> Box:
    """The part of a photograph over black that is not black, with a margin: the person fills the page."""
    lit = read_image(photo).max(-1) > BLACK
    height, width = lit.shape
    if not lit.any():
        return slice(0, height), slice(0, width)
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    margin = max(4, round(0.08 * max(np.ptp(rows), np.ptp(columns))))
    return (
        slice(max(0, int(rows[0]) - margin), min(height, int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(width, int(columns[-1]) + 1 + margin)),
    )
