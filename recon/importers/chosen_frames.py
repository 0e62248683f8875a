"""Sharp frames of a video, evenly spaced: what a turn-around is reconstructed from.

Videos of phones ask to be shown turned, and are taken as shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from simulacra.recon.session.video import decode_video, shown_pixels
from simulacra.render.runtime.errors import InputError

# Sharpness is measured at this size: of what pixels of any camera can show, not of its noise.
SMALL = 480


def sharpness(pixels: UInt8[np.ndarray, "h w 3"]) -> float:
    """Variance of the Laplacian of a small grey picture (Pech-Pacheco et al. 2000)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SMALL / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_64F).var())


def measure_sharpness(path: Path) -> Float[np.ndarray, "n"]:
    """The sharpness of every frame.

    Raises:
        InputError: no video, or a damaged one.
    """
    sharpnesses = np.array([sharpness(pixels) for pixels in shown_frames(path)])
    if not len(sharpnesses):
        raise InputError("a video has no frame", where=path)
    return sharpnesses


def choose_frames(sharpnesses: Float[np.ndarray, "n"], count: int) -> list[int]:
    """The sharpest frame of each of so many equal stretches; all frames where there are fewer.

    Only the middle half of a stretch is looked at where it has four frames or more, so that steps stay even.
    """
    if len(sharpnesses) <= count:
        return list(range(len(sharpnesses)))
    edges = np.linspace(0, len(sharpnesses), count + 1)
    chosen = []
    for start, end in itertools.pairwise(edges.tolist()):
        margin = (end - start) / 4 if end - start >= 4 else 0.0
        low, high = int(np.ceil(start + margin)), int(np.ceil(end - margin))
        chosen.append(low + int(sharpnesses[low : max(high, low + 1)].argmax()))
    return chosen


def read_frames(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames of rising numbers, as shown."""
    wanted = set(numbers)
    for number, pixels in enumerate(shown_frames(path)):
        if number in wanted:
            yield pixels
        if number == max(wanted):
            return


def shown_frames(path: Path) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """All frames, turned as the file asks for.

    Raises:
        InputError: missing, not a video, damaged or cut off, or to be shown turned by no quarter.
    """
    for frame in decode_video(path, may_turn=True):
        yield shown_pixels(frame)
