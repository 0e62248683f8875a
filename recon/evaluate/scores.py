"""From numbers of single views to a score that can be compared: mean, per camera, spread and interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.evaluate.protocol import View

# The "camera" of a number that belongs to a frame but to no camera, such as a joint's distance in the world.
WORLD = ""
# Fewer values than this say nothing about their own spread, so that no interval is given.
LEAST_FOR_INTERVAL = 5
RESAMPLES = 2000
# Indices: a long capture has thousands of groups, and all resamples of those would be 100 MB.
DRAWN_AT_ONCE = 200_000
INTERVAL_METHOD = (
    f"percentile bootstrap over frames, {RESAMPLES} resamples, seed 0: all views of a drawn frame are drawn "
    f"together (they share the pose); with fewer than {LEAST_FOR_INTERVAL} frames, over views; with fewer "
    f"than {LEAST_FOR_INTERVAL} views none is given. Neighbouring frames are alike: it is rather too narrow."
)


@dataclass(frozen=True)
class Missing:
    """Why a number of a view could not be computed."""

    reason: str


@dataclass(frozen=True)
class Score:
    """One metric over all scored views.

    Attributes:
        metric: its name in `METRICS`.
        values: what each view got, in order of the protocol.
        missing: views without a number, and why.
        reason: why there is no number at all; None where there is one.
        extra: further facts of this metric, such as a mean per joint.
        in_loss: whether the training paid for it, or for another one over its network: it is then no judge.
    """

    metric: str
    values: Mapping[View, float]
    missing: Mapping[View, str] = field(default_factory=dict)
    reason: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    in_loss: bool = False

    @property
    def mean(self) -> float | None:
        """Mean over views, each with the same weight; None where no view has a number."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    @property
    def per_camera(self) -> dict[str, float]:
        """Mean over the views of each camera."""
        cameras = dict.fromkeys(view.camera for view in self.values if view.camera != WORLD)
        return {
            name: float(np.mean([v for view, v in self.values.items() if view.camera == name]))
            for name in cameras
        }

    @property
    def std(self) -> float | None:
        """Sample standard deviation over views; None under two."""
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else None

    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean by `INTERVAL_METHOD`."""
        frames: dict[int, list[float]] = {}
        for view, value in self.values.items():
            frames.setdefault(view.frame, []).append(value)
        groups = list(frames.values())
        if len(groups) < LEAST_FOR_INTERVAL:
            groups = [[value] for value in self.values.values()]
        return bootstrap_interval(groups)

    def as_json(self) -> dict[str, Any]:
        """The entry of metrics.json."""
        interval = self.interval()
        return {
            "mean": self.mean,
            "per_camera": self.per_camera,
            "std": self.std,
            "interval_95": None if interval is None else list(interval),
            "count": len(self.values),
            "unit": METRICS[self.metric].unit,
            "better": METRICS[self.metric].better,
            "version": METRICS[self.metric].version,
            "reason": self.reason,
            "in_loss": self.in_loss,
            "views": [_describe_view(view) | {"value": value} for view, value in self.values.items()],
            "missing": [_describe_view(view) | {"reason": reason} for view, reason in self.missing.items()],
            **self.extra,
        }


def _describe_view(view: View) -> dict[str, Any]:
    return {"camera": None if view.camera == WORLD else view.camera, "frame": view.frame}


def collect(
    metric: str, outcomes: Mapping[View, float | Missing], *, otherwise: str = "no view was scored"
) -> Score:
    """A score from the outcomes of single views; infinite numbers count as missing, with that as the
    reason.
    """
    values, missing = {}, {}
    for view, outcome in outcomes.items():
        if isinstance(outcome, Missing):
            missing[view] = outcome.reason
        elif not math.isfinite(outcome):
            missing[view] = f"the number is {outcome}"
        else:
            values[view] = float(outcome)
    reasons = list(dict.fromkeys(missing.values())) or [otherwise]
    return Score(metric, values, missing, None if values else "; ".join(reasons))


def absent(metric: str, reason: str) -> Score:
    """A score that this session cannot have, and why."""
    return Score(metric, {}, reason=reason)


def bootstrap_interval(groups: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """95 % percentile interval of the mean over all values, whole groups resampled (Efron and Tibshirani
    1993).

    None with fewer than `LEAST_FOR_INTERVAL` groups.
    """
    if len(groups) < LEAST_FOR_INTERVAL:
        return None
    sums = np.array([sum(group) for group in groups])
    counts = np.array([len(group) for group in groups])
    generator = np.random.default_rng(0)
    parts = []
    rows = max(1, DRAWN_AT_ONCE // len(groups))
    for start in range(0, RESAMPLES, rows):
        drawn = generator.integers(0, len(groups), size=(min(rows, RESAMPLES - start), len(groups)))
        parts.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    low, high = np.quantile(np.concatenate(parts), [0.025, 0.975])
    return float(low), float(high)
