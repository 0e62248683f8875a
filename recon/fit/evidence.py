"""What was observed of the body, in the form that the costs need.

Masks become small images of the distance to the person and rays along its outline; depth becomes points in the
world.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``n`` points, ``s`` side of a distance image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.recon.fit.capture import FitCapture, Views
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.tracks import Tracks
from simulacra.recon.multiview.detections import normalised_rays
from simulacra.render.body import BodyModel

_CONTOUR_POINTS = 96
# After half a second people have taken another pose, and their clothes hang otherwise.
_POSE_S = 0.5
# Of a few moments, at a quarter of the size, is known where nothing is; what is nearer to the background may touch it.
_FREE_MOMENTS, _FREE_STEP, _EMPTY_M = 5, 4, 0.08


@dataclass(frozen=True)
class Silhouettes:
    """Masks as distance images and outlines.

    Attributes:
        outside: distance to the person, in focal lengths, over the whole image at ``s`` x ``s`` samples.
        known: which views have a mask.
        outline: rays of points of the outline, spread evenly; NaN beyond their number or where the image ends.
    """

    outside: Float[Tensor, "t c s s"]
    known: Bool[Tensor, "t c"]
    outline: Float[np.ndarray, "t c m 2"]


def gather_silhouettes(
    session: FitCapture, observations: Any, views: Views, tracks: Tracks, config: FitConfig
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
            outside[row, column], contour = _measure_silhouette(mask > 0.5, focal, config.mask_side)
            outline[row, column, : len(contour)] = normalised_rays(
                contour[None, None].astype(np.float64), views.Ks[[column]]
            )[0, 0]
            known[row, column] = True
    return Silhouettes(outside, known, outline)


def _measure_silhouette(mask: np.ndarray, focal: float, side: int) -> tuple[Tensor, np.ndarray]:
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
class DepthPoints:
    """Measured points of the person's surface in one frame.

    Attributes:
        points: world, metres.
        towards: unit vectors to the camera that saw each.
    """

    points: Float[np.ndarray, "n 3"]
    towards: Float[np.ndarray, "n 3"]


def gather_depth(
    session: FitCapture, observations: Any, views: Views, frame: int, config: FitConfig
) -> DepthPoints | None:
    """Depth pixels inside the mask, well away from its edge, that another camera does not contradict."""
    clouds = []
    for column, camera in enumerate(views.names):
        if not session.has(frame, camera):
            continue
        reading = session.depth(frame, camera)
        # A mask takes as long to read as a picture does.
        mask = None if reading is None else observations.mask(frame, camera)
        if reading is None or mask is None:
            continue
        depth, valid = reading
        inner = cv2.erode((mask > 0.5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        clouds.append(unproject(depth, valid & inner & (depth > 0), views, column))
    if not clouds:
        return None
    points, towards = (np.concatenate(each) for each in zip(*clouds, strict=True))
    keep = _agree_with_masks(points, session, observations, views, frame)
    points, towards = points[keep], towards[keep]
    step = max(1, len(points) // config.depth_points)
    return DepthPoints(points[::step], towards[::step]) if len(points) else None


def unproject(
    depth: np.ndarray, usable: np.ndarray, views: Views, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points in the world and unit directions to the camera of every third usable pixel in each direction."""
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


def _agree_with_masks(
    points: np.ndarray, session: FitCapture, observations: Any, views: Views, frame: int
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


@dataclass(frozen=True)
class FreeSpace:
    """How far cameras see through where the person is not: what lies before the measured background is empty.

    Attributes:
        Ks: of the small pictures.
        z: of the background in some frames' rows, by column of the camera, metres; 0 where nothing is known.
    """

    Ks: Float[np.ndarray, "c 3 3"]
    z: dict[tuple[int, int], Float[np.ndarray, "h w"]]

    def behind(self, row: int, column: int, local: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Whether a camera sees the background well behind points of its own frame."""
        if (row, column) not in self.z:
            return np.zeros(len(local), bool)
        z = self.z[row, column]
        image = local @ self.Ks[column].T
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.floor(np.nan_to_num(image[:, :2] / image[:, 2:], nan=-1, posinf=-1, neginf=-1))
        inside = (at >= 0).all(1) & (at[:, 0] < z.shape[1]) & (at[:, 1] < z.shape[0]) & (local[:, 2] > 0)
        found = np.zeros(len(local), bool)
        x, y = at[inside].astype(int).T
        found[inside] = z[y, x] > local[inside, 2] + _EMPTY_M
        return found


def gather_free_space(
    session: FitCapture, observations: Any, views: Views, tracks: Tracks
) -> FreeSpace | None:
    """Of a few frames' depth images, what is not the person's; None without depth."""
    found = {}
    for row in few_rows(len(tracks.frames)):
        frame = int(tracks.frames[row])
        for column, camera in enumerate(views.names):
            reading = session.depth(frame, camera) if session.has(frame, camera) else None
            mask = None if reading is None else observations.mask(frame, camera)
            if reading is None or mask is None:
                continue
            depth, valid = reading
            person = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            found[row, column] = np.where(valid & ~person, depth, 0.0)[::_FREE_STEP, ::_FREE_STEP]
    if not found:
        return None
    return FreeSpace(views.Ks * np.array([1 / _FREE_STEP, 1 / _FREE_STEP, 1.0])[:, None], found)


def few_rows(frames: int) -> list[int]:
    """A few rows of so many frames, evenly."""
    return sorted(set(np.linspace(0, frames - 1, _FREE_MOMENTS).astype(int).tolist()))


@dataclass(frozen=True)
class Evidence:
    """What some frames are fitted to.

    Attributes:
        tracks: landmarks of these frames.
        vertices: the outer vertices that masks and depth are compared with, ascending.
        silhouettes: None where masks are not used.
        depth: measured points by row of the frame; empty where depth is not used or not there.
        floor_m: height of the floor; None where depth does not show it.
        stature_m: of the body at rest; None where it is measured.
        free: where nothing is, which limbs that no camera shows are held against; None where nothing says so.
    """

    body: BodyModel
    config: FitConfig
    views: Views
    tracks: Tracks
    vertices: Int[Tensor, " m"]
    silhouettes: Silhouettes | None
    depth: dict[int, DepthPoints]
    floor_m: float | None = None
    free: FreeSpace | None = None
    stature_m: float | None = None


@dataclass(frozen=True)
class Round:
    """What one round of optimisation compares the body with.

    Attributes:
        maps: the keypoint maps whose landmarks count, the first of all and so on.
        landmark_scale_m: where landmarks' costs begin to level off, if not as configured.
        surface: whether masks and depth count too.
    """

    maps: tuple[str, ...]
    landmark_scale_m: float | None = None
    surface: bool = False


def independent_share(seconds: Float[np.ndarray, " t"]) -> float:
    """As how much of a moment of its own each of some frames counts, for what lasts: a pose, how clothes hang."""
    gaps = np.minimum(np.diff(seconds) / _POSE_S, 1.0)
    return float((1 + gaps.sum()) / len(seconds))
