"""Minimising the energy: limited-memory BFGS (scipy's L-BFGS-B without bounds) over all frames at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, Unknowns
from simulacra.recon.fit.energy import Cost, energy
from simulacra.render.body import RestBody

# Steps of one: what turns the whole body moves landmarks more than what turns a wrist, and what all frames share is
# pushed by all of them.
_STEP = {"turn": 0.2, "place": 0.5, "expression": 0.3}
_SHARED = ("shape", "bias")
# It stops when a step gains less than this part of the value, or where the gradient is exactly zero.
_LEAST_GAIN = 2e-7
_MEMORY = 12


@dataclass(frozen=True)
class Free:
    """What may change.

    Attributes:
        names: fields of the unknowns.
        held_joints: degrees of freedom that stay as they are, a mask; None for none.
        kept_frames: so many first frames stay as they are.
    """

    names: frozenset[str]
    held_joints: Bool[Tensor, " d"] | None = None
    kept_frames: int = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """The tensors here are small: more threads only wait for each other (five times slower on a busy machine), and
    would make the last bits depend on their number: torch's, and BLAS's, which adds up the dot products of more than
    10,000 unknowns in as many parts as it has threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def minimise(
    space: BodySpace,
    start: Unknowns,
    costs: Sequence[Cost],
    free: Free,
    iterations: int,
    rest: RestBody | None = None,
) -> Unknowns:
    """The unknowns after some iterations.

    Args:
        rest: the shaped body if the shape does not change.
    """
    deltas = {name: torch.zeros_like(getattr(start, name), requires_grad=True) for name in sorted(free.names)}
    sizes = [delta.numel() for delta in deltas.values()]

    def assign(flat: np.ndarray) -> None:
        with torch.no_grad():
            for delta, part in zip(deltas.values(), torch.from_numpy(flat).split(sizes), strict=True):
                delta.copy_(part.view_as(delta))
                delta.grad = None

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        assign(flat)
        cost = energy(space, _add_steps(start, deltas, free), costs, rest)
        cost.backward()
        gradients = [torch.zeros_like(d) if d.grad is None else d.grad for d in deltas.values()]
        return cost.item(), torch.cat([gradient.flatten() for gradient in gradients]).double().numpy()

    options = {"maxiter": iterations, "maxcor": _MEMORY, "ftol": _LEAST_GAIN, "gtol": 0.0}
    result = minimize(value_and_gradient, np.zeros(sum(sizes)), jac=True, method="L-BFGS-B", options=options)
    assign(result.x)
    found = _add_steps(start, deltas, free)
    return Unknowns(**{field.name: getattr(found, field.name).detach() for field in fields(Unknowns)})


def _add_steps(start: Unknowns, deltas: dict[str, Tensor], free: Free) -> Unknowns:
    """The start changed by steps of one of each free unknown; what is kept stays to the bit."""
    frames = len(start.joints)
    moves = torch.ones(frames, 1)
    moves[: free.kept_frames] = 0
    values = {}
    for name, delta in deltas.items():
        shared = name in _SHARED
        change = delta * (_STEP.get(name, 1.0) / (frames**0.5 if shared else 1.0))
        if not shared:
            change = change * moves
        if name == "joints" and free.held_joints is not None:
            change = torch.where(free.held_joints, torch.zeros_like(change), change)
        values[name] = getattr(start, name) + change
    return replace(start, **values)
