"""Depth by triangulation: structured light and stereo, on the sensor's own grid.

Disparity d = f b / z. A block of pixels is compared with the projector's pattern, or with the other camera's picture:
what has most of the block's support wins, so that near surfaces grow by a part of the block at their edges and small
things round off (edge fattening: Kanade and Okutomi 1994; Hirschmueller and Scharstein 2009). What the projector or
the other camera does not see has no match: an occlusion shadow of f b (1/z near - 1/z far) pixels beside near things,
on the side away from the projector or the other camera. Noise is of the disparity, so that of depth is sigma_z = z^2
sigma_d / (f b) (Khoshelham and Oude Elberink 2012). Blocks overlap, so neighbours share their noise.
"""

from __future__ import annotations

from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__)

# Samples along a side of a block, at most: a block of 9 is looked at in every other pixel.
SIDE = 5
# Disparities that differ by more are of two peaks of the correlation, pixels.
PEAK = 1.0


def lit(z: Float[np.ndarray, "h w"], focal_px: float, baseline_m: float) -> Bool[np.ndarray, "h w"]:
    """What is seen from a baseline along +x (negative: -x) too, of the surfaces that the camera sees."""
    out = np.zeros(z.shape, np.bool_)
    _find_lit(z, np.float32(focal_px * abs(baseline_m)), baseline_m > 0, out)
    return out


def matched(
    z: Float[np.ndarray, "h w"],
    seen: Bool[np.ndarray, "h w"],
    focal_baseline: float,
    block: int,
    share: float,
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Disparity that a block's comparison finds, 0 none, and the range of disparities of its surface in the block.

    Args:
        focal_baseline: f |b|, pixels x metres.
        block: side in pixels, odd.
        share: a surface in front needs this part of the block to win, 0..1.
    """
    disparity = np.zeros(z.shape, np.float32)
    spread = np.zeros(z.shape, np.float32)
    _match_blocks(z, seen, np.float32(focal_baseline), block // 2, share, disparity, spread)
    return disparity, spread


def grained(field: Float[np.ndarray, "h w"], grain: int) -> Float[np.ndarray, "h w"]:
    """Independent normal numbers made into ones that neighbours within a square of side `grain` share."""
    if grain <= 1:
        return field
    return (
        cv2.boxFilter(field, -1, (grain, grain), normalize=False, borderType=cv2.BORDER_REFLECT_101) / grain
    )


@kernel()
@no_type_check
def _find_lit(z, focal_baseline, to_right, out):
    height, width = z.shape
    for y in range(height):
        if to_right:
            nearest = np.float32(1e30)
            for x in range(width - 1, -1, -1):
                if z[y, x] <= 0:
                    continue
                place = np.float32(x) - focal_baseline / z[y, x]
                if place < nearest:
                    out[y, x] = True
                    nearest = place
        else:
            nearest = np.float32(-1e30)
            for x in range(width):
                if z[y, x] <= 0:
                    continue
                place = np.float32(x) + focal_baseline / z[y, x]
                if place > nearest:
                    out[y, x] = True
                    nearest = place


@njit(inline="always")
@no_type_check
def _sort_down(values, count):
    """Insertion sort, largest first."""
    for k in range(1, count):
        value = values[k]
        at = k - 1
        while at >= 0 and values[at] < value:
            values[at + 1] = values[at]
            at -= 1
        values[at + 1] = value


@kernel()
@no_type_check
def _match_blocks(z, seen, focal_baseline, half, share, disparity, spread):
    height, width = z.shape
    stride = max(1, -(-2 * half // (SIDE - 1)))
    reach = half // stride * stride
    side = 2 * (reach // stride) + 1
    # Of every other pixel, rows are staggered like bricks, or a block's columns would count by twos.
    staggered = stride == 2
    total = side * side - (side // 2 if staggered else 0)
    values = np.empty(side * side, np.float32)
    inverse = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if seen[y, x]:
                inverse[y, x] = focal_baseline / z[y, x]
    for y in range(height):
        for x in range(width):
            count = 0
            low, high, mean = np.float32(1e30), np.float32(0), np.float32(0)
            for j in range(y - reach, y + reach + 1, stride):
                if j < 0 or j >= height:
                    continue
                inset = 1 if staggered and ((j - y + reach) // stride) & 1 else 0
                for i in range(x - reach + inset, x + reach + 1 - inset, stride):
                    if i < 0 or i >= width:
                        continue
                    value = inverse[j, i]
                    if value > 0:
                        values[count] = value
                        count += 1
                        mean += value
                        low, high = min(low, value), max(high, value)
            needed = max(1, int(np.ceil(share[y, x] * total - 1e-3)))
            if count < needed:
                continue
            mean /= np.float32(count)
            width_here = high - low
            centre = inverse[y, x]
            # A steep plane has one peak too: its mean and the middle of its range are the block's own middle.
            level = abs(mean - centre) <= np.float32(0.05) * width_here
            even = abs(np.float32(0.5) * (low + high) - centre) <= np.float32(0.1) * width_here
            plane = centre > 0 and level and even
            if width_here > np.float32(PEAK) and not plane:
                _sort_down(values, count)
                peak = values[needed - 1]
                total_of, number = np.float32(0), 0
                low, high = peak, peak
                for k in range(count):
                    if abs(values[k] - peak) <= np.float32(PEAK):
                        total_of += values[k]
                        number += 1
                        low, high = min(low, values[k]), max(high, values[k])
                mean = total_of / np.float32(number)
                width_here = high - low
            disparity[y, x] = mean
            spread[y, x] = width_here
