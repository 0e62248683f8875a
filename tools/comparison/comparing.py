"""Runs of one session by one protocol, side by side: which may be compared, and what the differences are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simulacra.recon.evaluate.metrics import ASKED_METRICS, METRICS, VIEW_METRICS
from simulacra.recon.evaluate.paired import PairedDifference, paired_difference
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.runs.chain import check_records
from simulacra.recon.runs.changes import flat_values
from simulacra.render.runtime.errors import RunError

from .summaries import RunSummary, summarize

# Of an evaluation: with another of these a number is another number.
SETTINGS = ("longest_side", "alpha_threshold", "crop_margin", "least_confidence")


@dataclass(frozen=True)
class Comparison:
    """Runs that may be compared, the first being what the others are held against.

    Attributes:
        differences: of each run but the first, by metric.
        changes: by setting that is not the same in all runs: its value in each run.
    """

    runs: tuple[RunSummary, ...]
    differences: tuple[Mapping[str, PairedDifference], ...]
    changes: Mapping[str, tuple[Any, ...]]

    @property
    def metrics(self) -> list[str]:
        """Those of which any run has a number, in the order of the documentation."""
        return [name for name in METRICS if any(name in run.scores for run in self.runs)]

    @property
    def views(self) -> list[View]:
        """The scored views that all share."""
        metrics = self.runs[0].metrics
        assert metrics is not None
        return [View(v["camera"], v["frame"]) for v in metrics["held_out"]["views"]]

    @property
    def doubts(self) -> list[str]:
        """What else than their settings makes the runs differ, in sentences: they were trained on other views."""
        return [said for run in self.runs[1:] if (said := other_training(self.runs[0], run))]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "doubts": self.doubts,
            "runs": [run.as_json() for run in self.runs],
            "changes": {name: list(values) for name, values in self.changes.items()},
            "against": self.runs[0].name,
            "differences": [
                {
                    "run": run.name,
                    "metrics": {
                        name: {
                            "mean": difference.mean,
                            "interval_95": difference.interval,
                            "views": len(difference.values),
                            "told": difference.told,
                        }
                        for name, difference in found.items()
                    },
                }
                for run, found in zip(self.runs[1:], self.differences, strict=True)
            ],
        }


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Compares finished runs with the first of them, over the views that all were scored on.

    Raises:
        RunError: fewer than two, one that is not finished or damaged, or one that is not comparable with the first.
    """
    if len(paths) < 2:
        raise RunError("a comparison is of two runs or more", found=f"{len(paths)} run")
    for path in paths:
        if (path / "evaluate" / "stage.json").is_file():
            check_records(path, ["evaluate"])
    return hold_together(name_apart([summarize(path) for path in paths]))


def hold_together(runs: Sequence[RunSummary]) -> Comparison:
    """The comparison of runs that were read.

    Raises:
        RunError: one was not scored, or is not comparable with the first.
    """
    first, *others = runs
    for run in runs:
        if run.metrics is None:
            raise RunError(
                "a run was not scored, so that there is nothing to compare",
                where=run.path,
                found=run.state,
                remedy="`simulacra evaluate` on it, or the same `simulacra reconstruct` to the end",
            )
    for run in others:
        if (reason := next(_reasons(first, run), None)) is not None:
            raise RunError(
                f"these runs cannot be compared: {reason[0]}",
                where=f"{first.path} and {run.path}",
                expected=reason[1],
                found=reason[2],
                remedy=reason[3],
            )
    differences = tuple(
        {
            name: found
            for name in METRICS
            if (found := paired_difference(name, run.values(name), first.values(name))) is not None
        }
        for run in others
    )
    return Comparison(tuple(runs), differences, changes_between(runs))


def _reasons(first: RunSummary, other: RunSummary) -> Iterator[tuple[str, str, str, str]]:
    """Why two runs cannot be compared: in words, of the first, of the other, and what to do."""
    scored = [run.metrics for run in (first, other) if run.metrics is not None]
    assert len(scored) == 2
    if first.session_fingerprint != other.session_fingerprint:
        same = "" if first.session != other.session else ", which has changed in between"
        yield (
            "they are of different sessions" + same,
            f"{first.session} ({first.session_fingerprint[:12]})",
            f"{other.session} ({other.session_fingerprint[:12]})",
            "compare runs of one session; over several sessions compare means, of `simulacra runs list --json`",
        )
    ours, theirs = map(_scored, scored)
    if set(ours) != set(theirs):
        yield (
            "they were scored on different views",
            _say_views(set(ours) - set(theirs), "only the first"),
            _say_views(set(theirs) - set(ours), "only the other"),
            "reconstruct both with the same `views` settings",
        )
    elif seen := [view for view in ours if ours[view] != theirs[view]]:
        yield (
            "what one was scored on the other was trained on",
            _say_views({view for view in seen if ours[view]}, "trained on by the first"),
            _say_views({view for view in seen if theirs[view]}, "trained on by the other"),
            "reconstruct both with the same `views` settings",
        )
    for what, mine, its in _other_versions(*scored):
        yield (
            f"{what} changed its meaning between their evaluations",
            f"version {mine}",
            f"version {its}",
            "`simulacra evaluate` on both: only the scores are made again",
        )
    for name in SETTINGS:
        mine, its = (metrics["settings"].get(name) for metrics in scored)
        if mine != its:
            yield (
                "their scores are of different evaluations",
                f"{name} {mine}",
                f"{name} {its}",
                "reconstruct one again with the other's `evaluate` settings: only the scores are made again",
            )


def _other_versions(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Protocols and metrics that both have, of other versions: what, and the version in each; none is 1."""
    mine, its = (
        dict(kind.split("@") for kind in each["protocol"].get("kinds", ())) for each in (ours, theirs)
    )
    for name in sorted(mine.keys() & its.keys()):
        if mine[name] != its[name]:
            yield f"the protocol {name}", mine[name], its[name]
    for name in sorted(ours["scores"].keys() & theirs["scores"].keys()):
        first, other = (str(each["scores"][name].get("version", 1)) for each in (ours, theirs))
        if first != other:
            yield f"the metric {name}", first, other


def other_training(first: RunSummary, other: RunSummary) -> str:
    """What two comparable runs were trained on, where that is not the same: a sentence; "" where it is, or unknown."""
    splits = [(run.metrics or {}).get("protocol", {}) for run in (first, other)]
    said = []
    for key, what in (("training_cameras", "cameras"), ("training_frames", "frames")):
        ours, theirs = (split.get(key) for split in splits)
        if ours is not None and theirs is not None and ours != theirs:
            said.append(f"{len(theirs)} {what} where {first.name} was trained on {len(ours)}")
            if len(ours) == len(theirs):
                said[-1] = f"other {what} than {first.name}"
    return (
        f"{other.name} was trained on {' and '.join(said)}: the difference is of that, too." if said else ""
    )


def _scored(metrics: Mapping[str, Any]) -> dict[View, bool]:
    """The scored views, and whether each was seen in training."""
    return {View(v["camera"], v["frame"]): v["seen_in_training"] for v in metrics["held_out"]["views"]}


def _say_views(views: set[View], who: str) -> str:
    few = [f"camera {view.camera} frame {view.frame}" for view in sorted(views)[:3]]
    more = [f"{len(views) - 3} more"] if len(views) > 3 else []
    return f"{who}: {', '.join([*few, *more]) or 'none'}"


def name_apart(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """The same runs, with as much of their paths for a name as tells them apart.

    Raises:
        RunError: one is given twice.
    """
    parts = [run.path.resolve().parts for run in runs]
    if len(set(parts)) < len(parts):
        raise RunError("a run is given twice", found=", ".join(str(run.path) for run in runs))
    depth = 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return [replace(run, name="/".join(part[-depth:])) for run, part in zip(runs, parts, strict=True)]


def changes_between(runs: Sequence[RunSummary]) -> dict[str, tuple[Any, ...]]:
    """Settings that are not the same in all runs, with each run's value; None where a run has no such setting."""
    flat = [flat_values(run.config) for run in runs]
    names = dict.fromkeys(name for values in flat for name in values)
    found = {name: tuple(values.get(name) for values in flat) for name in names}
    return {name: values for name, values in found.items() if any(v != values[0] for v in values)}


def worst_views(comparison: Comparison, metric: str, most: int) -> list[View]:
    """The views that are worst in any of the runs, the worst first, by a metric of views.

    Raises:
        RunError: the metric is none of single views.
    """
    of_views = VIEW_METRICS + ASKED_METRICS
    if metric not in of_views:
        raise RunError(
            "views are told apart by a metric of views", found=metric, expected=" or ".join(of_views)
        )
    numbers = [run.values(metric) for run in comparison.runs]
    scored = [view for view in comparison.views if any(view in values for values in numbers)]

    def rank(view: View) -> float:
        return min(-METRICS[metric].cost(values[view]) for values in numbers if view in values)

    return sorted(scored, key=rank)[:most]
