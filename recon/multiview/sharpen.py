"""Offsets to a part of a frame, and drift, where a calibration is known: `recon.multiview.clocks` in stretches of time.

An offset found by `recon.multiview.offsets` is right to about a frame. There landmarks are taken at common times; what
is left is a lag of a few frames, which velocities in space show to hundredths. Lags of several stretches are a line
over time: where it starts is the offset, how it leans is drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, stdtrit

from simulacra.recon.multiview.clocks import SynchroniseConfig, estimate_lags
from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.offsets import SeenMotion, common_step
from simulacra.recon.multiview.sides import undo_swaps

# Frames: what is looked for about a coarse offset, and how near to its end it is no answer.
LARGEST, EDGE = 8.0, 1.0
FEWEST_FRAMES = 20
# Standard error of a lag, at least, frames: of noise-free tracks it would be 0.
LEAST_ERROR = 0.02
# A lean counts if chance would show it as seldom as four standard errors of a known spread (with few stretches the
# spread itself is hardly known: Student's distribution), and if it moves a camera by so many frames from end to end.
CHANCE, VISIBLE = float(ndtr(-4.0)), 0.25
# Clocks of cameras part by less: crystals by 1e-4, a rate that is written 30 and was 30000/1001 by 1e-3. What leans
# more is how landmarks err while a person turns.
LARGEST_DRIFT = 2.5e-3


@dataclass(frozen=True)
class Stretch:
    """Lags in one stretch of time.

    Attributes:
        time: its middle, common time, seconds.
        lags: of each camera, seconds; NaN where it does not say.
        errors: standard errors.
    """

    time: float
    lags: Float[np.ndarray, " c"]
    errors: Float[np.ndarray, " c"]


@dataclass(frozen=True)
class LagLine:
    """One camera's lag over time.

    Attributes:
        lag: at common time 0, seconds.
        error: standard error of the lag; infinite where nothing was seen.
        lean: change of the lag in a second; 0 where it is not sure.
    """

    lag: float
    error: float
    lean: float


def lags_of_stretch(
    seen: Sequence[SeenMotion],
    offsets: Float[np.ndarray, " c"],
    cameras: PinholeCameras,
    span: tuple[float, float],
) -> Stretch:
    """How much each camera lags behind its coarse offset between two common times.

    Args:
        seen: pictures of all cameras that cover the span.
        offsets: common times at which clocks show 0, seconds.
        span: from, to, seconds of common time.
    """
    step, count = common_step(seen), len(seen)
    grid = np.arange(span[0], span[1], step)
    nothing = Stretch(float(np.mean(span)), np.full(count, np.nan), np.full(count, np.inf))
    if len(grid) < FEWEST_FRAMES:
        return nothing
    sampled = [_at_times(one, grid - offset, step) for one, offset in zip(seen, offsets, strict=True)]
    detections = Detections(
        np.stack([pixels for pixels, _ in sampled], 1), np.stack([known for _, known in sampled], 1)
    )
    settings = SynchroniseConfig(largest=LARGEST, least=0.0, significance=0.0, fewest_frames=FEWEST_FRAMES)
    found = estimate_lags(undo_swaps(detections, cameras).detections, cameras, settings)
    good = np.isfinite(found.standard_errors) & (np.abs(found.frames) < LARGEST - EDGE)
    if good.sum() < 2:
        return nothing
    errors = np.where(good, step * np.maximum(found.standard_errors, LEAST_ERROR), np.inf)
    return Stretch(nothing.time, np.where(good, step * found.frames, np.nan), errors)


def _at_times(
    seen: SeenMotion, wanted: Float[np.ndarray, " t"], step: float
) -> tuple[Float[np.ndarray, "t 33 2"], Float[np.ndarray, "t 33"]]:
    """Landmarks between neighbouring pictures, linearly; none beyond the ends and in gaps."""
    times = seen.times
    low = np.clip(np.searchsorted(times, wanted, "right") - 1, 0, len(times) - 2)
    share = (wanted - times[low]) / (times[low + 1] - times[low])
    inside = (share >= -1e-9) & (share <= 1 + 1e-9) & (times[low + 1] - times[low] < 2.5 * step)
    part = np.clip(share, 0, 1)[:, None, None]
    pixels = (1 - part) * seen.pixels[low] + part * seen.pixels[low + 1]
    confidence = np.minimum(seen.confidence[low], seen.confidence[low + 1])
    known = inside[:, None] & np.isfinite(pixels).all(-1)
    return np.where(known[..., None], pixels, np.nan), np.where(known, confidence, 0.0)


def line_through(stretches: Sequence[Stretch], camera: int, step: float) -> LagLine:
    """A camera's lag over time: level, unless stretches are sure that it leans.

    Args:
        step: seconds in a frame.
    """
    rows = [(s.time, s.lags[camera], s.errors[camera]) for s in stretches if np.isfinite(s.errors[camera])]
    if not rows:
        return LagLine(0.0, float("inf"), 0.0)
    times, lags, errors = np.array(rows).T
    lean = _sure_lean(times, lags, errors, step)
    level = lags - lean * times
    # Landmarks err alike for seconds, so stretches differ by more than their errors say: what more there is counts for
    # each alike (DerSimonian and Laird, 1986), or the one stretch that is surest of itself would be all.
    weights = 1 / errors**2
    left = (weights * (level - np.average(level, weights=weights)) ** 2).sum() - (len(rows) - 1)
    between = max(0.0, left) / max(weights.sum() - (weights**2).sum() / weights.sum(), 1e-12)
    weights = 1 / (errors**2 + between)
    return LagLine(float(np.average(level, weights=weights)), float(weights.sum() ** -0.5), lean)


def _sure_lean(
    times: Float[np.ndarray, " n"],
    lags: Float[np.ndarray, " n"],
    errors: Float[np.ndarray, " n"],
    step: float,
) -> float:
    """The slope of lags over time; 0 unless it is sure, visible and what a clock can do."""
    weights, free = 1 / errors**2, len(times) - 2
    middle = np.average(times, weights=weights)
    spread = float((weights * (times - middle) ** 2).sum())
    if free < 1 or spread <= 0:
        return 0.0
    level = np.average(lags, weights=weights)
    slope = float((weights * (times - middle) * (lags - level)).sum() / spread)
    left = (weights * (lags - level - slope * (times - middle)) ** 2).sum()
    scale = max(1.0, float(np.sqrt(left / free)))
    sure = abs(slope) > -stdtrit(free, CHANCE) * scale / np.sqrt(spread)
    visible = abs(slope) * np.ptp(times) > VISIBLE * step
    return slope if sure and visible and abs(slope) < LARGEST_DRIFT else 0.0
