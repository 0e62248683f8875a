"""Where the person stands and looks, guessed from triangulated landmarks before anything is optimised."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_SHOULDERS, _HIPS, _EARS, _NOSE = (11, 12), (23, 24), (7, 8), 0


def first_orientation(points: Float[np.ndarray, "t 33 3"]) -> Float[np.ndarray, "t 3 3"]:
    """World orientation of the trunk in every frame: columns left, up, forward.

    Up goes from the hips to the shoulders where both are known, else along the world's; left through whichever of
    shoulders, hips and ears are known. Frames in which neither is known take that of the nearest frame.
    """
    left = _sum_known([points[:, a] - points[:, b] for a, b in (_SHOULDERS, _HIPS, _EARS)])
    up = _middle(points, _SHOULDERS) - _middle(points, _HIPS)
    up = np.where(np.isfinite(up), up, np.array([0.0, 1.0, 0.0]))
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    left = left - (left * up).sum(-1, keepdims=True) * up
    with np.errstate(invalid="ignore", divide="ignore"):
        left = left / np.linalg.norm(left, axis=-1, keepdims=True)
    frames = np.stack([left, up, np.cross(left, up)], -1)
    return frames[_nearest(np.isfinite(frames).all((1, 2)))]


def first_translation(
    points: Float[np.ndarray, "t 33 3"], model: Float[np.ndarray, "t 33 3"]
) -> Float[np.ndarray, "t 3"]:
    """How far the model's landmarks are from the measured ones: the median over trunk and head landmarks."""
    trunk = [*_SHOULDERS, *_HIPS, *_EARS, _NOSE]
    with np.errstate(all="ignore"):
        difference = points[:, trunk] - model[:, trunk]
    known = np.isfinite(difference).all(-1)
    shift = np.array(
        [
            np.median(row[k], axis=0) if k.any() else np.full(3, np.nan)
            for row, k in zip(difference, known, strict=True)
        ]
    )
    return shift[_nearest(np.isfinite(shift).all(1))]


def _middle(points: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return 0.5 * (points[:, pair[0]] + points[:, pair[1]])


def _sum_known(vectors: list[np.ndarray]) -> np.ndarray:
    """Sum of the known vectors; NaN where none is."""
    stacked = np.stack(vectors)
    known = np.isfinite(stacked).all(-1, keepdims=True)
    return np.where(known.any(0), np.where(known, stacked, 0.0).sum(0), np.nan)


def _nearest(known: np.ndarray) -> np.ndarray:
    """For each frame the nearest known one (the first of all where none is known)."""
    if not known.any():
        return np.zeros(len(known), dtype=int)
    where = np.flatnonzero(known)
    return where[np.abs(np.arange(len(known))[:, None] - where).argmin(1)]
