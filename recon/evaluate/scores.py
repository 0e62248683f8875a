"""From numbers of single views to a score that can be compared: mean, per camera, spread and interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from simulacra.recon.evaluate.clusters import WORLD, ClusterInterval, interval_of_views
from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.evaluate.protocol import View


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

    @cached_property
    def interval(self) -> ClusterInterval:
        """95 % interval of the mean over frames, cameras or both, or why there is none."""
        return interval_of_views(self.values)

    def as_json(self) -> dict[str, Any]:
        """The entry of metrics.json."""
        interval = self.interval
        return {
            "mean": self.mean,
            "per_camera": self.per_camera,
            "std": self.std,
            "interval_95": None if interval.bounds is None else list(interval.bounds),
            "interval_clusters": {"drawn": dict(interval.drawn), "held": dict(interval.held)},
            "interval_reason": interval.reason if self.values else None,
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
