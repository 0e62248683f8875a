"""How strong each run is, out of pairwise answers (Bradley and Terry 1952), with intervals.

The probability that run i is preferred to j is 1 / (1 + exp(s_j - s_i)); an answer of *same* counts half for either
(Davidson's ties with less to estimate). With the weak prior s ~ N(0, PRIOR_SD^2), without which a run that won always
would be infinitely strong, the logarithm of the posterior is concave, and Newton's method finds its top. Intervals are
those of the normal distribution with the inverse of the Hessian (the Fisher information and the prior) there. Only
differences mean anything: strengths are given around their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .answers import Answer

PRIOR_SD = 3.0
_STEPS, _ENOUGH = 100, 1e-12
_Z_95 = 1.959964


@dataclass(frozen=True)
class Strengths:
    """Of each run.

    Attributes:
        names: of the runs.
        log_odds: around their mean.
        half_width: of the 95 % interval.
        covariance: of these.
    """

    names: tuple[str, ...]
    log_odds: Float[np.ndarray, " n"]
    half_width: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]

    def preferred(self, first: str, second: str) -> tuple[float, float, float]:
        """How probably the first is preferred to the second, and the 95 % interval of that."""
        i, j = self.names.index(first), self.names.index(second)
        gap = self.log_odds[i] - self.log_odds[j]
        spread = np.sqrt(self.covariance[i, i] + self.covariance[j, j] - 2 * self.covariance[i, j])
        low, middle, high = 1 / (1 + np.exp(-(gap + _Z_95 * spread * np.array([-1, 0, 1]))))
        return float(middle), float(low), float(high)


def fit_strengths(names: Sequence[str], answers: Sequence[Answer]) -> Strengths:
    """The strengths of runs; each answer counts as one that knows nothing of the others."""
    wins = np.zeros((len(names), len(names)))
    places = {name: place for place, name in enumerate(names)}
    for answer in answers:
        a, b = places[answer.a], places[answer.b]
        wins[a, b] += answer.score
        wins[b, a] += 1 - answer.score
    played, strength = wins + wins.T, np.zeros(len(names))
    prior = np.eye(len(names)) / PRIOR_SD**2
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(strength[None] - strength[:, None]))
        slope = (wins - played * chance).sum(1) - prior @ strength
        information = _information(played, chance) + prior
        step = np.linalg.solve(information, slope)
        strength = strength + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < _ENOUGH:
            break
    chance = 1 / (1 + np.exp(strength[None] - strength[:, None]))
    centred = np.eye(len(names)) - 1 / len(names)
    covariance = centred @ np.linalg.inv(_information(played, chance) + prior) @ centred
    return Strengths(
        tuple(names), centred @ strength, _Z_95 * np.sqrt(covariance.diagonal().clip(min=0)), covariance
    )


def _information(
    played: Float[np.ndarray, "n n"], chance: Float[np.ndarray, "n n"]
) -> Float[np.ndarray, "n n"]:
    """Minus the second derivatives of the logarithm of the likelihood."""
    weight = played * chance * (1 - chance)
    return np.diag(weight.sum(1)) - weight
