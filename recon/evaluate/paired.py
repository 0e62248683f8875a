"""Two results on the same views: the difference view by view, which is known better than either number.

What makes one view harder than another is the same for both and falls out. The interval says how much the mean
difference depends on which frames were scored; not what another person, another seed or another training would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Score

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
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean, as `Score.interval` has it; None of fewer than five views."""
        return Score(self.metric, self.values).interval()

    @property
    def told(self) -> Told:
        """Whether the result is better or worse; neither where the interval holds zero, or where there is none."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "not told apart"
        return "better" if (self.mean > 0) == (METRICS[self.metric].better == "higher") else "worse"


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
