"""Lags of cameras from the motion of a person, with and without a calibration, and together with rotations.

*Without a calibration* (`lags_by_motion`). A person is small against the distance, so that between two cameras the
image velocities of all landmarks obey one linear relation, a u + b v + c u' + d v' = 0 (the affine epipolar constraint,
Koenderink and van Doorn 1991, differentiated: constant biases of a detector and where the cameras look have gone). The
smallest singular value of all velocities, one camera shifted in time, is smallest at its lag. Lags of the pairs are
brought together by weighted least squares. Perspective bends the relation: what it makes of single limbs differs, and
that is in the standard errors (a jackknife over landmarks beside the one over time: Efron and Stein 1981).

*With a calibration* (`lags_and_turns`). Lags come from velocities in space (`recon.multiview.clocks`), which a turned
camera hardly changes; turns from positions (as in `recon.multiview.turns`) at these lags; and so on in turn until both
stand still. Positions alone would mix them: a person who moves one way for the whole capture looks the same
late and turned.

Lags are in frames; positive: the camera shows later what the others show. Only differences can be seen: lags are
relative to the mean of the cameras.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``s`` shifts tried, ``b`` blocks of time, ``g`` of landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from simulacra.recon.multiview.clocks import SynchroniseConfig, estimate_time_offsets, shift_tracks
from simulacra.recon.multiview.sides import undo_swaps
from simulacra.recon.multiview.triangulate import Confidence, Points2D, TriangulationConfig, triangulate
from simulacra.recon.multiview.turns import turn_equations, turned
from simulacra.recon.observe.observations import Observations
from simulacra.render.runtime.errors import CaptureError

FEWEST_FRAMES = 20
_BLOCKS = 10
_GROUPS = 5
_LEAST_CONFIDENCE = 0.3
# Velocities beyond so many times the median are detections that jump.
_JUMP = 12.0
_STEP = 0.25
_ITERATIONS = 8
_VISITS = 4
_TURN_PRIOR = 0.02  # radians


@dataclass(frozen=True)
class Lags:
    """Lags of the cameras about their mean, frames; errors are infinite for a camera that nothing fixes."""

    frames: Float[np.ndarray, " c"]
    standard_errors: Float[np.ndarray, " c"]


@dataclass(frozen=True)
class LagsAndTurns:
    """What is wrong with the cameras, in time and in direction.

    Attributes:
        lags: frames, about their mean.
        turns_deg: axis-angle of each camera in its own frame, degrees; of all cameras together as little as possible.
        turn_errors_deg: standard errors of these.
        residual_px: median distance of landmarks from their points: as given, with lags, with turns, with both.
    """

    lags: Lags
    turns_deg: Float[np.ndarray, "c 3"]
    turn_errors_deg: Float[np.ndarray, "c 3"]
    residual_px: tuple[float, float, float, float]


def person_tracks(
    observations: Observations, cameras: Sequence[str], viewmats: np.ndarray, Ks: np.ndarray
) -> tuple[Points2D, Confidence, int]:
    """Body landmarks of all observed frames, sides put right, and how many frames lie between two of them.

    Raises:
        CaptureError: the frames are not evenly spaced, or a camera was not observed.
    """
    missing = [name for name in cameras if name not in observations.cameras]
    if missing:
        raise CaptureError("a camera was not observed", found=", ".join(missing))
    steps = np.unique(np.diff(observations.frames))
    if len(steps) != 1:
        raise CaptureError(
            "only evenly spaced frames are a clock",
            expected="one distance between all observed frames",
            found=f"{len(steps)} different ones",
        )
    columns = [observations.cameras.index(name) for name in cameras]
    pixels = observations.pose_px[:, columns].astype(np.float64)
    seen = np.isfinite(pixels).all(-1)
    score = np.nan_to_num(observations.pose_score[:, columns].astype(np.float64))[..., None]
    confidence = seen * score * np.nan_to_num(observations.pose_visibility[:, columns].astype(np.float64))
    fixed = undo_swaps(pixels, confidence, viewmats, Ks)
    return fixed.pixels, fixed.confidence, int(steps[0])


def lags_by_motion(
    pixels: Points2D, confidence: Confidence, *, largest: float = 8.0, smoothing: float = 2.0
) -> Lags:
    """Lags from image velocities alone: no calibration is asked for.

    Args:
        pixels: landmarks of consecutive frames, sides put right; NaN where there is none.
        largest: lag looked for, frames. smoothing: standard deviation of the filter before differentiating, frames.

    Raises:
        CaptureError: too few frames, or no pair of cameras that sees motion.
    """
    frames, cameras = confidence.shape[:2]
    if frames < FEWEST_FRAMES + 2 * largest or cameras < 2:
        raise CaptureError(
            "too short or too few cameras for lags",
            expected=f">= {FEWEST_FRAMES + 2 * largest:.0f} frames of 2 cameras",
            found=f"{frames} frames of {cameras}",
        )
    velocities, good = _velocities(pixels, confidence, smoothing)
    rows, values, weights = [], [], []
    for first, second in combinations(range(cameras), 2):
        found = _pair_lag(velocities, good, first, second, largest)
        if found is not None:
            row = np.zeros(cameras)
            row[[first, second]] = -1.0, 1.0
            rows.append(row)
            values.append(found[0])
            weights.append(1 / max(found[1], 0.02))
    if not rows:
        raise CaptureError("nothing moves in two cameras at once", found=f"{cameras} cameras")
    return _together(np.array(rows), np.array(values), np.array(weights))


def _velocities(
    pixels: Points2D, confidence: Confidence, smoothing: float
) -> tuple[list[CubicSpline], Bool[np.ndarray, "t c k"]]:
    """Velocities of each camera as functions of time, by the size of the person; and where they are trusted."""
    seen = np.isfinite(pixels).all(-1) & (np.nan_to_num(confidence) >= _LEAST_CONFIDENCE)
    times = np.arange(len(pixels))
    splines = []
    reach = int(np.ceil(2 * smoothing))
    good = gaussian_filter1d((~seen).astype(float), smoothing, axis=0, mode="nearest") < 0.05
    good[:reach] = good[len(good) - reach :] = False
    for camera in range(pixels.shape[1]):
        filled = np.stack([_bridged(pixels[:, camera, :, axis], seen[:, camera]) for axis in (0, 1)], -1)
        whole = seen[:, camera].sum(1) >= 2  # frames in which the person has a size
        spread = [filled[frame, seen[frame, camera]].std(0).max() for frame in np.flatnonzero(whole)]
        size = float(np.median(spread)) if spread else 1.0
        smooth = gaussian_filter1d(filled / max(size, 1e-9), smoothing, axis=0, mode="nearest")
        splines.append(CubicSpline(times, smooth).derivative())
    return splines, good


def _bridged(values: Float[np.ndarray, "t k"], seen: Bool[np.ndarray, "t k"]) -> Float[np.ndarray, "t k"]:
    """Gaps bridged linearly; a landmark that is never seen is 0."""
    times = np.arange(len(values))
    result = np.zeros_like(values)
    for column in range(values.shape[1]):
        known = seen[:, column]
        if known.any():
            result[:, column] = np.interp(times, times[known], values[known, column])
    return result


def _pair_lag(
    velocities: list[CubicSpline], good: Bool[np.ndarray, "t c k"], first: int, second: int, largest: float
) -> tuple[float, float] | None:
    """How much later the second camera shows the first one's motion, and the standard error; None without motion."""
    times = np.arange(len(good))
    half = np.arange(-2 * largest, 2 * largest + _STEP / 2, _STEP) / 2
    moments = np.zeros((len(half), _BLOCKS, _GROUPS, 4, 4))
    blocks = np.array_split(times, _BLOCKS)
    group = np.arange(good.shape[2]) * _GROUPS // good.shape[2]
    for number, shift in enumerate(half):
        # Each camera is moved by half, so that both are smoothed alike by the interpolation.
        a, good_a = _sampled(velocities[first], good[:, first], times - shift / 2)
        b, good_b = _sampled(velocities[second], good[:, second], times + shift / 2)
        inside = ((times >= largest / 2) & (times <= len(times) - 1 - largest / 2))[:, None]
        both = np.concatenate([a, b], -1)
        size = np.linalg.norm(both, axis=-1)
        use = good_a & good_b & inside
        if use.sum() < 200:
            return None
        use &= size < _JUMP * max(float(np.median(size[use])), 1e-9)
        weighed = both * use[..., None]
        for block, rows in enumerate(blocks):
            for own in range(_GROUPS):
                chosen = weighed[rows][:, group == own].reshape(-1, 4)
                moments[number, block, own] = chosen.T @ chosen
    total = moments.sum((1, 2))
    whole = _lowest(half, _unexplained(total))
    by_time = _left_out(half, total, moments.sum(2))
    by_landmark = _left_out(half, total, moments.sum(1))
    if whole is None or by_time is None or by_landmark is None:
        return None
    return whole, float(np.hypot(by_time, by_landmark))


def _left_out(
    shifts: Float[np.ndarray, " s"], total: Float[np.ndarray, "s 4 4"], parts: Float[np.ndarray, "s b 4 4"]
) -> float | None:
    """Standard error by leaving out one part after the other; None where one of them decides all."""
    found = [_lowest(shifts, _unexplained(total - parts[:, part])) for part in range(parts.shape[1])]
    known = np.array([each for each in found if each is not None])
    if len(known) < len(found):
        return None
    count = len(known)
    return float(np.sqrt((count - 1) / count * ((known - known.mean()) ** 2).sum()))


def _sampled(
    velocity: CubicSpline, good: Bool[np.ndarray, "t k"], times: Float[np.ndarray, " t"]
) -> tuple[Float[np.ndarray, "t k 2"], Bool[np.ndarray, "t k"]]:
    clipped = np.clip(times, 0, len(times) - 1)
    near = np.round(clipped).astype(int)
    return velocity(clipped), good[near] & (np.abs(times - clipped) < 1e-9)[:, None]


def _unexplained(moments: Float[np.ndarray, "s 4 4"]) -> Float[np.ndarray, " s"]:
    """The part of the motion that no linear relation of the two cameras explains.

    The smallest eigenvalue by the harmonic mean of all: the bare one would also sink where motion is left out.
    """
    values = np.maximum(np.linalg.eigvalsh(moments), 1e-15)
    return values[:, 0] / np.exp(np.log(values).mean(1))


def _lowest(shifts: Float[np.ndarray, " s"], costs: Float[np.ndarray, " s"]) -> float | None:
    """Where the cost is lowest, between the shifts by a parabola; None at an end of the search."""
    best = int(costs.argmin())
    if best in (0, len(shifts) - 1):
        return None
    left, middle, right = costs[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(shifts[best] + (0.5 * (left - right) / bend if bend > 0 else 0.0) * (shifts[1] - shifts[0]))


def _together(
    rows: Float[np.ndarray, "p c"], values: Float[np.ndarray, " p"], weights: Float[np.ndarray, " p"]
) -> Lags:
    """Lags of cameras out of those of pairs, by robust least squares; errors grow where pairs contradict."""
    robust = np.ones_like(values)
    cameras = rows.shape[1]
    for _ in range(20):
        w = robust * weights**2
        normal = rows.T @ (w[:, None] * rows) + 1e-9 * np.eye(cameras) + np.ones((cameras, cameras))
        inverse = np.linalg.inv(normal)
        lags = inverse @ (rows.T @ (w * values))
        rest = (values - rows @ lags) * weights
        robust = 1 / (1 + (rest / 3) ** 2)
    freedom = max(len(values) - cameras + 1, 1)
    scale = max(1.0, float((robust * rest**2).sum()) / freedom)
    projected = inverse @ (rows.T @ (w[:, None] * rows)) @ inverse
    errors = np.sqrt(np.maximum(scale * projected.diagonal(), 0))
    errors[np.abs(rows).sum(0) == 0] = np.inf
    return Lags(lags - lags.mean(), errors)


# -- with a calibration ----------------------------------------------------------------------------


def lags_and_turns(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    *,
    largest: float = 8.0,
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
) -> LagsAndTurns:
    """Lags and turns of all cameras under which the landmarks agree best.

    Args:
        pixels: landmarks of consecutive frames, sides put right; NaN where there is none.
        largest: lag looked for, frames.

    Raises:
        CaptureError: too few frames or cameras.
    """
    frames, cameras = confidence.shape[:2]
    if frames < FEWEST_FRAMES or cameras < 2:
        raise CaptureError(
            "too short or too few cameras for lags",
            expected=f">= {FEWEST_FRAMES} frames of 2 cameras",
            found=f"{frames} frames of {cameras}",
        )
    every = SynchroniseConfig(largest=largest, least=0.0, significance=0.0, fewest_frames=FEWEST_FRAMES)
    turns, errors = np.zeros((cameras, 3)), np.full((cameras, 3), np.inf)
    lags = Lags(np.zeros(cameras), np.full(cameras, np.inf))
    for _ in range(_VISITS):
        before = lags.frames
        rig = turned(viewmats, turns)
        found = estimate_time_offsets(pixels, confidence, rig, Ks, every, triangulation)
        lags = Lags(found.frames - found.frames.mean(), found.standard_errors)
        moved = shift_tracks(pixels, confidence, lags.frames)
        turns, errors = _turns(*moved, viewmats, Ks, triangulation)
        if np.abs(lags.frames - before).max() < 0.05:
            break
    still = np.zeros(cameras)
    residuals = [
        _residual(pixels, confidence, turned(viewmats, use * turns), Ks, shift, triangulation)
        for use, shift in ((0, still), (0, lags.frames), (1, still), (1, lags.frames))
    ]
    return LagsAndTurns(
        lags,
        np.degrees(turns),
        np.degrees(errors),
        (residuals[0], residuals[1], residuals[2], residuals[3]),
    )


def _residual(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    lags: Float[np.ndarray, " c"],
    triangulation: TriangulationConfig,
) -> float:
    """Median distance of landmarks from their triangulated points, pixels."""
    points = triangulate(*shift_tracks(pixels, confidence, lags), viewmats, Ks, triangulation)
    known = points.residual_px[np.isfinite(points.residual_px)]
    return float(np.median(known)) if len(known) else float("nan")


def _turns(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    triangulation: TriangulationConfig,
) -> tuple[Float[np.ndarray, "c 3"], Float[np.ndarray, "c 3"]]:
    """Axis-angles and their standard errors, radians: over blocks of time and of landmarks."""
    cameras = len(viewmats)
    turns = np.zeros((cameras, 3))
    prior = np.eye(3 * cameras) / _TURN_PRIOR**2
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(_ITERATIONS):
        parts = _parts(pixels, confidence, turned(viewmats, turns), Ks, triangulation)
        hessian = sum((part[0] for part in parts), prior)
        gradient = sum((part[1] for part in parts), prior @ turns.ravel())
        step = -np.linalg.solve(hessian, gradient).reshape(cameras, 3)
        turns = turns + step
        if np.abs(step).max() < 1e-5:
            break
    squared = np.zeros(3 * cameras)
    for split in (range(_BLOCKS), range(_GROUPS)):
        count = len(split)
        # One step from the whole solution: the jackknife of a solved least-squares problem.
        without = []
        for out in split:
            own = [
                part
                for n, part in enumerate(parts)
                if (n // _GROUPS if count == _BLOCKS else n % _GROUPS) == out
            ]
            rest = hessian - sum(part[0] for part in own)
            without.append(np.linalg.solve(rest, sum(part[1] for part in own)))
        spread = np.array(without)
        squared += (count - 1) / count * ((spread - spread.mean(0)) ** 2).sum(0)
    return turns, np.sqrt(squared).reshape(cameras, 3)


def _parts(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    triangulation: TriangulationConfig,
) -> list[tuple[Float[np.ndarray, "u u"], Float[np.ndarray, " u"]]]:
    """Normal equations of the turns with the points eliminated, of each block of time and of landmarks."""
    points = triangulate(pixels, confidence, viewmats, Ks, triangulation)
    weights = np.where(points.inliers, np.nan_to_num(confidence), 0.0)
    groups = np.arange(pixels.shape[2]) * _GROUPS // pixels.shape[2]
    parts = []
    for rows in np.array_split(np.arange(len(pixels)), _BLOCKS):
        for group in range(_GROUPS):
            own = np.ix_(rows, np.arange(len(viewmats)), np.flatnonzero(groups == group))
            placed = points.points[rows][:, groups == group]
            parts.append(
                turn_equations(placed, pixels[own], weights[own], viewmats, Ks, triangulation.noise_m)
            )
    return parts
