"""What a session and its observations say about the body, in the form that the energy needs.

Only the cameras and frames that are asked for are ever read. Detections become rays (x/z, y/z in the camera's frame),
so that nothing later depends on image sizes; masks become small images of the distance to the person; depth becomes
points in the world.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``n`` points, ``s`` side of a distance image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.fit.config import FitConfig
from recon.swaps import undo_swaps
from recon.synchronise import TimeOffsets, estimate_time_offsets, shift_tracks
from recon.triangulate import Points3D, TriangulationConfig, normalised_rays, triangulate
from render.errors import CaptureError

_CONTOUR_POINTS = 96
_ARMS = 1  # the group of `recon.swaps.POSE33` whose sides the hands share


@runtime_checkable
class Capture(Protocol):
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
        swapped: which groups of which views had left and right exchanged.
        points: the pose landmarks triangulated.
    """

    frames: Int[np.ndarray, " t"]
    seconds: Float[np.ndarray, " t"]
    rays: Float[np.ndarray, "t c k 2"]
    weights: Float[np.ndarray, "t c k"]
    pixels: Float[np.ndarray, "t c 33 2"]
    swapped: Bool[np.ndarray, "t c g"]
    offsets: TimeOffsets
    points: Points3D


POSE = slice(0, 33)
HANDS = slice(33, 75)
FACE = slice(75, 553)


def chosen_views(session: Capture, cameras: Sequence[str]) -> Views:
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
    session: Capture, observations: Any, views: Views, frames: Sequence[int], config: FitConfig
) -> Tracks:
    """Landmarks of the chosen cameras and frames.

    Raises:
        CaptureError: the person's pose could not be triangulated in any frame.
    """
    rows = [int(np.flatnonzero(observations.frames == frame)[0]) for frame in frames]
    columns = [observations.cameras.index(name) for name in views.names]
    pick = np.ix_(rows, columns)
    pixels = observations.pose_px[pick].astype(np.float64)
    confidence = _pose_confidence(observations, pick, pixels)
    fixed = undo_swaps(pixels, confidence, views.viewmats, views.Ks, config.swaps, config.triangulation)
    consecutive = bool((np.diff(frames) == 1).all())
    offsets = TimeOffsets(np.zeros(len(columns)), np.full(len(columns), np.inf))
    if consecutive:
        offsets = estimate_time_offsets(
            fixed.pixels,
            fixed.confidence,
            views.viewmats,
            views.Ks,
            config.synchronise,
            config.triangulation,
        )
    pose = shift_tracks(fixed.pixels, fixed.confidence, offsets.frames)
    points = triangulate(*pose, views.viewmats, views.Ks, config.triangulation)
    if np.isfinite(points.points).all(-1).sum(1).max() < 6:
        raise CaptureError(
            "The person's joints do not agree between the cameras in any frame",
            where=f"cameras {', '.join(views.names)}",
            expected="at least 6 joints seen alike by two cameras",
            remedy="check the calibration and that the cameras see the same person at the same time",
        )
    hands = shift_tracks(*_hands(observations, pick, fixed.swapped), offsets.frames)
    face_px = observations.face_px[pick].astype(np.float64)
    face_seen = np.nan_to_num(observations.face_score[pick])[..., None] * np.isfinite(face_px).all(-1)
    face = shift_tracks(face_px, face_seen, offsets.frames)
    weights = [
        np.where(points.inliers, pose[1], _lone(points, pose[1])),
        _agreeing(*hands, views, config, 0.04) if config.hands else 0 * hands[1],
        _agreeing(*face, views, config, 0.03) if config.face else 0 * face[1],
    ]
    rays = [normalised_rays(each[0], views.Ks) for each in (pose, hands, face)]
    return Tracks(
        np.array(frames),
        _seconds(session, frames),
        np.nan_to_num(np.concatenate(rays, 2)),
        np.concatenate(weights, 2),
        pose[0],
        fixed.swapped,
        offsets,
        points,
    )


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


def _agreeing(
    pixels: np.ndarray, confidence: np.ndarray, views: Views, config: FitConfig, outlier_m: float
) -> np.ndarray:
    """Confidence of the views that agree on a point; a point that one view alone sees keeps a third of it."""
    strict = TriangulationConfig(
        noise_m=0.25 * outlier_m, outlier_m=outlier_m, min_confidence=config.triangulation.min_confidence
    )
    points = triangulate(pixels, confidence, views.viewmats, views.Ks, strict)
    alone = (confidence >= strict.min_confidence).sum(1, keepdims=True) == 1
    return np.where(points.inliers, confidence, np.where(alone, confidence / 3, 0.0))


def _seconds(session: Capture, frames: Sequence[int]) -> Float[np.ndarray, " t"]:
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


@dataclass(frozen=True)
class Silhouettes:
    """Masks as distance images and outlines.

    Attributes:
        outside: distance to the person, in focal lengths, over the whole image at ``s`` x ``s`` samples.
        known: which views have a mask.
        outline: rays of points of the outline, spread evenly; NaN beyond their number or where the image ends.
        scales: pixels to -1..1 of the distance image: u_normalised = scale * pixel - 1.
    """

    outside: Float[Tensor, "t c s s"]
    known: Bool[Tensor, "t c"]
    outline: Float[np.ndarray, "t c m 2"]


def gather_silhouettes(
    session: Capture, observations: Any, views: Views, tracks: Tracks, config: FitConfig
) -> Silhouettes:
    """Masks of all frames; a lagging camera's from the frame nearest to its own clock."""
    shape = (len(tracks.frames), len(views.names))
    outside = torch.zeros(*shape, config.mask_side, config.mask_side)
    known = torch.zeros(shape, dtype=torch.bool)
    outline = np.full((*shape, _CONTOUR_POINTS, 2), np.nan)
    present = set(tracks.frames.tolist())
    for row, frame in enumerate(tracks.frames.tolist()):
        for column, camera in enumerate(views.names):
            at = frame + int(np.round(tracks.offsets.frames[column]))
            if at not in present or not session.has(at, camera):
                continue
            mask = observations.mask(at, camera)
            if mask is None or not (mask > 0.5).any():
                continue
            focal = 0.5 * (views.Ks[column, 0, 0] + views.Ks[column, 1, 1])
            outside[row, column], contour = _silhouette(mask > 0.5, focal, config.mask_side)
            outline[row, column, : len(contour)] = normalised_rays(
                contour[None, None].astype(np.float64), views.Ks[[column]]
            )[0, 0]
            known[row, column] = True
    return Silhouettes(outside, known, outline)


def _silhouette(mask: np.ndarray, focal: float, side: int) -> tuple[Tensor, np.ndarray]:
    """Distance image in focal lengths, and outline points in pixels."""
    height, width = mask.shape
    scale = side / max(height, width)
    small = cv2.resize(mask.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    distance = cv2.distanceTransform((small == 0).astype(np.uint8), cv2.DIST_L2, 5)
    distance = cv2.resize(distance, (side, side), interpolation=cv2.INTER_LINEAR) / (scale * focal)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate([c[:, 0] for c in contours if len(c) > 40] or [np.zeros((0, 2), np.int32)])
    margin = 3
    inner = (points > margin).all(1) & (points < np.array([width, height]) - 1 - margin).all(1)
    points = points[inner]
    chosen = np.linspace(0, len(points) - 1, min(_CONTOUR_POINTS, len(points))).astype(int)
    return torch.from_numpy(distance.astype(np.float32)), points[chosen] + 0.5


@dataclass(frozen=True)
class Surface:
    """Measured points of the person's surface of one frame.

    Attributes:
        points: world, metres.
        towards: unit vectors to the camera that saw each.
    """

    points: Float[np.ndarray, "n 3"]
    towards: Float[np.ndarray, "n 3"]


def gather_surface(
    session: Capture, observations: Any, views: Views, frame: int, config: FitConfig
) -> Surface | None:
    """Depth pixels inside the mask, well away from its edge, that another camera does not contradict."""
    clouds = []
    for column, camera in enumerate(views.names):
        if not session.has(frame, camera):
            continue
        reading = session.depth(frame, camera)
        mask = observations.mask(frame, camera)
        if reading is None or mask is None:
            continue
        depth, valid = reading
        inner = cv2.erode((mask > 0.5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        clouds.append(_unproject(depth, valid & inner & (depth > 0), views, column))
    if not clouds:
        return None
    points, towards = (np.concatenate(each) for each in zip(*clouds, strict=True))
    keep = _consistent(points, session, observations, views, frame)
    points, towards = points[keep], towards[keep]
    step = max(1, len(points) // config.depth_points)
    return Surface(points[::step], towards[::step]) if len(points) else None


def _unproject(
    depth: np.ndarray, usable: np.ndarray, views: Views, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points and directions to the camera of every third usable pixel in each direction."""
    rows, columns = np.nonzero(usable)
    chosen = (rows % 3 == 0) & (columns % 3 == 0)
    rows, columns = rows[chosen], columns[chosen]
    # A flying pixel at a depth edge lies between two surfaces: it differs from its neighbourhood's median.
    steady = np.abs(cv2.medianBlur(depth.astype(np.float32), 5) - depth)[rows, columns] < 0.01
    rows, columns = rows[steady], columns[steady]
    pixels = np.stack([columns + 0.5, rows + 0.5], -1)[None, None].astype(np.float64)
    rays = normalised_rays(pixels, views.Ks[[column]])[0, 0]
    z = depth[rows, columns].astype(np.float64)[:, None]
    local = np.concatenate([rays * z, z], -1)
    rotation, offset = views.viewmats[column, :3, :3], views.viewmats[column, :3, 3]
    points = (local - offset) @ rotation
    towards = -rotation.T @ offset - points
    return points, towards / np.linalg.norm(towards, axis=-1, keepdims=True)


def _consistent(
    points: np.ndarray, session: Capture, observations: Any, views: Views, frame: int
) -> Bool[np.ndarray, " n"]:
    """Points that fall on the person in nearly all other masks: a sensor's ghost or a mask's error does not."""
    inside = np.zeros(len(points))
    count = np.zeros(len(points))
    for column, camera in enumerate(views.names):
        mask = observations.mask(frame, camera) if session.has(frame, camera) else None
        if mask is None:
            continue
        wide = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8))
        local = points @ views.viewmats[column, :3, :3].T + views.viewmats[column, :3, 3]
        image = local @ views.Ks[column].T
        x, y = np.floor(image[:, :2] / image[:, 2:]).astype(int).T
        within = (x >= 0) & (y >= 0) & (x < wide.shape[1]) & (y < wide.shape[0]) & (local[:, 2] > 0)
        count += within
        inside[within] += wide[y[within], x[within]]
    return inside >= np.maximum(count - 1, 0.75 * count)
