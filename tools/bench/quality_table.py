"""What a bench of quality found: every metric of every capture and method, paired differences, and their intervals.

A difference is ours minus theirs, view by view, then the mean over a capture's views. Over captures each counts once:
another person is what differences vary by most, so that intervals resample whole captures (Efron and Tibshirani 1993).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.evaluate.clusters import LEAST_CLUSTERS, WORLD, interval_of_subjects
from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.evaluate.paired import PairedDifference, paired_difference
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.runs.files import disk_errors, write_json, write_text
from simulacra.recon.runs.run_facts import source_commit

from ..comparison.summaries import RunSummary, summarize
from ..report.wording import duration, shown, shown_change, unit_of
from .quality import Done


@dataclass(frozen=True)
class OverCaptures:
    """One metric's difference between ours and a baseline, a number a capture.

    Attributes:
        metric: its name in `METRICS`.
        values: by capture; at least one.
    """

    metric: str
    values: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Over captures, each with the same weight."""
        return float(np.mean(list(self.values.values())))

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean, captures resampled; None of fewer than five."""
        if len(self.values) < 2:
            return None
        found = interval_of_subjects({name: {View(WORLD, 0): value} for name, value in self.values.items()})
        return found.bounds

    @property
    def better(self) -> int:
        """Of how many captures ours is better."""
        sign = 1 if METRICS[self.metric].better == "higher" else -1
        return sum(sign * value > 0 for value in self.values.values())


@dataclass(frozen=True)
class QualityTable:
    """All runs, by capture and method; the first method is what the others are held against.

    Attributes:
        methods: their names, in order.
        runs: what was scored.
        failed: why a run is missing, by capture and method.
    """

    methods: tuple[str, ...]
    runs: Mapping[str, Mapping[str, RunSummary]]
    failed: Mapping[str, Mapping[str, str]]

    def metrics(self, runs: Mapping[str, RunSummary]) -> list[str]:
        """Those of which any run has a number, in the order of the documentation."""
        return [name for name in METRICS if any(name in run.scores for run in runs.values())]

    def differences(self, capture: str, method: str) -> dict[str, PairedDifference]:
        """The first method minus another on a capture, by metric, where both have a number of a view."""
        runs = self.runs[capture]
        if self.methods[0] not in runs or method not in runs:
            return {}
        ours, theirs = runs[self.methods[0]], runs[method]
        found = {name: paired_difference(name, ours.values(name), theirs.values(name)) for name in METRICS}
        return {name: each for name, each in found.items() if each is not None}

    def over_captures(self, method: str) -> dict[str, OverCaptures]:
        """The same over all captures, by metric."""
        found = {capture: self.differences(capture, method) for capture in self.runs}
        values = {
            name: {capture: each[name].mean for capture, each in found.items() if name in each}
            for name in METRICS
        }
        return {name: OverCaptures(name, each) for name, each in values.items() if each}

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "commit": source_commit(),
            "methods": list(self.methods),
            "captures": [
                {
                    "name": capture,
                    "failed": dict(self.failed[capture]),
                    "runs": {method: run.as_json() for method, run in runs.items()},
                    "differences": {
                        method: {
                            name: {
                                "mean": each.mean,
                                "interval_95": each.interval,
                                "views": len(each.values),
                                "told": each.told,
                            }
                            for name, each in self.differences(capture, method).items()
                        }
                        for method in self.methods[1:]
                    },
                }
                for capture, runs in self.runs.items()
            ],
            "over_captures": {
                method: {
                    name: {
                        "mean": each.mean,
                        "interval_95": each.interval,
                        "captures": len(each.values),
                        "better": each.better,
                    }
                    for name, each in self.over_captures(method).items()
                }
                for method in self.methods[1:]
            },
        }


def collect_table(methods: Sequence[str], done: Mapping[str, Mapping[str, Done]]) -> QualityTable:
    """Reads what was scored.

    Raises:
        RunError: a run that is there cannot be read.
    """
    runs = {
        capture: {name: summarize(each.run) for name, each in of.items() if each.failed is None}
        for capture, of in done.items()
    }
    failed = {
        capture: {name: each.failed for name, each in of.items() if each.failed is not None}
        for capture, of in done.items()
    }
    return QualityTable(tuple(methods), runs, failed)


def write_table(out: Path, table: QualityTable) -> str:
    """Writes quality.json and quality.md, and gives the latter's text."""
    text = "\n".join(markdown(table)) + "\n"
    with disk_errors(out):
        write_json(out / "quality.json", table.as_json())
        write_text(out / "quality.md", text)
    return text


def markdown(table: QualityTable) -> Iterator[str]:
    """The lines of the page: each capture, then all."""
    first, *others = table.methods
    yield f"# {', '.join(table.methods)} on {len(table.runs)} capture{'s' * (len(table.runs) != 1)}"
    for capture, runs in table.runs.items():
        yield f"\n## {capture}\n"
        scored = next((run.metrics for run in runs.values() if run.metrics is not None), None)
        if scored is not None:
            yield f"{scored['protocol']['statement']}\n"
        for name, why in table.failed[capture].items():
            yield f"{name} failed: {' '.join(why.split())}\n"
        if runs:
            yield from _rows(["", *runs], _of_capture(table, runs))
    if others and table.runs:
        yield f"\n## {first} minus each, over captures\n"
        yield (
            f"Mean of the captures' paired differences; in brackets its 95 % interval, whole captures resampled (of "
            f"{LEAST_CLUSTERS} or more); then of how many captures {first} is better.\n"
        )
        yield from _rows(["", *others], _of_all(table, others))


def _of_capture(table: QualityTable, runs: Mapping[str, RunSummary]) -> Iterator[list[str]]:
    for metric in table.metrics(runs):
        yield [_named(metric), *(shown(metric, run.scores.get(metric)) for run in runs.values())]
    yield ["time", *(duration(run.seconds) for run in runs.values())]


def _of_all(table: QualityTable, others: Sequence[str]) -> Iterator[list[str]]:
    found = {method: table.over_captures(method) for method in others}
    for metric in METRICS:
        if any(metric in each for each in found.values()):
            yield [_named(metric), *(_difference(found[method].get(metric)) for method in others)]


def _difference(found: OverCaptures | None) -> str:
    if found is None:
        return "–"
    said = shown_change(found.metric, found.mean)
    if found.interval is not None:
        said += " ({}, {})".format(*(shown_change(found.metric, bound) for bound in found.interval))
    return f"{said}; {found.better} of {len(found.values)}"


def _named(metric: str) -> str:
    meant = METRICS[metric]
    sign = {"higher": "↑", "lower": "↓"}.get(meant.better, meant.better)
    return f"{metric}{', ' * bool(unit_of(meant.unit))}{unit_of(meant.unit)} {sign}"


def _rows(heads: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
