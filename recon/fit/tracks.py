"""Landmarks of all frames and cameras, made ready to be fitted to: sides put right, clocks and cameras aligned.

Detections become rays (x/z, y/z in the camera's frame), so that nothing later depends on image sizes. Only the
cameras and frames that are asked for are ever read.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``g`` groups of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.fit.config import FitConfig
from simulacra.recon.multiview.clocks import TimeOffsets, estimate_time_offsets, shift_tracks
from simulacra.recon.multiview.sides import SwapCorrection, undo_swaps
from simulacra.recon.multiview.triangulate import (
    Points3D,
    TriangulationConfig,
    normalised_rays,
    transverse_error,
    triangulate,
)
from simulacra.recon.multiview.turns import AdjustedCameras, adjust_cameras
from simulacra.render.runtime.errors import CaptureError

_ARMS = 1  # the group of `recon.multiview.sides.POSE33` whose sides the hands share
_HAND_FROM_WRIST_M = 0.06


@runtime_checkable
class FitCapture(Protocol):
    """What fitting needs of a session; `recon.session.Session` has it."""

    @property
    def frames(self) -> Any: ...

    def camera(self, name: str) -> Any: ...

    def has(self, frame_index: int, camera: str) -> bool: ...

    def depth(self, frame_index: int, camera: str) -> Any: ...


@dataclass(frozen=True)
class Views:
    """The cameras used.

    Attributes:
        names: in the order of every ``c`` axis.
        viewmats, Ks: world to camera, pixels.
        sizes: width and height.
    """

    names: tuple[str, ...]
    viewmats: Float[np.ndarray, "c 4 4"]
    Ks: Float[np.ndarray, "c 3 3"]
    sizes: Int[np.ndarray, "c 2"]


@dataclass(frozen=True)
class Tracks:
    """Landmarks in all frames and cameras, sides put right and clocks aligned.

    Attributes:
        frames: numbers in the session.
        seconds: their times.
        rays, weights: of the 33 pose, 2 x 21 hand and 478 face landmarks, one axis after the other.
        pixels: of the pose landmarks.
        seen: how sure the detector is of these, also where other cameras contradict.
        swapped: which groups of which views had left and right exchanged.
        offsets: how much each camera lags.
        adjusted: what was found about the cameras' rotations.
        points: the pose landmarks triangulated.
    """

    frames: Int[np.ndarray, " t"]
    seconds: Float[np.ndarray, " t"]
    rays: Float[np.ndarray, "t c k 2"]
    weights: Float[np.ndarray, "t c k"]
    pixels: Float[np.ndarray, "t c 33 2"]
    seen: Float[np.ndarray, "t c 33"]
    swapped: Bool[np.ndarray, "t c g"]
    offsets: TimeOffsets
    adjusted: AdjustedCameras
    points: Points3D


POSE = slice(0, 33)
HANDS = slice(33, 75)
FACE = slice(75, 553)


def chosen_views(session: FitCapture, cameras: Sequence[str]) -> Views:
    """Calibration of the cameras that may be used.

    Raises:
        CaptureError: fewer than two.
    """
    if len(cameras) < 2:
        raise CaptureError("Fitting a body needs at least two cameras", expected=">= 2", found=list(cameras))
    chosen = [session.camera(name) for name in cameras]
    return Views(
        tuple(cameras),
        np.stack([np.asarray(camera.viewmat, dtype=np.float64) for camera in chosen]),
        np.stack([np.asarray(camera.K, dtype=np.float64) for camera in chosen]),
        np.array([[camera.width, camera.height] for camera in chosen]),
    )


def gather_tracks(
    session: FitCapture, observations: Any, views: Views, frames: Sequence[int], config: FitConfig
) -> tuple[Tracks, Views]:
    """Landmarks of the chosen cameras and frames, and the cameras as these landmarks want them.

    Raises:
        CaptureError: the person's pose could not be triangulated in any frame.
    """
    rows = [int(np.flatnonzero(observations.frames == frame)[0]) for frame in frames]
    columns = [observations.cameras.index(name) for name in views.names]
    pick = np.ix_(rows, columns)
    pixels = observations.pose_px[pick].astype(np.float64)
    confidence = _pose_confidence(observations, pick, pixels)
    fixed = undo_swaps(pixels, confidence, views.viewmats, views.Ks, config.swaps, config.triangulation)
    offsets = _time_offsets(fixed, views, frames, config)
    pose = shift_tracks(fixed.pixels, fixed.confidence, offsets.frames)
    adjusted = adjust_cameras(*pose, views.viewmats, views.Ks, config.adjust, config.triangulation)
    views = replace(views, viewmats=adjusted.viewmats)
    points = triangulate(*pose, views.viewmats, views.Ks, config.triangulation)
    if np.isfinite(points.points).all(-1).sum(1).max() < 6:
        raise CaptureError(
            "The person's joints do not agree between the cameras in any frame",
            where=f"cameras {', '.join(views.names)}",
            expected="at least 6 joints seen alike by two cameras",
            remedy="check the calibration and that the cameras see the same person at the same time",
        )
    hands = shift_tracks(*_hands(observations, pick, fixed.swapped), offsets.frames)
    hands = (hands[0], hands[1] * _at_wrists(hands[0], points, views))
    face = shift_tracks(*_face(observations, pick), offsets.frames)
    weights = [
        np.where(points.inliers, pose[1], _lone(points, pose[1])),
        _agreeing(*hands, views, config, outlier_m=0.04, alone=0.8) if config.hands else 0 * hands[1],
        _agreeing(*face, views, config, outlier_m=0.03, alone=0.33) if config.face else 0 * face[1],
    ]
    rays = [normalised_rays(each[0], views.Ks) for each in (pose, hands, face)]
    tracks = Tracks(
        np.array(frames),
        _seconds(session, frames),
        np.nan_to_num(np.concatenate(rays, 2)),
        np.concatenate(weights, 2),
        pose[0],
        pose[1],
        fixed.swapped,
        offsets,
        adjusted,
        points,
    )
    return tracks, views


def _time_offsets(
    fixed: SwapCorrection, views: Views, frames: Sequence[int], config: FitConfig
) -> TimeOffsets:
    """Lags of the cameras; only frames of consecutive numbers are a clock."""
    if not (np.diff(frames) == 1).all():
        cameras = len(views.names)
        return TimeOffsets(np.zeros(cameras), np.full(cameras, np.inf))
    return estimate_time_offsets(
        fixed.pixels, fixed.confidence, views.viewmats, views.Ks, config.synchronise, config.triangulation
    )


def _face(observations: Any, pick: Any) -> tuple[np.ndarray, np.ndarray]:
    pixels = observations.face_px[pick].astype(np.float64)
    seen = np.nan_to_num(observations.face_score[pick])[..., None] * np.isfinite(pixels).all(-1)
    return pixels, seen


def _pose_confidence(observations: Any, pick: Any, pixels: np.ndarray) -> Float[np.ndarray, "t c 33"]:
    """Visibility, less where several looks of the network differ by much of the person's size."""
    visibility = np.nan_to_num(observations.pose_visibility[pick].astype(np.float64))
    spread = np.nan_to_num(observations.pose_spread_px[pick].astype(np.float64))
    with np.errstate(all="ignore"):
        height = np.nan_to_num(np.ptp(np.nan_to_num(pixels[..., 1]), axis=-1), nan=1.0)[..., None]
    seen = np.isfinite(pixels).all(-1) * np.nan_to_num(observations.pose_score[pick])[..., None]
    face = np.nan_to_num(observations.face_score[pick]) > 0.5
    blind = (
        face.any(1, keepdims=True) & ~face
    )  # the back of the head, where the network only guesses the face
    visibility[..., :11] *= np.where(blind, 0.2, 1.0)[..., None]
    return visibility * seen / (1 + (spread / (0.02 * np.maximum(height, 1.0))) ** 2)


def _lone(points: Points3D, confidence: np.ndarray) -> np.ndarray:
    """Weights of detections without a triangulated point: a single view still says something."""
    return np.where(np.isfinite(points.points).all(-1)[:, None], 0.0, 0.3 * confidence)


def _hands(observations: Any, pick: Any, swapped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both hands [t c 42 2], exchanged where the arms were: the detector is led to hands by the wrists."""
    pixels = observations.hand_px[pick].astype(np.float64)
    score = np.nan_to_num(observations.hand_score[pick].astype(np.float64))
    exchange = swapped[:, :, _ARMS]
    pixels = np.where(exchange[..., None, None, None], pixels[:, :, ::-1], pixels)
    score = np.where(exchange[..., None], score[:, :, ::-1], score)
    seen = score[..., None] * np.isfinite(pixels).all(-1)
    return pixels.reshape(*pixels.shape[:2], 42, 2), seen.reshape(*pixels.shape[:2], 42)


def _at_wrists(pixels: np.ndarray, points: Points3D, views: Views) -> np.ndarray:
    """1 where a detected hand begins at the wrist that the pose landmarks have, 0 where it is a sleeve or a shoe.

    Where the wrist is not known nothing is held against the hand.
    """
    wrists = points.points[:, [15, 16]]
    rays = normalised_rays(np.nan_to_num(pixels[:, :, [0, 21]]), views.Ks)
    error, _ = transverse_error(wrists, rays, views.viewmats)
    near = (error < _HAND_FROM_WRIST_M) | ~np.isfinite(wrists).all(-1)[:, None]
    return np.repeat(near, 21, axis=-1).astype(np.float64)


def _agreeing(
    pixels: np.ndarray,
    confidence: np.ndarray,
    views: Views,
    config: FitConfig,
    outlier_m: float,
    alone: float,
) -> np.ndarray:
    """Confidence of the views that agree on a point; a point that one view alone sees keeps a part of it."""
    strict = TriangulationConfig(
        noise_m=0.25 * outlier_m, outlier_m=outlier_m, min_confidence=config.triangulation.min_confidence
    )
    points = triangulate(pixels, confidence, views.viewmats, views.Ks, strict)
    single = (confidence >= strict.min_confidence).sum(1, keepdims=True) == 1
    return np.where(points.inliers, confidence, np.where(single, alone * confidence, 0.0))


def _seconds(session: FitCapture, frames: Sequence[int]) -> Float[np.ndarray, " t"]:
    """Times of the frames: the mean over their cameras, or 30 frames a second where the session has none."""
    known = {frame.index: frame.sources for frame in session.frames}
    times = []
    for frame in frames:
        stamps = [source.time for source in known[frame].values() if source.time is not None]
        times.append(np.mean(stamps) if stamps else frame / 30)
    seconds = np.array(times)
    if len(seconds) > 1 and (np.diff(seconds) <= 0).any():
        return np.asarray(frames) / 30
    return seconds - seconds[0]
