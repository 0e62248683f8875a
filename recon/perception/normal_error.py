"""How a surface is turned: mean angle between the normals of a rendered and of a measured depth map.

Depth may be right to the millimetre and the surface rough, or its folds flat: normals tell, depth errors do not.

A plane's inverse depth is linear in the pixel's place. So of each pixel a plane is fitted to the inverse depths of a
window around it, by least squares, and its normal follows exactly; the same for both maps, so that what the window
smooths is smoothed in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

# Reach of the window on either side of its pixel, in pixels of a picture whose longer side has `WINDOW_SIDE`.
WINDOW_PX, WINDOW_SIDE = 3.0, 512
# Deviation in depth from the fitted plane above which a window holds an edge or a crease, metres.
ROUGH_M = 0.01


@dataclass(frozen=True)
class NormalError:
    """Angles between normals, degrees.

    Attributes:
        mean_deg: over the compared pixels.
        count: pixels compared.
        share: of those pixels of the measured map that have a smooth window, how many the rendered one has, too.
    """

    mean_deg: float
    count: int
    share: float


def depth_normals(
    depth: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], K: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Unit normals towards the camera in its own axes, and where they are known: all of the window valid and smooth.

    Args:
        depth: z along the axis, metres.
        valid: where it is known.
        K: of the camera at the map's size, pixels.
    """
    reach = max(1, round(WINDOW_PX * max(depth.shape) / WINDOW_SIDE))
    side = 2 * reach + 1
    inverse = np.where(valid, 1.0 / np.maximum(depth.astype(np.float64), 1e-6), 0.0)
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    ones, spread = np.ones(side) / side, steps / np.square(steps).sum()
    mean, across, down = (
        _filtered(inverse, *kernels) for kernels in ((ones, ones), (spread, ones), (ones, spread))
    )
    # What is left of the window's variance when the plane is taken away, as depth: dz = z^2 d(1 / z).
    square = _filtered(np.square(inverse), ones, ones) - np.square(mean)
    left = np.sqrt(np.maximum(square - np.square(steps).mean() * (np.square(across) + np.square(down)), 0))
    whole = _filtered(valid.astype(np.float64), ones, ones) > 1 - 1e-6
    smooth = whole & (left < ROUGH_M * np.square(mean))
    # n . (ray) = 1 / z with ray = ((x - cx) / fx, (y - cy) / fy, 1) for all pixels of the plane n . X = 1.
    x = np.arange(depth.shape[1])[None] + 0.5 - K[0, 2]
    y = np.arange(depth.shape[0])[:, None] + 0.5 - K[1, 2]
    away = np.stack([K[0, 0] * across, K[1, 1] * down, mean - across * x - down * y], -1)
    length = np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
    return -away / length, smooth


def _filtered(
    image: Float[np.ndarray, "h w"], along: Float[np.ndarray, " k"], down: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "h w"]:
    """Correlation with a separable kernel; nothing lies beyond the picture."""
    return cv2.sepFilter2D(image, cv2.CV_64F, along, down, borderType=cv2.BORDER_CONSTANT)


def normal_error(
    depth: Float[np.ndarray, "h w"],
    rendered: Bool[np.ndarray, "h w"],
    reference: Float[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
    K: Float[np.ndarray, "3 3"],
) -> NormalError | None:
    """Compares where both maps have a normal; None where no pixel can be compared.

    Args:
        depth: rendered z in metres, used where ``rendered``.
        reference: measured z in metres, used where ``valid``.
        K: of the camera at the maps' size, pixels.
    """
    ours, here = depth_normals(depth, rendered, K)
    theirs, there = depth_normals(reference, valid, K)
    both = here & there
    if not both.any():
        return None
    # The sine beside the cosine: an arc cosine alone knows no angle under a hundredth of a degree.
    sine = np.linalg.norm(np.cross(ours[both], theirs[both]), axis=-1)
    cosine = (ours[both] * theirs[both]).sum(-1)
    angles = np.degrees(np.arctan2(sine, cosine))
    return NormalError(float(angles.mean()), int(both.sum()), float(both.sum() / there.sum()))
