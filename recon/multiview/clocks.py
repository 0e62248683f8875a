"""Time offsets between cameras from the motion that they see.

A camera that lags by d frames shows at its frame i + d what the others show at frame i. Detectors are biased by many
pixels in each view, so positions are a poor clock; velocities are not biased. At every keypoint and frame the other
cameras' image velocities fix the velocity in space (a linear triangulation), which predicts that of the camera in
question: its lag is where its own velocity track agrees best. Cameras are visited in turn until nothing moves.

Lags are in frames; positive: the camera shows later what the others show. Only differences can be seen.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``s`` shifts tried, ``b`` blocks of time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Interval
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from simulacra.recon.runs.configuration import config

# Standard deviation of a keypoint's speed before anything is measured, metres a frame: keeps velocities that the other
# cameras do not fix (one other camera only) from being anything at all.
_SPEED_PRIOR = 0.02
# Floor of the noise of a velocity across the ray, metres a frame: noise-free tracks would otherwise divide by zero.
_NOISE_FLOOR = 1e-6
# Blocks of time left out in turn: detections of neighbouring frames err together, so that a standard error from the
# number of samples would be far too sure (the jackknife: Efron and Stein, 1981).
_BLOCKS = 10
# Standard deviations above the noise from which a velocity counts, and how many such (keypoint, frame) pairs it takes.
_CLEAR_MOTION = 4.0
# Of a longer capture the stretch of so many frames with the most motion: it fixes a lag to hundredths of a frame, and
# what is held of each frame (10 kB a camera) is bounded.
_MOST_FRAMES = 1000
_FEWEST_SAMPLES = 100
# Landmarks err alike for half a second, so blocks of a short recording err alike too. Lags of 150 cameras in step, of
# 24 frames of virtual people each, lie 0.25 frames apart: it falls with the root of the number of frames.
_ALIKE = 1.5
# An offset so near to the end of what is searched, frames, is the end's and not the camera's.
_EDGE = 0.5


@config
class SynchroniseConfig:
    """How offsets are searched.

    Attributes:
        enabled: whether offsets are estimated at all.
        largest: of the offsets tried, frames.
        smoothing: standard deviation of the filter before differentiation, frames.
        least: offsets below this are taken as none, frames.
        significance: offsets below this many standard errors are taken as none.
        passes: visits of each camera.
        fewest_frames: shorter captures are taken as synchronised.
    """

    enabled: bool = True
    largest: Annotated[float, Interval(ge=0.25, le=300)] = 8.0
    smoothing: Annotated[float, Interval(ge=0.1, le=100)] = 3.0
    least: Annotated[float, Interval(ge=0, le=1000)] = 0.3
    significance: Annotated[float, Interval(ge=0, le=1000)] = 2.5
    passes: Annotated[int, Interval(ge=1, le=1000)] = 12
    fewest_frames: Annotated[int, Interval(ge=5, le=1_000_000)] = 20


@dataclass(frozen=True)
class Lags:
    """How many frames each camera lags.

    Attributes:
        frames: positive: the camera shows later what the others show.
        standard_errors: of these; infinite for a camera that nothing fixes.
        beyond: cameras whose offset is not among those that were tried: it is not known, and given as 0.
    """

    frames: Float[np.ndarray, " c"]
    standard_errors: Float[np.ndarray, " c"]
    beyond: tuple[int, ...] = ()

    @staticmethod
    def none(cameras: int) -> Lags:
        """Of cameras in step, or of which nothing is known."""
        return Lags(np.zeros(cameras), np.full(cameras, np.inf))


def estimate_lags(
    detections: Detections,
    cameras: PinholeCameras,
    config: SynchroniseConfig = SynchroniseConfig(),  # noqa: B008
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
) -> Lags:
    """The lag of every camera, in frames of consecutive numbers.

    Only differences can be seen: lags are relative to their median camera. What is not clearly off (``least``,
    ``significance``) is returned as exactly zero, so synchronised captures stay untouched.
    """
    count = len(cameras)
    if not config.enabled or len(detections.pixels) < config.fewest_frames or count < 2:
        return Lags.none(count)
    detections = detections.of_frames(_liveliest(detections, _MOST_FRAMES))
    frames = len(detections.pixels)
    # At the largest lag half of what is not near an end is still seen by both.
    largest = min(config.largest, max(0.25, (frames - 2 * _reach(config.smoothing)) / 4))
    lags, errors, ends = np.zeros(count), np.full(count, np.inf), np.zeros(count, dtype=bool)
    for _ in range(config.passes):
        before = lags.copy()
        tracks = _Velocities.of(detections, lags, cameras, config, triangulation)
        if tracks is None:
            return Lags.none(count)
        for camera in range(count):
            step, errors[camera] = _lag_of(camera, tracks, largest)
            lags[camera] = np.clip(lags[camera] + 0.7 * step, -largest, largest)
        ends = np.abs(lags) > largest - _EDGE
        lags -= np.sort(lags)[(count - 1) // 2]
        if np.abs(lags - before).max() < 0.05:
            break
    lags[ends], errors[ends] = 0.0, np.inf
    errors = np.hypot(errors, _ALIKE / np.sqrt(frames))
    kept = np.abs(lags) >= np.maximum(config.least, config.significance * errors)
    # Of a recording that is too short for all of the search its end says nothing.
    beyond = tuple(np.flatnonzero(ends).tolist()) if largest == config.largest else ()
    return Lags(np.where(kept, lags, 0.0), errors, beyond)


def _reach(smoothing: float) -> int:
    """Frames at both ends where smoothing lacks neighbours."""
    return int(np.ceil(2 * smoothing))


def _liveliest(detections: Detections, most: int) -> slice:
    """The stretch of so many frames in which the person moves most: by the median landmark, which no jump decides."""
    frames = len(detections.pixels)
    if frames <= most:
        return slice(0, frames)
    steps = np.concatenate(
        [_median_step(detections.pixels[start : start + most + 1]) for start in range(0, frames - 1, most)]
    )
    moved = np.concatenate([[0.0], np.cumsum(steps)])
    first = int((moved[most - 1 :] - moved[: len(moved) - most + 1]).argmax())
    return slice(first, first + most)


def _median_step(pixels: Float[np.ndarray, "t c k 2"]) -> Float[np.ndarray, " u"]:
    """How far the median landmark moves from each frame to the next, pixels; 0 where none is seen in both."""
    apart = np.linalg.norm(np.diff(pixels, axis=0), axis=-1).reshape(len(pixels) - 1, -1)
    seen = np.isfinite(apart).any(1)
    steps = np.zeros(len(apart))
    steps[seen] = np.nanmedian(apart[seen], axis=1)
    return steps


def shift_tracks(detections: Detections, lags: Float[np.ndarray, " c"], first: int = 0) -> Detections:
    """Detections of consecutive frames sampled ``lags`` frames later, linearly between neighbours.

    Samples beyond the ends, or next to a frame without a detection, are NaN with confidence 0.

    Args:
        first: place of the first of these frames in the capture, so that a part of it gives the bits of the whole.
    """
    pixels, confidence = detections.pixels, detections.confidence
    frames = len(pixels)
    moved, weight = pixels.copy(), confidence.copy()
    for camera in np.flatnonzero(lags):
        times = first + np.arange(frames) + lags[camera]
        last = first + frames - 1
        low = np.clip(np.floor(times).astype(int), first, max(last - 1, first))
        fraction = np.clip(times - low, 0, 1)[:, None]
        inside = ((times >= first) & (times <= last))[:, None]
        low = low - first
        high = np.minimum(low + 1, frames - 1)
        between = (1 - fraction[..., None]) * pixels[low, camera] + fraction[..., None] * pixels[high, camera]
        least = np.minimum(confidence[low, camera], confidence[high, camera])
        moved[:, camera] = np.where(inside[..., None], between, np.nan)
        weight[:, camera] = np.where(inside, np.nan_to_num(least), 0.0)
    return replace(detections, pixels=moved, confidence=weight)


@dataclass(frozen=True)
class _Velocities:
    """Image velocities and how they depend on the velocity in space.

    Attributes:
        velocities: of the detections across their rays at z = 1, for each camera as a function of time in frames.
            Splines of smoothed tracks: linear interpolation would average noise between frames, and a lag of half a
            frame would always look best.
        lags: of the cameras so far, frames; everything below is at these.
        depth: of the points, metres.
        weights: 0 where a view is missing or rejected.
        jacobians: of depth * velocity by the world velocity.
        noise: variance of depth * velocity of each camera.
        reach: frames at both ends where smoothing lacks neighbours.
    """

    velocities: list[CubicSpline]
    lags: Float[np.ndarray, " c"]
    depth: Float[np.ndarray, "t c k"]
    weights: Float[np.ndarray, "t c k"]
    jacobians: Float[np.ndarray, "t c k 2 3"]
    noise: Float[np.ndarray, " c"]
    reach: int

    @staticmethod
    def of(
        detections: Detections,
        lags: Float[np.ndarray, " c"],
        cameras: PinholeCameras,
        config: SynchroniseConfig,
        triangulation: TriangulationConfig,
    ) -> _Velocities | None:
        """None where nothing can be triangulated."""
        shifted = shift_tracks(detections, lags)
        points = triangulate(shifted, cameras, triangulation)
        if not np.isfinite(points.points).any():
            return None
        rays, count = cameras.rays(detections.pixels), len(cameras)
        smooth = gaussian_filter1d(_bridge_gaps(rays), config.smoothing, axis=0, mode="nearest")
        times = np.arange(len(rays))
        velocities = [
            CubicSpline(times, np.nan_to_num(smooth[:, camera])).derivative() for camera in range(count)
        ]
        # How an image velocity, times the depth, depends on the velocity in space.
        R, local = cameras.viewmats[:, :3, :3], cameras.local(points.points)
        depth = local[..., 2:]
        jacobians = R[None, :, None, :2] - (local[..., :2] / depth)[..., None] * R[None, :, None, 2:]
        # Bridged gaps are smooth and wrong: nothing is taken from near one, nor from the ends of the capture.
        missing = gaussian_filter1d((~np.isfinite(rays)).any(-1).astype(float), config.smoothing, axis=0)
        reach = _reach(config.smoothing)
        sampled = times + lags[:, None]
        inner = (sampled >= reach) & (sampled <= len(times) - 1 - reach)
        good = points.inliers & (missing < 0.05) & inner.T[..., None]
        steps = np.diff(np.where(good[..., None], rays * depth, np.nan), n=2, axis=0)
        noise = np.array([_noise(steps[:, camera], config.smoothing) for camera in range(count)])
        return _Velocities(
            velocities,
            lags.copy(),
            np.nan_to_num(local[..., 2]),
            np.where(good, shifted.confidence, 0.0),
            np.nan_to_num(jacobians),
            noise,
            reach,
        )

    def moving(self, camera: int, shift: float = 0.0) -> Float[np.ndarray, "t k 2"]:
        """Velocities of one camera in metres a frame, ``shift`` frames beyond its lag so far."""
        times = np.arange(len(self.depth)) + self.lags[camera] + shift
        return self.velocities[camera](np.clip(times, 0, len(times) - 1)) * self.depth[:, camera, :, None]


def _noise(second: Float[np.ndarray, "u k 2"], smoothing: float) -> float:
    """Variance of a smoothed velocity that white detection noise of these second differences leaves."""
    finite = second[np.isfinite(second)]
    if finite.size == 0:
        return _NOISE_FLOOR**2
    white = (1.4826 * np.median(np.abs(finite))) ** 2 / 6  # second differences of white noise: 1 + 4 + 1
    return float(white / (4 * np.sqrt(np.pi) * smoothing**3) + _NOISE_FLOOR**2)


def _bridge_gaps(rays: Float[np.ndarray, "t c k 2"]) -> Float[np.ndarray, "t c k 2"]:
    """Gaps bridged linearly, so that one missing frame does not blank its neighbourhood."""
    flat = rays.reshape(len(rays), -1).copy()
    times = np.arange(len(rays))
    for column in range(flat.shape[1]):
        known = np.isfinite(flat[:, column])
        if known.any() and not known.all():
            flat[:, column] = np.interp(times, times[known], flat[known, column])
    return flat.reshape(rays.shape)


def _lag_of(camera: int, tracks: _Velocities, largest: float) -> tuple[float, float]:
    """How much later this camera's velocities agree best with the others', and the standard error, frames."""
    others = [index for index in range(tracks.weights.shape[1]) if index != camera]
    precision = tracks.weights[:, others] / tracks.noise[others][None, :, None]
    J = tracks.jacobians[:, others]
    information = np.einsum("tck,tckij,tckil->tkjl", precision, J, J) + np.eye(3) / _SPEED_PRIOR**2
    seen = np.stack([tracks.moving(other) for other in others], 1)
    moment = np.einsum("tck,tckij,tcki->tkj", precision, J, seen)
    covariance = np.linalg.inv(information)
    predicted = np.einsum("tkij,tkjl,tkl->tki", tracks.jacobians[:, camera], covariance, moment)
    spread = np.einsum(
        "tkij,tkjl,tkml->tkim", tracks.jacobians[:, camera], covariance, tracks.jacobians[:, camera]
    )
    whitening = np.linalg.inv(np.linalg.cholesky(spread + tracks.noise[camera] * np.eye(2)))
    # What hardly moves says nothing about time, and its noise would find a best offset of its own.
    moving = (np.einsum("tkij,tkj->tki", whitening, predicted) ** 2).sum(-1) > _CLEAR_MOTION**2
    supported = (precision > 0).any(1) & moving
    if supported.sum() < _FEWEST_SAMPLES:
        return 0.0, np.inf
    shifts = np.arange(-np.ceil(largest), np.ceil(largest) + 0.125, 0.25)
    terms = np.array(
        [_disagreement(shift, camera, tracks, predicted, whitening, supported) for shift in shifts]
    )
    whole = _lowest(shifts, terms.sum(1))
    blocks = terms.shape[1]
    without = np.array([_lowest(shifts, terms.sum(1) - terms[:, block]) for block in range(blocks)])
    return whole, float(np.sqrt((blocks - 1) / blocks * ((without - without.mean()) ** 2).sum()))


def _lowest(shifts: Float[np.ndarray, " s"], terms: Float[np.ndarray, "s 2"]) -> float:
    """Where the mean cost is lowest, between the shifts by a parabola."""
    costs = terms[:, 0] / np.maximum(terms[:, 1], 1e-9)
    best = int(np.clip(costs.argmin(), 1, len(shifts) - 2))
    left, middle, right = costs[best - 1 : best + 2]
    bend = max(left - 2 * middle + right, 1e-12)
    return float(shifts[best] + 0.125 * np.clip((left - right) / bend, -2, 2))


def _disagreement(
    shift: float,
    camera: int,
    tracks: _Velocities,
    predicted: Float[np.ndarray, "t k 2"],
    whitening: Float[np.ndarray, "t k 2 2"],
    supported: np.ndarray,
) -> Float[np.ndarray, "b 2"]:
    """Robust cost of the whitened velocity differences at this shift and its weight, in blocks of time."""
    times = np.arange(len(predicted)) + tracks.lags[camera] + shift
    inside = (times >= tracks.reach) & (times <= len(times) - 1 - tracks.reach)
    weight = tracks.weights[:, camera] * supported * inside[:, None]
    difference = np.einsum("tkij,tkj->tki", whitening, tracks.moving(camera, shift) - predicted)
    squared = (difference**2).sum(-1)
    robust = weight * squared / (1 + squared / 9**2)
    blocks = np.array_split(np.arange(len(weight)), _BLOCKS)
    return np.array([[robust[block].sum(), weight[block].sum()] for block in blocks])
