"""How far the outline of a result lies outside the person's, on average."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

# Offsets are in pixels of a picture whose longer side has this many.
OFFSET_SIDE = 512
# Beyond this an outline is of something else, such as an arm that is not there: it counts as so far, in those pixels.
FARTHEST_PX = 8.0
# Parts of a pixel at which outlines are found.
FINER = 4
# An outline runs where a silhouette is a half.
HALF = 0.5


def outline_offset(alpha: Float[np.ndarray, "h w"], mask: Float[np.ndarray, "h w"]) -> float | None:
    """Mean signed distance of a silhouette's outline to another's, positive outside, in pixels of `OFFSET_SIDE`.

    Both silhouettes are interpolated to a quarter of a pixel. An outline is taken as the two rows of samples on its two
    sides, so that the offset of a silhouette from itself is zero. Of slanting outlines, which are stairs of samples, it
    tells up to a sixteenth of a pixel too little. The picture's edge is no outline.

    Args:
        alpha: 0..1.
        mask: the reference, 0..1.

    Returns:
        None where either has no outline in the picture.
    """
    around = _box((alpha >= HALF) | (mask >= HALF))
    ours, theirs = _finer(alpha[around]), _finer(mask[around])
    if ours.all() or not ours.any() or theirs.all() or not theirs.any():
        return None
    # Of the two rows of samples beside the reference's outline one is as much too far as the other is too near.
    beside = np.mean([_distance_to(row) for row in _both_sides(theirs)], 0)
    signed = np.where(theirs, -beside, beside) * (OFFSET_SIDE / (FINER * max(alpha.shape)))
    rows = (signed[row].clip(-FARTHEST_PX, FARTHEST_PX) for row in _both_sides(ours))
    return float(np.mean([row.mean() for row in rows]))


def _box(shown: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Where anything is, and two pixels more, so that it is interpolated as in the whole picture."""
    if not shown.any():
        return slice(0, 1), slice(0, 1)
    found = [np.flatnonzero(shown.any(axis)) for axis in (1, 0)]
    return slice(max(0, found[0][0] - 2), found[0][-1] + 3), slice(max(0, found[1][0] - 2), found[1][-1] + 3)


def _finer(silhouette: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h2 w2"]:
    height, width = silhouette.shape
    size = (width * FINER, height * FINER)
    return cv2.resize(silhouette.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= HALF


def _both_sides(shape: Bool[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Samples of the shape beside others, and others beside it."""
    pixels, kernel = shape.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return shape & (cv2.erode(pixels, kernel) == 0), ~shape & (cv2.dilate(pixels, kernel) > 0)


def _distance_to(row: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    return cv2.distanceTransform((~row).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
