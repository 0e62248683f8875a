"""Minimising the energy: limited-memory BFGS over all frames at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace

import torch
from torch import Tensor

from simulacra.recon.fit.config import WeightConfig
from simulacra.recon.fit.energy import Person, Terms, Unknowns, energy
from simulacra.recon.fit.lbfgs import minimise_lbfgs
from simulacra.render.body import RestBody

# Steps of one: what turns the whole body moves landmarks more than what turns a wrist, and what all frames share is
# pushed by all of them.
_STEP = {"turn": 0.2, "place": 0.5, "expression": 0.3}
_SHARED = ("shape", "bias")


def first_unknowns(frames: int, shape: int, joints: int, expressions: int) -> Unknowns:
    """The first guess: all zero."""
    return Unknowns(
        torch.zeros(shape),
        torch.zeros(frames, joints),
        torch.zeros(frames, 3),
        torch.zeros(frames, 3),
        torch.zeros(frames, expressions),
        torch.zeros(33, 3),
    )


def minimise(
    person: Person,
    start: Unknowns,
    terms: Terms,
    weights: WeightConfig,
    free: Collection[str],
    iterations: int,
    held_joints: Tensor | None = None,
    settled: int = 0,
    rest: RestBody | None = None,
) -> Unknowns:
    """The unknowns after some iterations.

    Args:
        free: names of the fields that may change.
        held_joints: degrees of freedom that stay as they are, a mask.
        settled: so many first frames stay as they are.
        rest: the shaped body if the shape does not change.
    """
    frames = len(start.joints)
    steps = {name: _STEP.get(name, 1.0) / (frames**0.5 if name in _SHARED else 1.0) for name in free}
    moved = {name: torch.zeros_like(getattr(start, name), requires_grad=True) for name in sorted(free)}
    still = torch.ones(frames, 1)
    still[:settled] = 0

    def current() -> Unknowns:
        values = {}
        for name, delta in moved.items():
            change = delta * steps[name]
            if name not in _SHARED:
                change = change * still
            if name == "joints" and held_joints is not None:
                change = torch.where(held_joints, torch.zeros_like(change), change)
            values[name] = getattr(start, name) + change
        return replace(start, **values)

    sizes = [delta.numel() for delta in moved.values()]

    def value_and_gradient(flat: Tensor) -> tuple[float, Tensor]:
        with torch.no_grad():
            for delta, part in zip(moved.values(), flat.split(sizes), strict=True):
                delta.copy_(part.view_as(delta))
                delta.grad = None
        cost = energy(person, current(), terms, weights, rest)
        cost.backward()
        gradients = [torch.zeros_like(d) if d.grad is None else d.grad for d in moved.values()]
        return cost.item(), torch.cat([gradient.flatten() for gradient in gradients]).double()

    best = minimise_lbfgs(value_and_gradient, torch.zeros(sum(sizes), dtype=torch.float64), iterations)
    with torch.no_grad():
        for delta, part in zip(moved.values(), best.split(sizes), strict=True):
            delta.copy_(part.view_as(delta))
    found = current()
    return Unknowns(**{field.name: getattr(found, field.name).detach() for field in fields(Unknowns)})
