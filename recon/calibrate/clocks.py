"""When cameras really exposed, out of a board that moves.

Cameras that are read out together do not expose together: cheap ones run freely and hand over a picture that is up to
an interval old, and some keep one more in store. A moving board is then seen elsewhere, by pixels where corners are
good to a tenth of one. Where the board was before and after is known, so this need not spoil the calibration: every
camera has a mean lag, and every view a time of its own about it (see `recon.multiview.bundle`).

Positions in a picture as a function of time are the parabola through the moment and its two neighbours. Times are
seconds, or frames of a video without time stamps.

Symbols: ``c`` cameras, ``n`` observations, ``b`` boards, one a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.calibrate.recordings import BoardView
from simulacra.recon.multiview.bundle import Bundle
from simulacra.recon.multiview.rig import CameraRig, Sightings, project_bodies

# A board's motion is told by moments at most so many usual intervals apart.
_NEIGHBOURS = 2.5
_FEWEST_MOMENTS = 5
_FEWEST_VIEWS = 5
# The standard deviation of a clock that is tried first, and the least, in intervals between moments. Begun with less,
# what a lagging camera sees would be taken for outliers and its lag never be found.
_FIRST, _LEAST = 0.4, 1e-3
# A view tells time if its board moves by so many times the noise of a corner while a clock errs.
_TELLING = 1.0


@dataclass(frozen=True)
class Clocks:
    """How cameras' exposures lie about the moments that they share.

    Attributes:
        lags: mean of each camera; positive: its pictures are that old, as in
            `recon.multiview.clocks`. Their own mean is 0.
        lag_errors: standard errors of these.
        jitter: standard deviation of a single view about its camera's mean, and of what the parabola misses of the
            motion; 0 where nothing is known to move.
    """

    lags: Float[np.ndarray, " c"]
    lag_errors: Float[np.ndarray, " c"]
    jitter: float

    @staticmethod
    def none(cameras: int) -> Clocks:
        """Cameras in step."""
        return Clocks(np.zeros(cameras), np.full(cameras, np.inf), 0.0)

    def updated(
        self, bundle: Bundle, sightings: Sightings, times: Float[np.ndarray, " b"] | None, settled: bool
    ) -> Clocks:
        """What the views' own times in an adjusted bundle say; the jitter stays wide until ``settled``."""
        if times is None or len(times) < _FEWEST_MOMENTS:
            return self
        interval = float(np.median(np.diff(np.sort(times))))
        if self.jitter == 0.0:
            return replace(self, jitter=_FIRST * interval)
        telling = np.linalg.norm(sightings.drift, axis=-1) > _TELLING * sightings.sigma
        _, first = np.unique(np.stack([sightings.body, sightings.camera]), axis=1, return_index=True)
        first = first[telling[first]]
        steps, errors, rest = np.zeros(len(self.lags)), np.full(len(self.lags), np.inf), []
        for camera in range(len(self.lags)):
            own = self.jitter * bundle.clocks[first[sightings.camera[first] == camera]]
            if len(own) < _FEWEST_VIEWS:
                continue
            steps[camera] = -np.median(own)
            spread = 1.4826 * np.median(np.abs(own + steps[camera]))
            errors[camera] = 1.2533 * spread / np.sqrt(len(own))
            rest.append(own + steps[camera])
        if not rest:
            return self
        # Medians: a misplaced board has no time at all. The prior pulls each to 0: a little more is there than seen.
        jitter = 1.1 * 1.4826 * float(np.median(np.abs(np.concatenate(rest))))
        jitter = float(np.clip(jitter, max(_LEAST * interval, 0.5 * self.jitter), _FIRST * interval))
        lags = self.lags + steps
        return Clocks(lags - lags.mean(), errors, jitter if settled else self.jitter)


@dataclass(frozen=True)
class CornerMotion:
    """Speed and acceleration of each corner in its picture, pixels by time and time squared."""

    speed: Float[np.ndarray, "n 2"]
    acceleration: Float[np.ndarray, "n 2"]


def moment_times(views: Sequence[BoardView], bodies: np.ndarray) -> Float[np.ndarray, " b"] | None:
    """Times of the boards; None for pictures, where boards are taken as still."""
    if any(view.frame is None for view in views):
        return None
    stamped = all(view.time is not None for view in views)
    stamps = [float((view.time if stamped else view.frame) or 0.0) for view in views]
    return np.bincount(bodies, stamps) / np.bincount(bodies)


def board_motion(
    rig: CameraRig,
    boards: Float[np.ndarray, "b 4 4"],
    sightings: Sightings,
    times: Float[np.ndarray, " b"] | None,
) -> CornerMotion:
    """How the boards move, from where they were at the moments before and after.

    A moment without both neighbours near in time has no acceleration, and without any no speed.
    """
    still = np.zeros_like(sightings.pixels)
    if times is None or len(times) < _FEWEST_MOMENTS:
        return CornerMotion(still, still)
    order = np.argsort(times, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    longest = _NEIGHBOURS * float(np.median(np.diff(times[order])))
    own = np.arange(len(order))
    before, after = order[np.maximum(place - 1, 0)], order[np.minimum(place + 1, len(order) - 1)]
    before = np.where(times - times[before] > longest, own, before)
    after = np.where(times[after] - times > longest, own, after)
    here = project_bodies(rig, boards, sightings).pixels
    first = project_bodies(rig, boards, replace(sightings, body=before[sightings.body])).pixels - here
    second = project_bodies(rig, boards, replace(sightings, body=after[sightings.body])).pixels - here
    a = (times - times[before])[sightings.body][:, None]
    b = (times[after] - times)[sightings.body][:, None]
    both = (a > 0) & (b > 0)
    safe_a, safe_b = np.where(a > 0, a, 1.0), np.where(b > 0, b, 1.0)
    parabola = (second * safe_a / safe_b - first * safe_b / safe_a) / (safe_a + safe_b)
    one_sided = np.where(a > 0, -first / safe_a, second / safe_b)
    bend = 2 * (second / safe_b + first / safe_a) / (safe_a + safe_b)
    return CornerMotion(np.where(both, parabola, one_sided), np.where(both, bend, 0.0))


def in_time(sightings: Sightings, motion: CornerMotion, clocks: Clocks) -> Sightings:
    """Sightings as they would have been at their moments but for the jitter, with what that moves, and what it blurs.

    To second order in the lag; the jitter's second order is noise.
    """
    lag = clocks.lags[sightings.camera][:, None]
    bent = 0.5 * clocks.jitter**2 * np.linalg.norm(motion.acceleration, axis=-1)
    return replace(
        sightings,
        pixels=sightings.pixels + lag * motion.speed - 0.5 * lag**2 * motion.acceleration,
        drift=clocks.jitter * (motion.speed - lag * motion.acceleration),
        sigma=np.hypot(sightings.sigma, bent),
    )
