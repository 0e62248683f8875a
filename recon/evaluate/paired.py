"""Two results on the same views: the difference view by view, which is known better than either number.

What makes one view harder than another is the same for both and falls out. The interval says how much the mean
difference depends on which frames, cameras or people were scored, by the same clusters as the interval of one number
(`clusters`); not what another seed or another training would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from simulacra.recon.evaluate.clusters import ClusterInterval, interval_of_subjects, interval_of_views
from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.evaluate.protocol import View

Told = Literal["better", "worse", "not told apart"]


@dataclass(frozen=True)
class PairedDifference:
    """One metric of a result minus that of another, over the views that both have a number of.

    Of a metric that is best at a number: how far the one is from it minus how far the other is.

    Attributes:
        metric: its name in `METRICS`.
        values: by view; at least one.
    """

    metric: str
    values: Mapping[View, float]

    @property
    def mean(self) -> float:
        """Mean over views, each with the same weight, in the metric's unit."""
        return sum(self.values.values()) / len(self.values)

    @cached_property
    def clusters(self) -> ClusterInterval:
        """95 % interval of the mean with what it is over, or why there is none."""
        return interval_of_views(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean; None where there are too few clusters."""
        return self.clusters.bounds

    @property
    def told(self) -> Told:
        """Whether the result is better or worse; neither where the interval holds zero, or where there is none."""
        return tell(self.metric, self.mean, self.interval)


def paired_difference(
    metric: str, ours: Mapping[View, float], theirs: Mapping[View, float]
) -> PairedDifference | None:
    """Ours minus theirs, or their distances from the best number; None where no view has a number in both.

    Args:
        metric: its name in `METRICS`.
        ours: number by view.
        theirs: likewise.
    """
    far = METRICS[metric].cost if METRICS[metric].two_sided else float
    both = {view: far(ours[view]) - far(theirs[view]) for view in ours if view in theirs}
    return PairedDifference(metric, both) if both else None


@dataclass(frozen=True)
class PairedSubjects:
    """One metric of a method minus that of another over several people, whole people being the clusters.

    Attributes:
        metric: its name in `METRICS`.
        values: by person and view.
    """

    metric: str
    values: Mapping[str, Mapping[View, float]]

    @property
    def mean(self) -> float:
        """Mean over all views, each with the same weight, in the metric's unit."""
        numbers = [value for views in self.values.values() for value in views.values()]
        return sum(numbers) / len(numbers)

    @cached_property
    def clusters(self) -> ClusterInterval:
        """95 % interval of the mean with what it is over, or why there is none."""
        return interval_of_subjects(self.values)

    @property
    def told(self) -> Told:
        """Whether the method is better or worse; neither where the interval holds zero, or where there is none."""
        return tell(self.metric, self.mean, self.clusters.bounds)


def paired_subjects(
    metric: str,
    ours: Mapping[str, Mapping[View, float]],
    theirs: Mapping[str, Mapping[View, float]],
) -> PairedSubjects | None:
    """As `paired_difference`, over people that both have; None where no view of anybody has a number in both."""
    found = {}
    for subject in ours:
        difference = paired_difference(metric, ours[subject], theirs.get(subject, {}))
        if difference is not None:
            found[subject] = difference.values
    return PairedSubjects(metric, found) if found else None


def tell(metric: str, mean: float, bounds: tuple[float, float] | None) -> Told:
    """What a mean difference and its interval say."""
    if bounds is None or bounds[0] <= 0 <= bounds[1]:
        return "not told apart"
    return "better" if (mean > 0) == (METRICS[metric].better == "higher") else "worse"
