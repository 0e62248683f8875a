"""The state of a training run between two steps, what the run is made of, and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar.losses import TERMS
from simulacra.recon.avatar.settings import Densification, LearningRates, LossWeights
from simulacra.recon.runs.stages import write_arrays
from simulacra.render.gaussians import Gaussians
from simulacra.render.gaussians.record import FIELDS

CHECKPOINT = "checkpoint.npz"
LOSS_NAMES = ("step", "total", *TERMS)
# Parameters of cameras, not of Gaussians; over the cameras each has a mean of zero, or all could drift together.
OF_CAMERAS = ("gains", "shifts", "turns", "moves")


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of, beside its views."""

    steps: int
    seed: int
    checkpoint_every: int
    weights: LossWeights
    rates: LearningRates
    densify: Densification
    largest: float
    random_background: bool
    match_colors: bool
    refine_cameras: bool


@dataclass(frozen=True)
class Training:
    """The state between two steps.

    Attributes:
        tensors: the parameters: fields of the Gaussians, and for each camera `gains` (log) and `shifts` of color and
            `turns` and `moves` of its pose (axis-angle about the person's middle, metres, world).
        moments1, moments2: Adam's.
        anchors: where each Gaussian was made. origins: which of the first Gaussians it descends from.
        heat, drawn: summed norms of screen gradients in pixels, and in how many steps it was drawn, since the last
            densification.
        losses: a row a step, columns `LOSS_NAMES`.
        middle: of the person in the first view, world: what cameras are turned about.
    """

    step: int
    tensors: dict[str, Tensor]
    moments1: dict[str, Tensor]
    moments2: dict[str, Tensor]
    anchors: Float[Tensor, "n 3"]
    origins: Int[Tensor, "n"]
    heat: Float[Tensor, "n"]
    drawn: Float[Tensor, "n"]
    losses: Float[Tensor, "s l"]
    middle: Float[Tensor, "3"]

    @property
    def gaussians(self) -> Gaussians:
        return Gaussians(**{name: self.tensors[name] for name in FIELDS})


PLAIN = ("anchors", "origins", "heat", "drawn", "losses", "middle")


def save_checkpoint(folder: Path, training: Training) -> None:
    """Writes all of it, at once or not at all."""
    arrays = {f"tensors/{n}": v for n, v in training.tensors.items()}
    arrays |= {f"moments1/{n}": v for n, v in training.moments1.items()}
    arrays |= {f"moments2/{n}": v for n, v in training.moments2.items()}
    arrays |= {n: getattr(training, n) for n in PLAIN}
    numpy = {name: value.detach().numpy() for name, value in arrays.items()}
    write_arrays(folder / CHECKPOINT, step=np.asarray(training.step), **numpy)


def restore_checkpoint(folder: Path) -> Training | None:
    """What was saved last; None if nothing was."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    step = int(arrays.pop("step"))
    fields = {n: torch.from_numpy(v) for n, v in arrays.items()}

    def group(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): v for n, v in fields.items() if n.startswith(prefix)}

    plain = {n: fields[n] for n in PLAIN}
    return Training(step, group("tensors/"), group("moments1/"), group("moments2/"), **plain)
