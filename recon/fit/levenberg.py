"""Levenberg and Marquardt's method, which knows nothing of people.

J. J. More, "The Levenberg-Marquardt algorithm: implementation and theory" (1978), with the damping multiplied and
divided by the ratio of the real to the predicted gain as K. Madsen, H. B. Nielsen and O. Tingleff have it ("Methods for
non-linear least squares problems", 2004, 3.2), in steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from simulacra.recon.fit.blocks import BlockSystem

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-6, 1e6
_GOOD, _POOR = 0.5, 0.1

X = TypeVar("X")


@runtime_checkable
class Problem(Protocol[X]):
    """What is minimised."""

    def value(self, x: X) -> float:
        """The energy."""
        ...

    def linearise(self, x: X) -> tuple[float, BlockSystem]:
        """The energy with its first derivatives and positive semidefinite second ones."""
        ...

    def step(self, x: X, frames: Float[np.ndarray, "t p"], shared: Float[np.ndarray, " s"]) -> X:
        """``x`` moved."""
        ...


def minimise_squares(
    problem: Problem[X],
    start: X,
    iterations: int,
    least_gain: float,
    done: Callable[[], None] = lambda: None,
) -> X:
    """Where the energy is least, going down from ``start``.

    Args:
        iterations: most times that derivatives are worked out.
        least_gain: share of the energy; a step that gains less is the last.
        done: called after each.
    """
    x, damping = start, _FIRST_DAMPING
    for _ in range(iterations):
        value, system = problem.linearise(x)
        found = None
        while damping <= _MOST_DAMPING:
            try:
                move = system.solve(damping)
            except np.linalg.LinAlgError:
                damping *= 10
                continue
            moved = problem.step(x, *move)
            after = problem.value(moved)
            if after < value:
                found = moved
                break
            damping *= 10
        done()
        if found is None:
            break
        ratio = (value - after) / max(system.predicted(*move), 1e-12)
        damping = max(damping * (0.2 if ratio > _GOOD else 1 if ratio > _POOR else 4), _LEAST_DAMPING)
        x = found
        if value - after < least_gain * value:
            break
    return x
