"""How far a rendered depth map is from a measured one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

# Measured depths of one target pixel that differ by more than this belong to two surfaces: the pixel has no
# one depth.
BLOCK_SPREAD_M = 0.05


@dataclass(frozen=True)
class DepthError:
    """Absolute differences of depth along the camera axis, metres.

    Attributes:
        median_m: of the absolute difference over the compared pixels.
        p90_m: its 90th percentile.
        bias_m: median of rendered minus measured: positive is too far away.
        count: pixels compared.
        coverage: compared pixels over those that have a measurement; the rest were not rendered.
    """

    median_m: float
    p90_m: float
    bias_m: float
    count: int
    coverage: float


def depth_error(
    depth: Float[np.ndarray, "h w"],
    rendered: Bool[np.ndarray, "h w"],
    reference: Float[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
) -> DepthError | None:
    """Compares where both are known; None where no pixel can be compared.

    Args:
        depth: rendered z in metres, used where ``rendered``.
        reference: measured z in metres, used where ``valid``.
    """
    both = rendered & valid
    if not both.any():
        return None
    difference = depth[both].astype(np.float64) - reference[both]
    median, p90 = np.quantile(np.abs(difference), [0.5, 0.9])
    return DepthError(
        median_m=float(median),
        p90_m=float(p90),
        bias_m=float(np.median(difference)),
        count=int(both.sum()),
        coverage=float(both.sum() / valid.sum()),
    )


def resize_depth(
    depth: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], width: int, height: int
) -> tuple[Float[np.ndarray, "h2 w2"], Bool[np.ndarray, "h2 w2"]]:
    """Depth at a smaller size without inventing surfaces between a near and a far one.

    A target pixel gets the area mean of the measurements under it, which for a plane is the depth at its
    centre (nearest-neighbour sampling would shift the map by up to half a source pixel). It is valid only
    if all of its area was measured and the measurements differ by at most ``BLOCK_SPREAD_M``.

    Raises:
        ValueError: the target is larger than the source: measured depth is not interpolated.
    """
    if width > depth.shape[1] or height > depth.shape[0]:
        raise ValueError(f"depth is not enlarged: {depth.shape[1]}x{depth.shape[0]} to {width}x{height}")
    if (height, width) == depth.shape:
        return depth, valid
    filled = np.where(valid, depth, 0.0).astype(np.float32)
    size = (width, height)
    mean = cv2.resize(filled, size, interpolation=cv2.INTER_AREA)
    # Mean of squares minus square of mean, about a common offset so that float32 holds the millimetres.
    offset = np.float32(np.median(filled[valid])) if valid.any() else np.float32(0)
    centred = np.where(valid, filled - offset, 0.0).astype(np.float32)
    second = cv2.resize(centred * centred, size, interpolation=cv2.INTER_AREA)
    first = cv2.resize(centred, size, interpolation=cv2.INTER_AREA)
    deviation = np.sqrt(np.maximum(second - first * first, 0.0))
    whole = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 1.0 - 1e-4
    # Two surfaces `s` apart have a deviation of at most s / 2.
    return mean, whole & (deviation <= BLOCK_SPREAD_M / 2)
