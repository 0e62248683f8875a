"""Where the floor under a person is, by depth: the level ground about the feet, or the lowest that was measured."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int

from simulacra.recon.fit.capture import FitCapture, Views
from simulacra.recon.fit.evidence import unproject

_FEET = slice(27, 33)  # ankles, heels and toes among the pose landmarks
_ABOUT_FEET_M, _UNDER_ANKLES_M = 0.5, 0.3
# Moments that are looked at, evenly over the capture: one with both feet in the air says nothing.
_MOMENTS = 12
# A floor is level within this, and most of what is seen about the feet is floor.
_LEVEL_M, _FLOOR_SHARE, _FEWEST_POINTS = 0.015, 0.6, 200
_BIN_M = 0.005
# Of the lowest points on a person: flying pixels lie lower, and the edge of a mask, which is left out, hides the sole.
_LOWEST_QUANTILE, _HIDDEN_SOLE_M = 0.005, 0.015


def find_floor(
    session: FitCapture,
    observations: Any,
    views: Views,
    frames: Int[np.ndarray, " t"],
    landmarks: Float[np.ndarray, "t 33 3"],
) -> float | None:
    """Height of the floor over the world's origin, metres; None where no depth shows it.

    It is one height for the whole capture: that of the ground that is seen beside the person's feet, outside of the
    masks; where that is cut away, the lowest place at which the feet were measured.

    Args:
        frames: numbers in the session.
        landmarks: of the pose, triangulated, metres; NaN where they could not be.
    """
    ground, feet = [], []
    rows = np.unique(np.linspace(0, len(frames) - 1, _MOMENTS).astype(int))
    for row in rows:
        there = landmarks[row, _FEET]
        there = there[np.isfinite(there).all(-1)]
        if not len(there):
            continue
        for column in range(len(views.names)):
            seen = _points_about(session, observations, views, int(frames[row]), column, there)
            if seen is not None:
                ground.append(seen[0])
                feet.append(seen[1])
    if not ground:
        return None
    level = _level_height(np.concatenate(ground))
    if level is not None:
        return level
    lowest = np.concatenate(feet)
    if len(lowest) < _FEWEST_POINTS:
        return None
    return float(np.quantile(lowest, _LOWEST_QUANTILE)) - _HIDDEN_SOLE_M


def _points_about(
    session: FitCapture, observations: Any, views: Views, frame: int, column: int, landmarks: np.ndarray
) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " f"]] | None:
    """Heights of what one camera measured near the feet: off the person, and on it."""
    camera = views.names[column]
    if not session.has(frame, camera):
        return None
    reading, mask = session.depth(frame, camera), observations.mask(frame, camera)
    if reading is None or mask is None:
        return None
    depth, valid = reading
    person = (mask > 0.5).astype(np.uint8)
    around = np.ones((7, 7), np.uint8)
    heights = []
    for usable in (cv2.dilate(person, around) == 0, cv2.erode(person, around) > 0):
        points, _ = unproject(depth, valid & usable & (depth > 0), views, column)
        apart = np.linalg.norm(points[:, None, [0, 2]] - landmarks[None][..., [0, 2]], axis=-1).min(1)
        under = landmarks[:, 1].min() - points[:, 1]
        heights.append(points[(apart < _ABOUT_FEET_M) & (np.abs(under) < _UNDER_ANKLES_M), 1])
    return heights[0], heights[1]


def _level_height(heights: Float[np.ndarray, " g"]) -> float | None:
    """The height that most points share, if most do."""
    if len(heights) < _FEWEST_POINTS:
        return None
    counts = np.bincount(((heights - heights.min()) / _BIN_M).astype(int))
    most = heights.min() + (counts.argmax() + 0.5) * _BIN_M
    level = heights[np.abs(heights - most) < _LEVEL_M]
    return float(np.median(level)) if len(level) >= _FLOOR_SHARE * len(heights) else None
