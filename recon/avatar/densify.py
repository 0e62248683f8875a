"""More Gaussians where the pictures ask for them, fewer where nothing is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar.settings import Densification
from simulacra.recon.avatar.training import Training
from simulacra.render.gaussians.record import FIELDS
from simulacra.render.rotation import quat_to_matrix

# Split Gaussians are smaller than their parent by this factor (Kerbl et al. 2023).
SPLIT_SHRINK = 1.6


# What a training keeps for each Gaussian beside its parameters.
KEPT = ("anchors", "origins", "grad2d", "count")


def densify(training: Training, rules: Densification, steps: int) -> Training:
    """Drops what is nearly transparent; splits what the pictures pull at most, along its longest axis.

    After Kerbl et al. 2023, but by rank instead of by a threshold, so that image size does not matter.

    Args:
        steps: of the whole training.
    """
    keep = torch.sigmoid(training.tensors["logit_opacities"]) > rules.least_opacity
    training = select(training, keep.nonzero().squeeze(-1))
    room = rules.most - len(training.state["anchors"])
    if training.step < rules.until * steps and room > 0:
        pull = mean_pull(training)
        count = min(room, int(rules.share * len(pull)))
        chosen = torch.sort(pull, descending=True, stable=True).indices[:count]
        training = _split(training, chosen)
    counted = {name: torch.zeros_like(training.state[name]) for name in ("grad2d", "count")}
    return replace(training, state=training.state | counted)


def mean_pull(training: Training) -> Float[Tensor, " n"]:
    """How much a picture that shows it pulls at each Gaussian, since the last round: pixels of screen gradient."""
    return training.state["grad2d"] / training.state["count"].clamp(min=1)


def select(training: Training, rows: Int[Tensor, "m"]) -> Training:
    """The chosen Gaussians (repeats allowed), with all that belongs to them."""

    def pick(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value[rows] if name in FIELDS + KEPT else value for name, value in values.items()}

    return replace(
        training,
        tensors=pick(training.tensors),
        moments1=pick(training.moments1),
        moments2=pick(training.moments2),
        state=pick(training.state),
    )


def _split(training: Training, chosen: Int[Tensor, "m"]) -> Training:
    """Two halves in place of each chosen Gaussian, half a standard deviation to either side of its centre."""
    count, device = len(training.state["anchors"]), chosen.device
    grown = select(training, torch.cat([torch.arange(count, device=device), chosen]))
    tensors = {name: value.clone() for name, value in grown.tensors.items()}
    longest = tensors["log_scales"][chosen].argmax(-1)
    every = torch.arange(len(chosen), device=device)
    axes = quat_to_matrix(tensors["quats"][chosen])[every, :, longest]
    reach = 0.5 * tensors["log_scales"][chosen, longest].exp()[:, None] * axes
    shrink = torch.zeros_like(tensors["log_scales"][chosen])
    shrink[every, longest] = float(np.log(SPLIT_SHRINK))
    twins = count + every
    anchors = grown.state["anchors"].clone()
    for rows, sign in ((chosen, 1.0), (twins, -1.0)):
        tensors["means"][rows] += sign * reach
        tensors["log_scales"][rows] -= shrink
        anchors[rows] += sign * reach
    moments1, moments2 = (
        {name: value.clone() for name, value in moments.items()}
        for moments in (grown.moments1, grown.moments2)
    )
    for name in FIELDS:
        for moments in (moments1, moments2):
            moments[name][chosen] = 0
            moments[name][twins] = 0
    state = grown.state | {"anchors": anchors}
    return replace(grown, tensors=tensors, state=state, moments1=moments1, moments2=moments2)
