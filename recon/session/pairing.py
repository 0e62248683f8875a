"""Which pictures of several cameras are of one moment: by their times, whatever their rates.

Moments are those of the slowest camera, so that every one of them is seen by all, its gaps filled and its ends carried
on to where the others begin and end. Each camera gives a moment the picture that is nearest in time, and each picture
to one moment at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Rates within this share of the slowest are one.
SAME_RATE = 0.05
# Of the moments' interval: a picture further off is of another moment.
NEAR = 0.5
# Two clocks of one rate half an interval apart: the picture after the last one is taken though another is nearer by so
# much of an interval. Without it jitter would skip one and miss one in turn.
STEADY = 0.15
# Intervals of so many usual ones have lost moments.
GAP = 1.5


@dataclass(frozen=True)
class Moment:
    """What was recorded together.

    Attributes:
        index: moments are counted in equal steps of time, also those of which there is no picture.
        numbers: the picture of each camera that has one, counted in its times.
    """

    index: int
    numbers: Mapping[str, int]


def usual_interval(times: Float[np.ndarray, " _"]) -> float:
    """Median interval, seconds; 0 for a single picture."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def pair_by_time(times: Mapping[str, Float[np.ndarray, " _"]]) -> tuple[Moment, ...]:
    """The moments of which there are pictures.

    Args:
        times: of each camera's pictures by one clock, rising, seconds.
    """
    grid = _grid(times)
    step = usual_interval(grid)
    chosen = {name: _nearest(grid, own, step) for name, own in times.items()}
    moments = []
    for k in range(len(grid)):
        numbers = {name: int(places[k]) for name, places in chosen.items() if places[k] >= 0}
        if numbers:
            moments.append((k, numbers))
    return tuple(Moment(k - moments[0][0], numbers) for k, numbers in moments)


def _grid(times: Mapping[str, Float[np.ndarray, " _"]]) -> Float[np.ndarray, " t"]:
    """The moments: of the cameras that are about as slow as the slowest the one with most pictures decides."""
    intervals = {name: usual_interval(own) for name, own in times.items()}
    slowest = max(intervals.values())
    slow = [name for name, step in intervals.items() if step >= (1 - SAME_RATE) * slowest]
    own = times[max(slow, key=lambda name: len(times[name]))]
    if slowest == 0.0:
        return own
    steps = np.diff(own)
    filled = [own[:1]]
    for start, apart in zip(own[:-1], steps):
        count = round(apart / slowest) if apart > GAP * slowest else 1
        filled.append(start + apart * np.arange(1, count + 1) / count)
    first, last = (float(end([one[k] for one in times.values()])) for end, k in ((min, 0), (max, -1)))
    before = np.arange(_whole((own[0] - first) / slowest), 0, -1)
    after = np.arange(1, _whole((last - own[-1]) / slowest) + 1)
    return np.concatenate([own[0] - before * slowest, *filled, own[-1] + after * slowest])


def _whole(steps: float) -> int:
    """Rounded, half a step (the second of two pictures where others have one) down."""
    return int(steps + 0.49)


def _nearest(grid: Float[np.ndarray, " t"], own: Float[np.ndarray, " _"], step: float) -> np.ndarray:
    """The picture of each moment, rising; -1 where there is none."""
    interval = usual_interval(own)
    stride = max(round(step / interval), 1) if interval > 0 else 1
    steady = STEADY * interval if abs(step - stride * interval) < SAME_RATE * step else 0.0
    places = np.full(len(grid), -1)
    last = -1
    for k, moment in enumerate(grid):
        near = int(np.searchsorted(own, moment))
        following = last + stride if last >= 0 else -1
        candidates = {n for n in (near - 1, near, following) if last < n < len(own)}
        if not candidates:
            continue
        apart, number = min((abs(own[n] - moment) - steady * (n == following), n) for n in candidates)
        if apart <= NEAR * step:
            places[k] = last = number
    return places
