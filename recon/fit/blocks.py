"""Normal equations of a motion: a block for each frame, tied to the next two, and what all frames share.

    | H_0  E_0  F_0          B_0 |
    | .    H_1  E_1  F_1     B_1 |
    | .    .    H_2  ...     ... |
    | .    .    .    ...     C   |

Symbols: ``t`` frames, ``p`` unknowns of a frame, ``s`` shared ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_solve, cholesky, solve_triangular

REACH = 2
"""How many frames later a frame may still be tied to."""


@dataclass(frozen=True)
class Inverse:
    """Blocks of the inverse of the matrix.

    Attributes:
        frames: of each frame by itself.
        mixed: of frames with what is shared.
        shared: of what is shared.
    """

    frames: Float[np.ndarray, "t p p"]
    mixed: Float[np.ndarray, "t p s"]
    shared: Float[np.ndarray, "s s"]


@dataclass(frozen=True)
class BlockSystem:
    """Second and first derivatives.

    Attributes:
        frames: blocks H of each frame by itself.
        ties: of each frame with the one 1, then 2 later; rows of the earlier one; empty where frames are not tied.
        mixed: blocks B of frames with what is shared.
        shared: C.
        frame_gradient: by the frames' unknowns.
        shared_gradient: by the shared ones.
    """

    frames: Float[np.ndarray, "t p p"]
    ties: tuple[Float[np.ndarray, "_ p p"], ...]
    mixed: Float[np.ndarray, "t p s"]
    shared: Float[np.ndarray, "s s"]
    frame_gradient: Float[np.ndarray, "t p"]
    shared_gradient: Float[np.ndarray, " s"]

    def solve(self, damping: float) -> tuple[Float[np.ndarray, "t p"], Float[np.ndarray, " s"]]:
        """The step of Levenberg and Marquardt: downhill, the diagonal raised by this share.

        Raises:
            numpy.linalg.LinAlgError: the matrix is not positive definite.
        """
        lower, below, sides, shared = self._factor(damping)
        right = -self.shared_gradient
        for side in sides:
            right = right - side[:, :-1].T @ side[:, -1]
        common = cho_solve((cholesky(shared, lower=True), True), right) if len(right) else right
        steps = np.zeros_like(self.frame_gradient)
        for t in reversed(range(len(self.frames))):
            rest = sides[t][:, -1] - sides[t][:, :-1] @ common
            for k, each in enumerate(below[t]):
                rest = rest - each.T @ steps[t + k + 1]
            steps[t] = solve_triangular(lower[t], rest, lower=True, trans=1, check_finite=False)
        return steps, common

    def inverse(self) -> Inverse:
        """Blocks of the inverse of the second derivatives, without the others (K. Takahashi, J. Fagan and M.-S. Chen,
        "Formation of a sparse bus impedance matrix", 1973: from the last frame back to the first).

        Raises:
            numpy.linalg.LinAlgError: the matrix is not positive definite.
        """
        lower, below, sides, shared = self._factor(0.0)
        count, own = len(self.frames), self.frames.shape[1]
        common = np.linalg.inv(shared) if len(shared) else shared
        found: dict[tuple[int, int], np.ndarray] = {}  # of frames alone, on and under the diagonal
        whole, mixed = np.zeros_like(self.frames), np.zeros_like(self.mixed)
        solved: dict[int, np.ndarray] = {}
        for t in reversed(range(count)):
            up = solve_triangular(lower[t], np.eye(own), lower=True, check_finite=False)
            later = [t + k + 1 for k in range(len(below[t]))]
            for i in later:
                under = sum(
                    found[max(i, k), min(i, k)] @ each if i >= k else found[k, i].T @ each
                    for k, each in zip(later, below[t], strict=True)
                )
                found[i, t] = -under @ up
            top = up.T @ up
            for k, each in zip(later, below[t], strict=True):
                top = top - found[k, t].T @ each @ up
            found[t, t] = top
            side = sides[t][:, :-1]
            for k, each in zip(later, below[t], strict=True):
                side = side - each.T @ solved[k]
            solved[t] = solve_triangular(lower[t], side, lower=True, trans=1, check_finite=False)
            whole[t] = top + solved[t] @ common @ solved[t].T
            mixed[t] = -solved[t] @ common
        return Inverse(whole, mixed, common)

    def _factor(
        self, damping: float
    ) -> tuple[list[np.ndarray], list[list[np.ndarray]], list[np.ndarray], np.ndarray]:
        """Cholesky's factor of the frames' part: blocks on the diagonal; of each frame those under it, 1 frame later, 2
        later; the columns of what is shared and of the gradient, divided by it; and what is left of the shared part.
        """
        count = len(self.frames)
        reach = len(self.ties)
        lower: list[np.ndarray] = []
        below: list[list[np.ndarray]] = []
        sides: list[np.ndarray] = []
        shared = _damped(self.shared, damping)
        for t in range(count):
            own, side = (
                _damped(self.frames[t], damping),
                np.column_stack([self.mixed[t], -self.frame_gradient[t]]),
            )
            later = [self.ties[k][t].T.copy() for k in range(reach) if t + k + 1 < count]
            for back in range(1, min(reach, t) + 1):
                mine = below[t - back]
                own -= mine[back - 1] @ mine[back - 1].T
                side -= mine[back - 1] @ sides[t - back]
                for k in range(len(later)):
                    if back + k < len(mine):
                        later[k] -= mine[back + k] @ mine[back - 1].T
            factor = cholesky(own, lower=True, check_finite=False)
            lower.append(factor)
            below.append(
                [solve_triangular(factor, each.T, lower=True, check_finite=False).T for each in later]
            )
            sides.append(solve_triangular(factor, side, lower=True, check_finite=False))
            shared = shared - sides[t][:, :-1].T @ sides[t][:, :-1]
        return lower, below, sides, shared

    def predicted(self, steps: Float[np.ndarray, "t p"], common: Float[np.ndarray, " s"]) -> float:
        """By how much the quadratic falls along a step."""
        first = (self.frame_gradient * steps).sum() + self.shared_gradient @ common
        second = (
            np.einsum("tp,tpq,tq->", steps, self.frames, steps, optimize=True) + common @ self.shared @ common
        )
        second += 2 * np.einsum("tp,tps,s->", steps, self.mixed, common, optimize=True)
        for k, tie in enumerate(self.ties, start=1):
            second += 2 * np.einsum("tp,tpq,tq->", steps[:-k], tie, steps[k:], optimize=True)
        return float(-first - 0.5 * second)


def _damped(matrix: Float[np.ndarray, "p p"], damping: float) -> Float[np.ndarray, "p p"]:
    raised = matrix.copy()
    diagonal = np.einsum("ii->i", raised)
    diagonal += damping * diagonal + 1e-9 * max(float(diagonal.max(initial=0)), 1e-9)
    return raised
