"""From single results to what a rig gives: means over people with intervals, and differences that are paired.

All points are measured on the same people with the same noise, so that a difference between two points is known better
than either: its interval is of the differences person by person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from simulacra.recon.evaluate.metrics import METRICS

from .config import DesignConfig, Sweep
from .points import Result


@dataclass(frozen=True)
class Estimate:
    """A mean over people and its 95 % interval by Student's t; the interval is None with fewer than two."""

    mean: float
    interval: tuple[float, float] | None
    count: int

    def as_json(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "interval_95": None if self.interval is None else list(self.interval),
            "count": self.count,
        }


@dataclass(frozen=True)
class EstimateRow:
    """One point of a design over all its people.

    Attributes:
        estimates: by metric.
        against: difference to the first value of the sweep (to the first rig, for the rigs as they are), paired.
        found: how many of the captures each check failed for.
        failed: reasons of captures without a result.
    """

    variant: str
    sweep: str | None
    value: float | int | str | None
    estimates: dict[str, Estimate]
    against: dict[str, Estimate]
    found: dict[str, int]
    failed: tuple[str, ...]
    seconds: float


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and interval; None of nothing."""
    if not values:
        return None
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, None, len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, (mean - reach, mean + reach), len(values))


def summarise(settings: DesignConfig, results: Sequence[Result]) -> list[EstimateRow]:
    """One row for each rig as it is, then one for each of its sweeps' values."""
    rows = []
    first_rig = settings.variants[0].name
    for variant in settings.variants:
        own = _results_at(results, variant.name, None, None)
        rows.append(
            _row(own, _results_at(results, first_rig, None, None) if variant.name != first_rig else [])
        )
        for sweep in settings.sweeps:
            base = _results_at(results, variant.name, sweep.option, sweep.values[0])
            for place, value in enumerate(sweep.values):
                own = _results_at(results, variant.name, sweep.option, value)
                rows.append(_row(own, base if place else []))
    return rows


def _results_at(
    results: Sequence[Result], variant: str, sweep: str | None, value: float | int | str | None
) -> list[Result]:
    return [
        result
        for result in results
        if (result.point.variant, result.point.sweep, result.point.value) == (variant, sweep, value)
    ]


def _row(own: Sequence[Result], base: Sequence[Result]) -> EstimateRow:
    point = own[0].point
    estimates, against = {}, {}
    for name in METRICS:
        found = estimate([result.means[name] for result in own if name in result.means])
        if found is not None:
            estimates[name] = found
        before = {result.point.repeat: result.means[name] for result in base if name in result.means}
        apart = [
            result.means[name] - before[result.point.repeat]
            for result in own
            if name in result.means and result.point.repeat in before
        ]
        difference = estimate(apart)
        if difference is not None:
            against[name] = difference
    codes = [code.split()[0] for result in own for code in dict.fromkeys(c.split()[0] for c in result.found)]
    return EstimateRow(
        point.variant,
        point.sweep,
        point.value,
        estimates,
        against,
        {code: codes.count(code) for code in dict.fromkeys(codes)},
        tuple(result.failed for result in own if result.failed),
        float(np.mean([result.seconds for result in own])),
    )


def allowed(settings: DesignConfig, rows: Sequence[EstimateRow], variant: str, sweep: Sweep) -> str:
    """Up to which value of a sweep the first metric is not worse than tolerated, in words.

    By linear interpolation between measured values, on the means; what is between the last value within and the first
    beyond is not known better than that.
    """
    metric = settings.metrics[0]
    meant = METRICS[metric]
    # Of a metric that is best at a number, how far from it.
    far, better = (meant.cost, "lower") if meant.two_sided else (float, meant.better)
    own = [row for row in rows if row.variant == variant and row.sweep == sweep.option]
    if any(isinstance(value, str) for value in sweep.values) or not own or metric not in own[0].estimates:
        return "not a number"
    base = far(own[0].estimates[metric].mean)
    limit = base * (1 + settings.tolerance if better == "lower" else 1 - settings.tolerance)
    last, last_mean = None, base
    for row in own:
        if metric not in row.estimates:
            return f"up to {last:g}; beyond it some captures had no result" if last is not None else "none"
        mean = far(row.estimates[metric].mean)
        value = float(row.value) if row.value is not None else 0.0
        if mean > limit if better == "lower" else mean < limit:
            if last is None:
                return "none"
            share = (limit - last_mean) / (mean - last_mean)
            return f"about {float(f'{last + share * (value - last):.3g}'):g}"
        last, last_mean = value, mean
    return f"all of those measured, up to {last:g}"
