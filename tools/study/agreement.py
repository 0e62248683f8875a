"""How well a metric says what people said.

Of every answer that prefers one render, the metric prefers the same (concordant), the other (discordant) or neither.
Kendall's tau over these pairs is (concordant - discordant) / all, from -1 to 1: 0 for a metric that knows nothing. Its
interval is a bootstrap over views, whose answers are not independent. Beside it stands the tau-b of the runs' order by
their mean scores against that by strengths, where three runs or more were compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulacra.recon.runs.files import read_json

from .answers import Answer
from .pairs import Compared
from .strengths import Strengths

DRAWS, _SEED = 2000, 0
# Of fewer views drawing anew says little of how much depends on them.
FEWEST_VIEWS = 6


@dataclass(frozen=True)
class Scores:
    """A metric of every run.

    Attributes:
        better: 1 if higher is better, -1 if lower.
        views: value by run, camera and frame.
        means: by run.
    """

    better: int
    views: Mapping[tuple[str, str, int], float]
    means: Mapping[str, float]


@dataclass(frozen=True)
class Agreement:
    """Of one metric with people.

    Attributes:
        metric: its name.
        tau: over answers.
        low: of its 95 % interval; not a number where fewer than `FEWEST_VIEWS` were judged.
        high: likewise.
        count: answers that it could be held against.
        of_runs: tau-b of the runs' order; not a number for two runs.
    """

    metric: str
    tau: float
    low: float
    high: float
    count: int
    of_runs: float


def read_scores(runs: Sequence[Compared]) -> dict[str, Scores]:
    """The metrics that every one of the runs has, by name.

    Raises:
        RunError: the scores of a run are damaged.
    """
    described = {run.name: read_json(run.root / "evaluate" / "metrics.json").get("scores") for run in runs}
    tables = {name: table if isinstance(table, dict) else {} for name, table in described.items()}
    shared = set.intersection(*(set(table) for table in tables.values()))
    return {
        metric: _scores({name: table[metric] for name, table in tables.items()}) for metric in sorted(shared)
    }


def _scores(by_run: Mapping[str, Mapping[str, Any]]) -> Scores:
    first = next(iter(by_run.values()))
    views = {
        (name, str(view["camera"]), int(view["frame"])): float(view["value"])
        for name, score in by_run.items()
        for view in score.get("views", ())
        if view.get("value") is not None and view.get("camera") is not None
    }
    means = {name: float(score["mean"]) for name, score in by_run.items() if score.get("mean") is not None}
    return Scores(1 if first.get("better") == "higher" else -1, views, means)


def agreement(metric: str, scores: Scores, answers: Sequence[Answer], strengths: Strengths) -> Agreement:
    """How far a metric agrees with the answers that prefer one render."""
    signs: dict[tuple[str, int], list[float]] = {}
    for answer in answers:
        view = (answer.camera, answer.frame)
        one, other = scores.views.get((answer.a, *view)), scores.views.get((answer.b, *view))
        if answer.score != 0.5 and one is not None and other is not None:
            preferred = np.sign(answer.score - 0.5)
            signs.setdefault(view, []).append(float(scores.better * np.sign(one - other) * preferred))
    sums = np.array([sum(each) for each in signs.values()])
    counts = np.array([len(each) for each in signs.values()])
    if not len(sums):
        return Agreement(metric, np.nan, np.nan, np.nan, 0, _of_runs(scores, strengths))
    low = high = np.nan
    if len(sums) >= FEWEST_VIEWS:
        drawn = np.random.default_rng(_SEED).integers(len(sums), size=(DRAWS, len(sums)))
        low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    tau = float(sums.sum() / counts.sum())
    return Agreement(metric, tau, float(low), float(high), int(counts.sum()), _of_runs(scores, strengths))


def _of_runs(scores: Scores, strengths: Strengths) -> float:
    from scipy.stats import kendalltau

    names = [name for name in strengths.names if name in scores.means]
    if len(names) < 3:
        return np.nan
    strong = [strengths.log_odds[strengths.names.index(name)] for name in names]
    return float(kendalltau([scores.better * scores.means[name] for name in names], strong).statistic)
