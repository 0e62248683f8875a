"""Intervals of a mean whose numbers come in clusters: views share a frame, a camera and a person, and are alike for it.

What is drawn anew is the cluster, never the view. Of several people whole people are drawn, with all that was scored of
them: what varies within a person varies along (Field and Welsh 2007). Of one person frames and cameras cross, and both
are drawn, each view counting as often as its frame was drawn times its camera (the pigeonhole bootstrap, Owen 2007).
Of what there is less than `LEAST_CLUSTERS` of, nothing can be said about another one; it is held as it is, and named.

A percentile interval of few clusters is too narrow. Its quantiles are moved outwards as Student's distribution and the
missing degree of freedom say (the expanded percentile interval, Hesterberg 2015).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from simulacra.recon.evaluate.protocol import View

# Of fewer clusters nothing is said: Student's distribution has hardly a width there.
LEAST_CLUSTERS = 5
RESAMPLES = 2000
# Indices: a long capture has thousands of clusters, and all resamples of those would be 100 MB.
DRAWN_AT_ONCE = 200_000
# The "camera" of a number that belongs to a frame but to no camera, such as a joint's distance in the world.
WORLD = ""
METHOD = (
    f"expanded percentile bootstrap (Hesterberg 2015) over clusters, {RESAMPLES} resamples, seed 0: people where there "
    f"are several; else frames and cameras, each of which there are at least {LEAST_CLUSTERS} of, crossed (Owen 2007). "
    "What is drawn and what is held stands beside each interval. Neighbouring frames are alike: over frames it is "
    "rather too narrow."
)


@dataclass(frozen=True)
class ClusterInterval:
    """An interval of a mean over views, or why there is none.

    Attributes:
        bounds: lower and upper, in the metric's unit; None where there is no interval.
        drawn: what was drawn anew, and of how many: `subject`, `frame`, `camera`.
        held: what was not, there being too few of it: the interval says nothing of others than these.
        reason: why there is no interval; None where there is one.
    """

    bounds: tuple[float, float] | None
    drawn: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None


def interval_of_views(values: Mapping[View, float], confidence: float = 0.95) -> ClusterInterval:
    """The interval of the mean over one person's views, over frames, cameras or both.

    Args:
        values: number by view; a view of no camera (`WORLD`) belongs to its frame alone.
        confidence: of the interval, above 0 and below 1.
    """
    labels: dict[str, list[Hashable]] = {"frame": [view.frame for view in values]}
    if any(view.camera != WORLD for view in values):
        labels["camera"] = [view.camera for view in values]
    return _interval(np.array(list(values.values()), np.float64), labels, confidence)


def interval_of_subjects(
    values: Mapping[str, Mapping[View, float]], confidence: float = 0.95
) -> ClusterInterval:
    """The interval of the mean over several people's views, each view with the same weight; whole people are drawn.

    Args:
        values: by person, then by view. One person's interval is that of `interval_of_views`.
        confidence: of the interval, above 0 and below 1.
    """
    known = {subject: views for subject, views in values.items() if views}
    if len(known) == 1:
        return interval_of_views(next(iter(known.values())), confidence)
    labels = [subject for subject, views in known.items() for _ in views]
    numbers = np.array([value for views in known.values() for value in views.values()], np.float64)
    return _interval(numbers, {"subject": labels}, confidence)


def _interval(
    values: Float[np.ndarray, " n"], labels: Mapping[str, Sequence[Hashable]], confidence: float
) -> ClusterInterval:
    """Over every kind of clusters of which there are enough; the mean of the drawn values."""
    counts = {kind: len(set(of_kind)) for kind, of_kind in labels.items()}
    drawn = {kind: count for kind, count in counts.items() if count >= LEAST_CLUSTERS}
    # What there is one of, and something else was drawn: an ordinary part of what was asked.
    held = {kind: count for kind, count in counts.items() if kind not in drawn}
    if not drawn:
        found = " and ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in held.items())
        reason = f"{found}: fewer than {LEAST_CLUSTERS} say nothing of their own spread"
        return ClusterInterval(None, {}, held, reason)
    rows, columns = ([_numbered(labels[kind]) for kind in drawn] + [np.zeros(len(values), np.int64)])[:2]
    means = _resampled_means(values, rows, columns)
    tail = expanded_tail(min(drawn.values()), confidence)
    low, high = np.quantile(means, [tail, 1 - tail])
    return ClusterInterval((float(low), float(high)), drawn, held)


def expanded_tail(clusters: int, confidence: float) -> float:
    """The quantile at which a percentile interval of so many clusters ends (Hesterberg 2015)."""
    from scipy.stats import norm, t  # half a second, which lists of runs do not need

    wide = np.sqrt(clusters / (clusters - 1)) * t.ppf((1 - confidence) / 2, clusters - 1)
    return float(norm.cdf(wide))


def _numbered(labels: Sequence[Hashable]) -> Int[np.ndarray, " n"]:
    order = {label: row for row, label in enumerate(dict.fromkeys(labels))}
    return np.array([order[label] for label in labels])


def _resampled_means(
    values: Float[np.ndarray, " n"], rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " r"]:
    """Means of the values, each as often as its row was drawn times its column; of a single column, its row."""
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    sums, counts = np.zeros((height, width)), np.zeros((height, width))
    np.add.at(sums, (rows, columns), values)
    np.add.at(counts, (rows, columns), 1.0)
    generator = np.random.default_rng(0)
    means = []
    at_once = max(1, DRAWN_AT_ONCE // max(height, width))
    for start in range(0, RESAMPLES, at_once):
        number = min(at_once, RESAMPLES - start)
        by_row = _times_drawn(generator, number, height)
        by_column = _times_drawn(generator, number, width) if width > 1 else np.ones((number, 1))
        weight = ((by_row @ counts) * by_column).sum(1)
        total = ((by_row @ sums) * by_column).sum(1)
        means.append(total[weight > 0] / weight[weight > 0])
    return np.concatenate(means)


def _times_drawn(generator: np.random.Generator, number: int, size: int) -> Float[np.ndarray, "r s"]:
    """How often each of so many was drawn, of as many draws with replacement; so many times over."""
    drawn = generator.integers(0, size, (number, size)) + size * np.arange(number)[:, None]
    return np.bincount(drawn.ravel(), minlength=number * size).reshape(number, size).astype(np.float64)
