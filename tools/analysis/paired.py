"""Is one setting better than another, over the sessions that both were made of.

A difference is paired: view by view, then the mean over the views of a session, so that what makes a session harder
than another falls out, and the unit is the session or, where subjects have several, the subject: what is drawn in the
bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Of many comparisons at
once, probabilities are corrected by Holm's step-down (Scandinavian Journal of Statistics 6, 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from simulacra.render.runtime.errors import ConfigError

DRAWS = 4000
# Of fewer clusters a bootstrap's intervals are far too narrow.
FEWEST_CLUSTERS = 5


@dataclass(frozen=True)
class Difference:
    """One setting minus another.

    Attributes:
        mean: over clusters, each with the same weight, in the score's unit.
        interval: of the mean.
        clusters: how many.
        deviation: standard deviation of the clusters' means.
        probability: of a mean as far from zero by chance (t test of the clusters' means), alone.
        corrected: the same as one of all that were asked.
    """

    mean: float
    interval: tuple[float, float]
    clusters: int
    deviation: float
    probability: float
    corrected: float


def compare_settings(
    differences: Mapping[str, Mapping[str, Sequence[float]]], level: float = 0.95, seed: int = 0
) -> dict[str, Difference]:
    """Every comparison by its name, corrected for that there are several.

    Args:
        differences: by comparison, then by cluster (subject or session): one setting minus the other, of each pair.
        level: of the intervals, of each comparison alone.
        seed: of the draws.

    Raises:
        ConfigError: a comparison has too few clusters.
    """
    means = {name: _means(name, clusters) for name, clusters in differences.items()}
    alone = {name: _probability(each) for name, each in means.items()}
    corrected = holm(list(alone.values()))
    return {
        name: Difference(
            float(each.mean()),
            bootstrap_interval(each, level, seed),
            len(each),
            float(each.std(ddof=1)),
            alone[name],
            corrected[place],
        )
        for place, (name, each) in enumerate(means.items())
    }


def bootstrap_interval(
    means: Float[np.ndarray, "N"], level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of clusters by the studentized bootstrap, whose ends few clusters do not make too narrow."""
    rng = np.random.default_rng(seed)
    drawn = means[rng.integers(0, len(means), (DRAWS, len(means)))]
    errors = drawn.std(1, ddof=1) / np.sqrt(len(means))
    ratios = (drawn.mean(1) - means.mean())[errors > 0] / errors[errors > 0]
    if not len(ratios):
        return float(means.mean()), float(means.mean())
    error, below = means.std(ddof=1) / np.sqrt(len(means)), (1 - level) / 2
    low, high = np.quantile(ratios, [below, 1 - below])
    return float(means.mean() - high * error), float(means.mean() - low * error)


def holm(probabilities: Sequence[float]) -> list[float]:
    """Probabilities corrected so that the chance of any false alarm among them is at most what it is compared with."""
    order = np.argsort(probabilities)
    corrected, largest = np.empty(len(probabilities)), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(probabilities) - rank) * probabilities[place]))
        corrected[place] = largest
    return corrected.tolist()


def sessions_needed(difference: float, deviation: float, power: float = 0.8, level: float = 0.05) -> int:
    """How many sessions it takes to see a difference: the least for which a paired t test is as sure as that.

    Args:
        difference: of the mean that is to be seen, in the score's unit; not zero.
        deviation: standard deviation of the sessions' differences.
        power: chance to see it.
        level: chance to see one where there is none.

    Raises:
        ConfigError: there is no difference to be seen.
    """
    from scipy.stats import nct

    if difference == 0 or not np.isfinite(difference) or deviation < 0:
        raise ConfigError("a difference of nothing is never seen", found=f"{difference:g}")
    least, most = 2, 2
    effect = abs(difference) / max(deviation, 1e-12 * abs(difference))

    def seen(count: int) -> bool:
        bound = t.ppf(1 - level / 2, count - 1)
        beyond = nct(count - 1, effect * np.sqrt(count))
        return bool(beyond.sf(bound) + beyond.cdf(-bound) >= power)

    if effect > 8:
        return least
    while not seen(most):
        most *= 2
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if seen(middle) else (middle + 1, most)
    return least


def _means(name: str, clusters: Mapping[str, Sequence[float]]) -> Float[np.ndarray, "N"]:
    if len(clusters) < FEWEST_CLUSTERS:
        raise ConfigError(
            "too few subjects or sessions to say whether it is chance",
            where=name,
            found=str(len(clusters)),
            expected=f"at least {FEWEST_CLUSTERS} that both settings were made of",
        )
    return np.array([np.mean(values) for values in clusters.values()])


def _probability(means: Float[np.ndarray, "N"]) -> float:
    error = means.std(ddof=1) / np.sqrt(len(means))
    if error == 0:
        return 1.0 if means.mean() == 0 else 0.0
    return float(2 * t.sf(abs(means.mean()) / error, len(means) - 1))
