"""Robust multi-view triangulation of detected 2D points.

A detector works on a crop of the person, so that its noise grows with the person in the image: residuals are weighed
as transverse metres, |pixel residual| * depth / focal length, which makes a near camera and a far one comparable. For
every point all pairs of cameras propose a position, each proposal is scored by a truncated sum over all views (MSAC:
Torr and Zisserman, "MLESAC", 2000), the best one chooses the views that agree, and Gauss-Newton steps with
Geman-McClure weights refine it over those. With few cameras enumerating the pairs is exact and needs no sampling.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``p`` pairs of cameras. Pixels are (x, y) with the first pixel's
centre at (0.5, 0.5); viewmats are world to camera; world points are in metres.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from annotated_types import Interval
from jaxtyping import Bool, Float, Int

from simulacra.recon.multiview.detections import Confidence, Detections, PinholeCameras, Points2D
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Share
from simulacra.render.runtime.errors import CaptureError


@config
class TriangulationConfig:
    """How sure a view must be to count.

    Attributes:
        noise_m: expected transverse error of a detection, metres; the scale of the robust weights.
        outlier_m: a view further than this from the point is rejected, metres.
        min_confidence: detections below it are ignored.
        min_parallax: smallest angle between two rays that fixes a depth, radians.
        iterations: Gauss-Newton steps.
    """

    noise_m: Annotated[float, Interval(ge=1e-4, le=10)] = 0.02
    outlier_m: Annotated[float, Interval(ge=1e-4, le=100)] = 0.08
    min_confidence: Share = 0.1
    min_parallax: Annotated[float, Interval(ge=1e-4, le=1.5)] = 0.05
    iterations: Annotated[int, Interval(ge=1, le=1000)] = 6


# Distances of proposals to detections that are held at once (8 MiB): long captures and rigs of many cameras are done
# block by block.
_MOST_DISTANCES = 1 << 20
_FRAMES_AT_ONCE = 500


@dataclass(frozen=True)
class Points3D:
    """Triangulated points; NaN where fewer than two views agree.

    Attributes:
        points: world, metres.
        covariances: of the points, square metres.
        inliers: which views were used.
        residual_px: distance of each detection to the projected point; NaN where there is no detection or no point.
    """

    points: Float[np.ndarray, "t k 3"]
    covariances: Float[np.ndarray, "t k 3 3"]
    inliers: Bool[np.ndarray, "t c k"]
    residual_px: Float[np.ndarray, "t c k"]


def triangulate(
    detections: Detections,
    cameras: PinholeCameras,
    config: TriangulationConfig = TriangulationConfig(),  # noqa: B008
) -> Points3D:
    """Points in the world from detections in several calibrated views.

    Raises:
        CaptureError: fewer than two cameras.
    """
    if len(cameras) < 2:
        raise CaptureError("Triangulation needs at least two cameras", expected=">= 2", found=len(cameras))
    shape = detections.confidence.shape
    frames, _, landmarks = shape
    points, residual_px = np.empty((frames, landmarks, 3)), np.empty(shape)
    information, squared = np.empty((frames, landmarks, 3, 3)), np.empty((frames, landmarks))
    inliers = np.empty(shape, dtype=bool)
    for rows, columns in _blocks(*shape):
        part = _triangulate_block(detections, rows, columns, cameras, config)
        points[rows, columns], information[rows, columns], squared[rows, columns] = part[:3]
        inliers[rows, :, columns], residual_px[rows, :, columns] = part[3:]
    seen = np.asarray(np.isfinite(points).all(-1))
    covariances = _covariances(information, squared, inliers, seen, config.noise_m)
    return Points3D(points, covariances, inliers, residual_px)


def _blocks(frames: int, cameras: int, landmarks: int) -> Iterator[tuple[slice, slice]]:
    """Frames and landmarks of pieces of the work: each point is triangulated by itself."""
    each = max(1, cameras**2 * (cameras - 1) // 2)
    columns = max(1, min(landmarks, _MOST_DISTANCES // each))
    rows = max(1, _MOST_DISTANCES // (each * columns))
    for first in range(0, frames, rows):
        for start in range(0, landmarks, columns):
            yield slice(first, first + rows), slice(start, start + columns)


def _triangulate_block(
    detections: Detections,
    rows: slice,
    columns: slice,
    cameras: PinholeCameras,
    config: TriangulationConfig,
) -> tuple[np.ndarray, ...]:
    """Points, information, squared residuals, inliers and residuals in pixels of some frames and landmarks."""
    weights = detections.of_frames(rows).weights(config.min_confidence)[:, :, columns]
    rays = cameras.rays(np.nan_to_num(detections.pixels[rows, :, columns]))
    Ks = cameras.Ks
    focal = 0.5 * (np.linalg.norm(Ks[:, 0, :2], axis=-1) + np.linalg.norm(Ks[:, 1, :2], axis=-1))
    proposals = pair_proposals(rays, weights, cameras, config.min_parallax)
    points, inliers = _best_proposal(proposals, rays, weights, cameras, config)
    points, information, squared = _refine(points, rays, weights * inliers, cameras, config)
    # The point has moved since its views were chosen: they are asked once more, from where it is now.
    error, depth = transverse_error(points, rays, cameras)
    inliers &= (error < config.outlier_m) & (depth > 0)
    # Two neighbouring cameras agree on any depth: somewhere among the views there must be a wide enough angle.
    seen = (inliers.sum(1) >= 2) & _has_parallax(points, inliers, cameras, config.min_parallax)
    inliers &= seen[:, None]
    points = np.where(seen[..., None], points, np.nan)
    # Also of views that were rejected, so that a caller sees how far off they are.
    with np.errstate(invalid="ignore", divide="ignore"):
        residual_px = np.where((weights > 0) & seen[:, None], error / depth * focal[:, None], np.nan)
    return points, information, squared, inliers, residual_px


def camera_pairs(count: int) -> Int[np.ndarray, "p 2"]:
    """All pairs of so many cameras, in the order of every ``p`` axis."""
    return np.array(list(combinations(range(count), 2)))


def pair_proposals(
    rays: Points2D,
    weights: Confidence,
    cameras: PinholeCameras,
    min_parallax: float,
    twin: Int[np.ndarray, " k"] | None = None,
) -> Float[np.ndarray, "t p k 3"]:
    """The point nearest to both rays of every pair of cameras; NaN where the rays are nearly parallel or absent.

    Args:
        twin: which landmark the second camera of a pair gives for each; the same if None.
    """
    directions = np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
    directions = np.einsum("cji,tckj->tcki", cameras.viewmats[:, :3, :3], directions)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    first, second = camera_pairs(len(cameras)).T
    theirs = np.arange(rays.shape[2]) if twin is None else twin
    origins = cameras.centres
    return closest_points(
        origins[first][None, :, None],
        directions[:, first],
        origins[second][None, :, None],
        directions[:, second][:, :, theirs],
        (weights[:, first] > 0) & (weights[:, second][:, :, theirs] > 0),
        min_parallax,
    )


def closest_points(
    o1: np.ndarray, d1: np.ndarray, o2: np.ndarray, d2: np.ndarray, valid: np.ndarray, min_parallax: float
) -> np.ndarray:
    """Midpoint of the shortest segment between rays ``o + s d`` (unit ``d``); NaN where invalid or behind an origin."""
    cosine = (d1 * d2).sum(-1)
    sine_squared = 1 - cosine**2
    good = valid & (sine_squared > np.sin(min_parallax) ** 2)
    base = o2 - o1
    b1, b2 = (base * d1).sum(-1), (base * d2).sum(-1)
    safe = np.where(good, sine_squared, 1.0)
    s1, s2 = (b1 - cosine * b2) / safe, (cosine * b1 - b2) / safe
    good &= (s1 > 0) & (s2 > 0)
    middle = 0.5 * (o1 + s1[..., None] * d1 + o2 + s2[..., None] * d2)
    return np.where(good[..., None], middle, np.nan)


def transverse_error(
    points: Float[np.ndarray, "t *p k 3"], rays: Points2D, cameras: PinholeCameras
) -> tuple[np.ndarray, np.ndarray]:
    """Distance, across the viewing direction, of each detection's ray to each point, and the point's depth, metres.

    Returns:
        error and depth, both [t *p c k]; the error is infinite where the point is NaN or behind the camera.
    """
    viewmats = cameras.viewmats
    local = np.einsum("cij,t...kj->t...cki", viewmats[:, :3, :3], points) + viewmats[:, None, :3, 3]
    depth = local[..., 2]
    target = rays if points.ndim == 3 else rays[:, None]
    with np.errstate(invalid="ignore"):
        error = np.linalg.norm(local[..., :2] - target * depth[..., None], axis=-1)
        return np.where(np.isfinite(error) & (depth > 0), error, np.inf), depth


def _best_proposal(
    proposals: Float[np.ndarray, "t p k 3"],
    rays: Points2D,
    weights: Confidence,
    cameras: PinholeCameras,
    config: TriangulationConfig,
) -> tuple[Float[np.ndarray, "t k 3"], Bool[np.ndarray, "t c k"]]:
    """The proposal with the smallest truncated cost, and the views that agree with it."""
    error, _ = transverse_error(proposals, rays, cameras)
    cost = (weights[:, None] * np.minimum((error / config.outlier_m) ** 2, 1.0)).sum(2)
    cost = np.where(np.isfinite(proposals).all(-1), cost, np.inf)
    best = cost.argmin(1)[:, None, :]
    points = np.take_along_axis(proposals, best[..., None], 1)[:, 0]
    error = np.take_along_axis(error, best[:, :, None, :], 1)[:, 0]
    return points, (error < config.outlier_m) & (weights > 0)


def _refine(
    points: Float[np.ndarray, "t k 3"],
    rays: Points2D,
    weights: Confidence,
    cameras: PinholeCameras,
    config: TriangulationConfig,
) -> tuple[Float[np.ndarray, "t k 3"], Float[np.ndarray, "t k 3 3"], Float[np.ndarray, "t k"]]:
    """Gauss-Newton with Geman-McClure weights.

    With the depth z of the step before held fixed, the residual (R x + t)_xy - ray (R x + t)_z is linear in x
    and is z times the reprojection residual: its fixed point is the minimum of the weighted transverse error.

    Returns:
        points, the information matrices sum w J^T J (per square metre of noise 1) and the weighted squared
        residuals.
    """
    viewmats, rotations = cameras.viewmats, cameras.viewmats[:, :3, :3]
    jacobians = rotations[None, :, None, :2] - rays[..., None] * rotations[None, :, None, 2:]
    offsets = viewmats[None, :, None, :2, 3] - rays * viewmats[None, :, None, 2:3, 3]
    current = np.nan_to_num(points)
    ridge = 1e-9 * np.eye(3)
    for _ in range(config.iterations):
        residual = np.einsum("tckij,tkj->tcki", jacobians, current) + offsets
        robust = weights / (1 + (residual**2).sum(-1) / (3 * config.noise_m) ** 2) ** 2
        information = np.einsum("tck,tckij,tckil->tkjl", robust, jacobians, jacobians)
        gradient = np.einsum("tck,tckij,tcki->tkj", robust, jacobians, residual)
        current = current - np.linalg.solve(information + ridge, gradient[..., None])[..., 0]
    squared = (weights * (residual**2).sum(-1)).sum(1)
    return np.where(np.isfinite(points), current, np.nan), information, squared


def _has_parallax(
    points: Float[np.ndarray, "t k 3"],
    inliers: Bool[np.ndarray, "t c k"],
    cameras: PinholeCameras,
    min_parallax: float,
) -> Bool[np.ndarray, "t k"]:
    rays = points[:, None] - cameras.centres[None, :, None]
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    sine = np.linalg.norm(np.cross(rays[:, :, None], rays[:, None, :]), axis=-1)
    both = inliers[:, :, None] & inliers[:, None, :]
    return (np.where(both, np.nan_to_num(sine), 0.0) > np.sin(min_parallax)).any((1, 2))


def _covariances(
    information: Float[np.ndarray, "t k 3 3"],
    squared: Float[np.ndarray, "t k"],
    inliers: Bool[np.ndarray, "t c k"],
    seen: Bool[np.ndarray, "t k"],
    noise_m: float,
) -> Float[np.ndarray, "t k 3 3"]:
    """Inverse information scaled by the residual variance.

    One point has 1 to 5 degrees of freedom only, so its own residual is blended with the keypoint's median
    over all frames, which counts as four more (an inverse-gamma prior).
    """
    freedom = np.maximum(2 * inliers.sum(1) - 3, 1)
    own = np.where(seen, squared / freedom, np.nan)
    with np.errstate(all="ignore"):
        pooled = np.array([np.nanmedian(column) if np.isfinite(column).any() else np.nan for column in own.T])
    pooled = np.where(np.isfinite(pooled), np.maximum(pooled, (0.1 * noise_m) ** 2), noise_m**2)
    variance = (4 * pooled + freedom * np.nan_to_num(own)) / (4 + freedom)
    scale = np.where(seen, variance, np.nan)
    covariances = np.empty_like(information)
    for first in range(
        0, len(information), _FRAMES_AT_ONCE
    ):  # inverses of all would be held several times over
        rows = slice(first, first + _FRAMES_AT_ONCE)
        covariances[rows] = np.linalg.inv(information[rows] + 1e-9 * np.eye(3)) * scale[rows, ..., None, None]
    return covariances
