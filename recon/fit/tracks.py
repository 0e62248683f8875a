"""Landmarks of all frames and cameras, made ready to be fitted to: sides put right, clocks and cameras aligned.

Detections become rays (x/z, y/z in the camera's frame), so that nothing later depends on image sizes. Only the
cameras and frames that are asked for are ever read.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``g`` groups of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.fit.capture import FitCapture, Views
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.hidden import hidden_landmarks, shown_landmarks
from simulacra.recon.fit.observed import face_detections, hand_detections, places_of, pose_detections, take
from simulacra.recon.fit.one_view import (
    LiftedPose,
    ScaleSource,
    check_skeletons,
    exchange_sides,
    in_picture,
    lift_pose,
)
from simulacra.recon.multiview.clocks import Lags, estimate_lags, shift_tracks
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.multiview.sides import undo_swaps
from simulacra.recon.multiview.triangulate import Points3D, TriangulationConfig, transverse_error, triangulate
from simulacra.recon.multiview.turns import AdjustedCameras, adjust_cameras
from simulacra.recon.observe.landmarks import FACE478, HANDS42, POSE33
from simulacra.recon.observe.presence import FEWEST_LANDMARKS, count_views, views_needed
from simulacra.recon.session.times import frame_seconds
from simulacra.render.body import BodyModel, load_body
from simulacra.render.runtime.errors import CaptureError

_WRISTS = [15, 16]  # of `POSE33`: where hands begin
_HAND_FROM_WRIST_M = 0.06


@dataclass(frozen=True)
class PoseTracks:
    """The pose landmarks of a whole capture, sides put right and clocks aligned, and what follows from them.

    Attributes:
        frames: numbers in the session.
        seconds: their times.
        assumed: what `frame_seconds` had to assume for these; None for nothing.
        pixels: of the landmarks.
        weights: of these.
        seen: how sure the detector is of these, also where other cameras contradict.
        swapped: which groups of which views had left and right exchanged.
        offsets: how much each camera lags.
        adjusted: what was found about the cameras' rotations.
        points: the landmarks triangulated, or of a single camera lifted (`recon.fit.one_view`); NaN where they could
            not be.
        residual_px: distance of each detection to the projected point; NaN where there is no detection or no point.
        shown: landmarks that some camera shows at times (`recon.fit.hidden`).
        scale: where metres come from.
        exchanged: whether left and right were exchanged throughout, of a single camera.
    """

    frames: Int[np.ndarray, " t"]
    seconds: Float[np.ndarray, " t"]
    assumed: str | None
    pixels: Float[np.ndarray, "t c 33 2"]
    weights: Float[np.ndarray, "t c 33"]
    seen: Float[np.ndarray, "t c 33"]
    swapped: Bool[np.ndarray, "t c g"]
    offsets: Lags
    adjusted: AdjustedCameras
    points: Float[np.ndarray, "t 33 3"]
    residual_px: Float[np.ndarray, "t c 33"]
    shown: Bool[np.ndarray, "33"]
    scale: ScaleSource = "cameras"
    exchanged: bool = False


@dataclass(frozen=True)
class Tracks:
    """All landmarks of some frames, ready to be fitted to.

    Attributes:
        frames: numbers in the session.
        seconds: their times.
        rays: of the landmarks of pose, left hand, right hand and face, one after the other.
        weights: of these.
        seen: how sure the detector is of the pose landmarks, also where other cameras contradict.
        offsets: how much each camera lags.
        points: the pose landmarks triangulated or lifted, NaN where they could not be.
        shown: pose landmarks that some camera shows at times; of the whole capture.
    """

    frames: Int[np.ndarray, " t"]
    seconds: Float[np.ndarray, " t"]
    rays: Float[np.ndarray, "t c k 2"]
    weights: Float[np.ndarray, "t c k"]
    seen: Float[np.ndarray, "t c 33"]
    offsets: Lags
    points: Float[np.ndarray, "t 33 3"]
    shown: Bool[np.ndarray, "33"]

    def of_rows(self, rows: list[int]) -> Tracks:
        """Some of the frames."""
        return Tracks(
            self.frames[rows],
            self.seconds[rows],
            self.rays[rows],
            self.weights[rows],
            self.seen[rows],
            self.offsets,
            self.points[rows],
            self.shown,
        )


POSE = slice(0, len(POSE33))
HANDS = slice(POSE.stop, POSE.stop + len(HANDS42))
FACE = slice(HANDS.stop, HANDS.stop + len(FACE478))


def gather_poses(
    session: FitCapture,
    observations: Any,
    views: Views,
    frames: Sequence[int],
    config: FitConfig,
    *,
    body: BodyModel | None = None,
    exchanged: bool = False,
) -> tuple[PoseTracks, Views]:
    """Pose landmarks of the chosen cameras and frames, and the cameras as these landmarks want them.

    Args:
        body: whose limbs say how large a person is whom one camera sees.
        exchanged: of a single camera, take left for right throughout.

    Raises:
        CaptureError: the person's pose could not be triangulated in any frame, or a single camera never shows it.
    """
    pick = places_of(observations, views, frames)
    seen = pose_detections(observations, pick)
    _require_person(count_views(seen.confidence), views)
    if len(views.names) == 1:
        body = load_body() if body is None else body
        return _lift_alone(session, observations, views, frames, config, pick, seen, body, exchanged), views
    fixed = undo_swaps(seen, views.cameras, config.swaps, config.triangulation)
    lags = _estimate_lags(fixed.detections, views, frames, config)
    pose = shift_tracks(fixed.detections, lags.frames)
    adjusted = adjust_cameras(pose, views.cameras, config.adjust, config.triangulation)
    views = replace(views, viewmats=adjusted.cameras.viewmats)
    points = triangulate(pose, views.cameras, config.triangulation)
    if np.isfinite(points.points).all(-1).sum(1).max() < FEWEST_LANDMARKS:
        raise CaptureError(
            "The person's joints do not agree between the cameras in any frame",
            where=f"cameras {', '.join(views.names)}",
            expected=f"at least {FEWEST_LANDMARKS} joints seen alike by two cameras",
            remedy="check the calibration and that the cameras see the same person at the same time",
        )
    guessed = out_of_all_pictures(pose, views.sizes, config.triangulation.min_confidence)
    shown = shown_landmarks(pose, guessed, views.sizes)
    hidden = hidden_landmarks(shown)
    weights = np.where(points.inliers, pose.confidence, _lone(points, pose, guessed))
    tracks = PoseTracks(
        np.array(frames),
        *_seconds(session, frames),
        pose.pixels,
        np.where(hidden, 0.0, weights),
        np.where(hidden, 0.0, pose.confidence),
        fixed.swapped,
        lags,
        adjusted,
        points.points,
        points.residual_px,
        shown,
    )
    return tracks, views


def _lift_alone(
    session: FitCapture,
    observations: Any,
    views: Views,
    frames: Sequence[int],
    config: FitConfig,
    pick: Any,
    seen: Detections,
    body: BodyModel,
    exchanged: bool,
) -> PoseTracks:
    """Of a single camera: nothing is compared, and what lies outside of its picture is a guess."""
    check_skeletons(observations)
    world = take(observations.pose_world, pick)[:, 0].astype(np.float64)
    pose, world = exchange_sides(seen, world) if exchanged else (seen, world)
    inside = in_picture(pose, views.sizes)
    lifted: LiftedPose = lift_pose(
        session, observations, pose, inside, (views.names[0], views.cameras), frames, world, body,
        config.stature_m, depth=config.depth,
    )  # fmt: skip
    _require_points(lifted.points, views)
    shown = shown_landmarks(pose, ~inside, views.sizes)
    hidden = hidden_landmarks(shown) | ~inside
    return PoseTracks(
        np.array(frames),
        *_seconds(session, frames),
        pose.pixels,
        np.where(hidden[:, None], 0.0, pose.confidence),
        np.where(hidden[:, None], 0.0, pose.confidence),
        np.full((*pose.confidence.shape[:2], len(POSE33.groups)), exchanged),
        Lags.none(1),
        AdjustedCameras(views.cameras, np.zeros((1, 3)), 0.0),
        lifted.points,
        np.full(pose.confidence.shape, np.nan),
        shown,
        lifted.source,
        exchanged,
    )


def _seconds(session: FitCapture, frames: Sequence[int]) -> tuple[np.ndarray, str | None]:
    known = {frame.index: frame for frame in session.frames}
    return frame_seconds([known[frame] for frame in frames])


def _require_points(points: Float[np.ndarray, "t 33 3"], views: Views) -> None:
    if np.isfinite(points).all(-1).sum(1).max() < FEWEST_LANDMARKS:
        raise CaptureError(
            "no frame shows enough of the person",
            where=f"camera {views.names[0]}",
            expected=f"at least {FEWEST_LANDMARKS} landmarks of the body within the picture",
            remedy="point the camera at the person; light it",
        )


def gather_tracks(
    poses: PoseTracks, observations: Any, views: Views, config: FitConfig, rows: slice = slice(None)
) -> Tracks:
    """All landmarks of some neighbouring frames of a capture.

    Hands and faces have many, which are looked at piece by piece. They follow what the pose, of which several cameras
    agree, said of sides, clocks and cameras.

    Args:
        rows: places of the frames among those of the poses.
    """
    start, stop, _ = rows.indices(len(poses.frames))
    # What a lagging camera shows at these frames lies among others.
    reach = int(np.ceil(np.abs(poses.offsets.frames).max())) + 1 if poses.offsets.frames.any() else 0
    first, last = max(0, start - reach), min(len(poses.frames), stop + reach)
    pick = places_of(observations, views, poses.frames[first:last].tolist())
    own = slice(start - first, stop - first)

    def aligned(seen: Detections) -> Detections:
        return shift_tracks(seen, poses.offsets.frames, first).of_frames(own)

    hands = aligned(hand_detections(observations, pick, poses.swapped[first:last]))
    hands = replace(hands, confidence=hands.confidence * _at_wrists(hands, poses.points[rows], views))
    face = aligned(face_detections(observations, pick))
    weights = [
        poses.weights[rows],
        _weigh_consistent(hands, views, config, outlier_m=0.04, alone=0.8)
        if config.hands
        else 0 * hands.confidence,
        _weigh_consistent(face, views, config, outlier_m=0.03, alone=0.33)
        if config.face
        else 0 * face.confidence,
    ]
    rays = [views.cameras.rays(pixels) for pixels in (poses.pixels[rows], hands.pixels, face.pixels)]
    return Tracks(
        poses.frames[rows],
        poses.seconds[rows],
        np.nan_to_num(np.concatenate(rays, 2)),
        np.concatenate(weights, 2),
        poses.seen[rows],
        poses.offsets,
        poses.points[rows],
        poses.shown,
    )


def _require_person(seen_by: Int[np.ndarray, " t"], views: Views) -> None:
    needed = views_needed(len(views.names))
    if seen_by.max(initial=0) < needed:
        raise CaptureError(
            f"no frame shows the person in {'two cameras' if needed > 1 else 'the camera'}",
            where=f"cameras {', '.join(views.names)}",
            expected=f"at least {FEWEST_LANDMARKS} landmarks of the body in {needed} of the cameras at once",
            found=f"at most {seen_by.max(initial=0)} camera at once",
            remedy="point the cameras at one place where the person stands; light it",
        )


def _estimate_lags(seen: Detections, views: Views, frames: Sequence[int], config: FitConfig) -> Lags:
    """Lags of the cameras; only frames of consecutive numbers are a clock."""
    if not (np.diff(frames) == 1).all():
        return Lags.none(len(views.names))
    return estimate_lags(seen, views.cameras, config.synchronise, config.triangulation)


def _lone(points: Points3D, pose: Detections, guessed: Bool[np.ndarray, "t 33"]) -> np.ndarray:
    """Weights of detections without a triangulated point: a single view still says something, unless others say that
    there is nothing to see.
    """
    silent = np.isfinite(points.points).all(-1) | guessed
    return np.where(silent[:, None], 0.0, 0.3 * pose.confidence)


def out_of_all_pictures(
    pose: Detections, sizes: Int[np.ndarray, "c 2"], sure: float
) -> Bool[np.ndarray, "t 33"]:
    """Landmarks that no camera shows: two that see the person place them outside of their own pictures, and at most
    one has them within. That one has guessed: legs before a lens, of somebody who sits behind a desk.

    Args:
        sizes: width and height of the pictures.
        sure: confidence of a detection that counts as within.
    """
    known = np.isfinite(pose.pixels).all(-1)
    within = ((pose.pixels >= 0) & (pose.pixels <= sizes[None, :, None])).all(-1)
    without = (known & ~within).sum(1) >= 2
    return without & ((within & (pose.confidence >= sure)).sum(1) <= 1)


def _at_wrists(hands: Detections, points: Float[np.ndarray, "t 33 3"], views: Views) -> np.ndarray:
    """1 where a detected hand begins at the wrist that the pose landmarks have, 0 where it is a sleeve or a shoe.

    Where the wrist is not known nothing is held against the hand.
    """
    wrists = points[:, _WRISTS]
    each = len(HANDS42) // 2
    rays = views.cameras.rays(np.nan_to_num(hands.pixels[:, :, [0, each]]))
    error, _ = transverse_error(wrists, rays, views.cameras)
    near = (error < _HAND_FROM_WRIST_M) | ~np.isfinite(wrists).all(-1)[:, None]
    return np.repeat(near, each, axis=-1).astype(np.float64)


def _weigh_consistent(
    seen: Detections, views: Views, config: FitConfig, outlier_m: float, alone: float
) -> np.ndarray:
    """Confidence of the views that agree on a point; one that a single view of several sees keeps a part of it."""
    if len(views.names) == 1:
        return seen.weights(config.triangulation.min_confidence)
    strict = TriangulationConfig(
        noise_m=0.25 * outlier_m, outlier_m=outlier_m, min_confidence=config.triangulation.min_confidence
    )
    points = triangulate(seen, views.cameras, strict)
    single = (seen.confidence >= strict.min_confidence).sum(1, keepdims=True) == 1
    return np.where(points.inliers, seen.confidence, np.where(single, alone * seen.confidence, 0.0))
