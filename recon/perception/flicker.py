"""Flicker: what changes from one picture of a person to the next though the surface only moved.

Each pixel of the later picture that shows a place of the surface is held against the earlier picture where that place
was then, and the difference of the colors is what motion does not explain: noise, shading that turns, and what swims,
pops or is drawn anew every frame. A photograph has some of its own. So the same is done with the photographs, along the
same motion, and taken away: a motion that is a little wrong costs both (compare the warping error of Lai et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

# Of fewer pixels than this a mean change is chance.
LEAST_PIXELS = 100
LEVELS = 255.0


@dataclass(frozen=True)
class Motion:
    """Where the surface that a picture shows was in an earlier one.

    Attributes:
        earlier: place (x, y) in the earlier picture, pixels, the first pixel's centre at (0.5, 0.5).
        known: where a place is seen in both.
    """

    earlier: Float[np.ndarray, "h w 2"]
    known: Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Flicker:
    """Mean absolute changes along the motion, in levels of 255 and over three channels.

    Attributes:
        render: of the renders.
        photograph: of the photographs, over the same pixels.
        count: how many pixels.
    """

    render: float
    photograph: float
    count: int

    @property
    def excess(self) -> float:
        """The renders' less the photographs': above zero the result flickers more than what was recorded."""
        return self.render - self.photograph


def warp(image: Float[np.ndarray, "h w c"], motion: Motion) -> Float[np.ndarray, "h w c"]:
    """The earlier picture as it lies over the later one, bilinear; black beyond its edges."""
    places = (motion.earlier - 0.5).astype(np.float32)
    warped = cv2.remap(
        image, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return warped.reshape(*motion.known.shape, -1)


def flicker(
    renders: tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]],
    photographs: tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]],
    persons: tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]],
    motion: Motion,
) -> Flicker | None:
    """How much renders and photographs change along a motion; None of fewer than `LEAST_PIXELS` pixels.

    Args:
        renders: the earlier and the later one, sRGB 0..1.
        photographs: likewise.
        persons: which pixels are of the person in both photographs and both renders' outlines; a pixel counts where it
            and all that its earlier place is interpolated from are.
        motion: of the surface, from the earlier to the later picture.
    """
    inside = warp(persons[0].astype(np.float32)[..., None], motion)[..., 0] > 1 - 1e-4
    counted = motion.known & persons[1] & inside
    if counted.sum() < LEAST_PIXELS:
        return None
    changes = [
        float(np.abs(later - warp(earlier, motion))[counted].astype(np.float64).mean() * LEVELS)
        for earlier, later in (renders, photographs)
    ]
    return Flicker(changes[0], changes[1], int(counted.sum()))
