"""Relocation: Gaussians that show nothing go where others do the work, and the picture stays as it is.

After Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo": the number of Gaussians is a budget;
dead ones become copies of live ones, and what are now N Gaussians in one place draw what one did (`share_out`, eq. 9).
Between these rounds the means wander (`wander`, the noise of stochastic gradient Langevin dynamics), those that are
nearly transparent most: they look for a place where they are of use.

Symbols: ``n`` Gaussians, ``m`` of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.recon.avatar.densify import select
from simulacra.recon.avatar.settings import Densification
from simulacra.recon.avatar.training import Training
from simulacra.render.gaussians.record import FIELDS
from simulacra.render.rotation import quat_to_matrix

# Gaussians in one place after a round: the sum of eq. 9 alternates, and float64 has digits for so many.
MOST_COPIES = 51
# An opacity of 1 cannot be shared out.
LARGEST_OPACITY = 1 - 1e-6
# Who wanders: the paper's logistic gate, at the opacity below which a Gaussian is dead there.
GATE_STEEPNESS, GATE_OPACITY = 100.0, 0.005
# Draws of relocation and of noise are of generators of their own; the loop's backgrounds have seed * 1_000_003 + step.
SEEDS_APART, ROUND, NOISE = 1_000_003, 1 << 52, 1 << 53


def relocate(
    training: Training, rules: Densification, steps: int, seed: int, appeal: Float[Tensor, " n"]
) -> Training:
    """Moves the nearly transparent to where the appeal is, and adds more there while the budget has room.

    Nothing is done after the part of the steps that the rules say.

    Args:
        rules: `least_opacity` says who is dead, `share` how many more there are in a round, `most` the budget.
        steps: of the whole training.
        seed: with the step it decides all draws.
        appeal: how likely each is drawn to be copied; the dead are not.
    """
    counted = {name: torch.zeros_like(training.state[name]) for name in ("grad2d", "count")}
    training = replace(training, state=training.state | counted)
    opacities = torch.sigmoid(training.tensors["logit_opacities"])
    dead = opacities <= rules.least_opacity
    appeal = torch.where(dead, 0.0, appeal)
    if training.step >= rules.until * steps or not bool((appeal > 0).any()):
        return training
    count = len(opacities)
    more = max(0, min(rules.most - count, int(rules.share * count)))
    drawn = _draw(appeal, int(dead.sum()) + more, _generator(seed, training.step, ROUND))
    places = torch.cat([dead.nonzero().squeeze(-1), torch.arange(count, count + more, device=dead.device)])
    return _copy(training, drawn, places[: len(drawn)])


def share_out(
    opacities: Float[Tensor, " m"], copies: Int[Tensor, " m"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """The opacity of each of N equal Gaussians that together are as opaque at their center as one was, and the factor
    of their standard deviations with which a line through it sums up to the same (eq. 9).

    With G = exp(-x^2 / 2) the N together are 1 - (1 - o G)^N; its integral over a line, divided by that of G, is
    sum_k C(N, k) (-1)^(k-1) o^k / sqrt(k), k = 1..N, the paper's double sum with its inner sum of binomials taken.

    Args:
        opacities: of the one, 0..1.
        copies: N, 1 to `MOST_COPIES`.
    """
    old = opacities.double().clamp(max=LARGEST_OPACITY)
    new = -torch.expm1(torch.log1p(-old) / copies)
    powers = torch.arange(1, MOST_COPIES + 1, device=old.device, dtype=torch.float64)
    terms = _binomials().to(old.device)[copies] * new[:, None] ** powers / powers.sqrt()
    return new.to(opacities), (old / terms.sum(-1)).to(opacities)


def wander(tensors: Mapping[str, Tensor], amount: float, seed: int, step: int) -> Float[Tensor, "n 3"]:
    """The means after one draw of noise: normal, shaped by each Gaussian's own covariance, and nothing of what shows.

    Args:
        tensors: fields of Gaussians.
        amount: the learning rate of the means times the paper's noise factor, in 1/m.
        seed: with the step it decides the draw, on every device alike.
    """
    means = tensors["means"]
    with torch.no_grad():
        opacities = torch.sigmoid(tensors["logit_opacities"])
        gate = torch.sigmoid(-GATE_STEEPNESS * (opacities - GATE_OPACITY))
        draws = torch.randn(means.shape, generator=_generator(seed, step, NOISE)).to(means)
        axes = quat_to_matrix(tensors["quats"])
        local = torch.einsum("nij,ni->nj", axes, draws) * torch.exp(2 * tensors["log_scales"])
        return means + amount * gate[:, None] * torch.einsum("nij,nj->ni", axes, local)


def _draw(appeal: Float[Tensor, " n"], wanted: int, generator: torch.Generator) -> Int[Tensor, " m"]:
    """Which are copied, in order, each as often as it was drawn; at most as often as can be shared out."""
    if not wanted:
        return torch.empty(0, dtype=torch.long, device=appeal.device)
    weights = appeal.double().cpu()
    # Not torch.multinomial, which takes 2^24 categories at most and is not the same on all devices.
    edges = weights.cumsum(0)
    at = torch.rand(wanted, generator=generator, dtype=torch.float64) * edges[-1]
    rows = torch.searchsorted(edges, at, right=True).clamp(max=len(edges) - 1)
    often = torch.bincount(rows, minlength=len(edges)).clamp(max=MOST_COPIES - 1)
    return torch.repeat_interleave(torch.arange(len(edges)), often).to(appeal.device)


def _copy(training: Training, drawn: Int[Tensor, " m"], places: Int[Tensor, " m"]) -> Training:
    """The drawn in the places too, each place one more than there are for a new one, and what they drew shared out."""
    count = len(training.state["origins"])
    new = int((places >= count).sum())
    rows = torch.cat([torch.arange(count, device=drawn.device), drawn[len(drawn) - new :]])
    rows[places] = drawn
    copies = 1 + torch.bincount(drawn, minlength=count)
    shared = torch.zeros(len(rows), dtype=torch.bool, device=drawn.device)
    shared[drawn] = shared[places] = True
    before = torch.sigmoid(training.tensors["logit_opacities"])
    opacities, factors = share_out(before, copies)
    grown = select(training, rows)
    tensors = dict(grown.tensors)
    tensors["logit_opacities"] = torch.where(
        shared, torch.logit(opacities)[rows], grown.tensors["logit_opacities"]
    )
    tensors["log_scales"] = torch.where(
        shared[:, None], grown.tensors["log_scales"] + factors.log()[rows, None], grown.tensors["log_scales"]
    )
    # Moments are of what a Gaussian was before.
    moments1, moments2 = (
        moments | {name: _zeroed(moments[name], shared) for name in FIELDS}
        for moments in (grown.moments1, grown.moments2)
    )
    return replace(grown, tensors=tensors, moments1=moments1, moments2=moments2)


def _zeroed(values: Float[Tensor, "n ..."], rows: Bool[Tensor, " n"]) -> Float[Tensor, "n ..."]:
    return torch.where(rows.view(-1, *[1] * (values.ndim - 1)), 0.0, values)


def _binomials() -> Float[Tensor, "copies powers"]:
    """C(N, k) (-1)^(k - 1), rows by N from 0, columns by k from 1."""
    rows = [
        [math.comb(number, k) * (-1.0) ** (k - 1) for k in range(1, MOST_COPIES + 1)]
        for number in range(MOST_COPIES + 1)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def _generator(seed: int, step: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(purpose + seed * SEEDS_APART + step)
