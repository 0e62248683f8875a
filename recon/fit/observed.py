"""What was observed of some frames and cameras, read from where it lies, as detections with a confidence.

Symbols: ``t`` frames, ``c`` cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.fit.capture import Views
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.observe.landmarks import FACE478, HANDS42
from simulacra.recon.runs.mapped import release

_ARMS = 1  # the group of `POSE33` whose sides the hands share


def places_of(observations: Any, views: Views, frames: Sequence[int]) -> Any:
    """Where frames and cameras lie in the arrays of what was observed: the `pick` of all others here."""
    order = np.argsort(observations.frames, kind="stable")
    rows = order[np.searchsorted(observations.frames, np.asarray(frames), sorter=order)]
    return np.ix_(rows, [observations.cameras.index(name) for name in views.names])


def take(array: np.ndarray, pick: Any) -> np.ndarray:
    """Some of the landmarks, whose others stay on disk where they lie there."""
    values = np.array(array[pick])
    release(array)
    return values


def pose_detections(observations: Any, pick: Any) -> Detections:
    """The pose landmarks, and how sure they are."""
    pixels = take(observations.pose_px, pick).astype(np.float64)
    return Detections(pixels, _confidence(observations, pick, pixels))


def _confidence(observations: Any, pick: Any, pixels: np.ndarray) -> Float[np.ndarray, "t c 33"]:
    """Visibility, less where several looks of the network differ by much of the person's size."""
    visibility = np.nan_to_num(take(observations.pose_visibility, pick).astype(np.float64))
    spread = np.nan_to_num(take(observations.pose_spread_px, pick).astype(np.float64))
    with np.errstate(all="ignore"):
        height = np.nan_to_num(np.ptp(np.nan_to_num(pixels[..., 1]), axis=-1), nan=1.0)[..., None]
    seen = np.isfinite(pixels).all(-1) * np.nan_to_num(observations.pose_score[pick])[..., None]
    face = np.nan_to_num(observations.face_score[pick]) > 0.5
    blind = (
        face.any(1, keepdims=True) & ~face
    )  # the back of the head, where the network only guesses the face
    visibility[..., :11] *= np.where(blind, 0.2, 1.0)[..., None]
    return visibility * seen / (1 + (spread / (0.02 * np.maximum(height, 1.0))) ** 2)


def hand_detections(observations: Any, pick: Any, swapped: np.ndarray) -> Detections:
    """Both hands, exchanged where the arms were: the detector is led to hands by the wrists."""
    pixels = take(observations.hand_px, pick).astype(np.float64)
    score = np.nan_to_num(take(observations.hand_score, pick).astype(np.float64))
    seen = score[..., None] * np.isfinite(pixels).all(-1)
    shape = (*pixels.shape[:2], len(HANDS42))
    hands = Detections(pixels.reshape(*shape, 2), seen.reshape(shape), HANDS42)
    return hands.exchanged(swapped[:, :, [_ARMS]])


def face_detections(observations: Any, pick: Any) -> Detections:
    """The landmarks of the face."""
    pixels = take(observations.face_px, pick).astype(np.float64)
    seen = np.nan_to_num(take(observations.face_score, pick))[..., None] * np.isfinite(pixels).all(-1)
    return Detections(pixels, seen, FACE478)
