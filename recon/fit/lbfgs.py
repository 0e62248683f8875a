"""Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.4), deterministic and small.

torch's own would do, but importing `torch.optim` brings its compiler along, seconds before anything happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

_SUFFICIENT = 1e-4
_MOST_HALVINGS = 12


def minimise_lbfgs(
    value_and_gradient: Callable[[Float[Tensor, " n"]], tuple[float, Float[Tensor, " n"]]],
    start: Float[Tensor, " n"],
    iterations: int,
    memory: int = 12,
    tolerance: float = 1e-6,
) -> Float[Tensor, " n"]:
    """A lower point of a smooth function.

    Args:
        tolerance: it stops when five steps together gain less than this part of the value.

    Returns:
        The best point met; the start where nothing lower was found.
    """
    point = start.clone()
    value, gradient = value_and_gradient(point)
    pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=memory)
    recent: deque[float] = deque([value], maxlen=6)
    for _ in range(iterations):
        direction = -_inverse_times(gradient, pairs)
        slope = float(direction @ gradient)
        if slope >= 0:  # rounding spoilt the curvatures: start again downhill
            pairs.clear()
            direction, slope = -gradient, -float(gradient @ gradient)
        if slope == 0:
            break
        length = 1.0 if pairs else min(1.0, 1.0 / float(gradient.abs().sum()))
        found = _backtrack(value_and_gradient, point, value, direction, slope, length)
        if found is None:
            if not pairs:
                break
            pairs.clear()
            continue
        step, new_value, new_gradient = found
        change, bend = step, new_gradient - gradient
        curvature = float(change @ bend)
        if curvature > 1e-10 * float(bend @ bend):
            pairs.append((change, bend, 1 / curvature))
        point, value, gradient = point + step, new_value, new_gradient
        recent.append(value)
        if len(recent) == 6 and recent[0] - value < tolerance * abs(value):
            break
    return point


def _inverse_times(gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, float]]) -> Tensor:
    """The two-loop recursion: the approximate inverse Hessian times the gradient."""
    q = gradient.clone()
    factors = []
    for change, bend, rho in reversed(pairs):
        factor = rho * float(change @ q)
        q -= factor * bend
        factors.append(factor)
    if pairs:
        change, bend, rho = pairs[-1]
        q *= 1 / (rho * float(bend @ bend))
    for (change, bend, rho), factor in zip(pairs, reversed(factors), strict=True):
        q += (factor - rho * float(bend @ q)) * change
    return q


def _backtrack(
    value_and_gradient: Callable[[Tensor], tuple[float, Tensor]],
    point: Tensor,
    value: float,
    direction: Tensor,
    slope: float,
    length: float,
) -> tuple[Tensor, float, Tensor] | None:
    """A step that lowers the value enough (Armijo), by quadratic interpolation; None where there is none."""
    for _ in range(_MOST_HALVINGS):
        step = length * direction
        new_value, new_gradient = value_and_gradient(point + step)
        if new_value <= value + _SUFFICIENT * length * slope:
            return step, new_value, new_gradient
        best = -slope * length**2 / (2 * (new_value - value - slope * length))
        length = min(max(best, 0.1 * length), 0.5 * length)
    return None
