"""The training loop: one view a step, Adam, checkpoints from which it continues bit for bit.

It knows nothing of what is trained: a `Trainee` says what its tensors are, draws them, and names what a step pays for.
All that a step depends on is in `Training`, which is saved whole; the order of views is a function of the seed and the
step, so that no generator's state has to survive.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.avatar.adam import adam_update
from simulacra.recon.avatar.training import Training, restore_checkpoint, save_checkpoint
from simulacra.recon.avatar.views import TrainingView, ViewStore
from simulacra.recon.runs.logs import log_values
from simulacra.recon.runs.progress import Progress

# The learning rates fall to this part of themselves over the run.
FINAL_RATE = 0.1

Drawn = TypeVar("Drawn")


@runtime_checkable
class Trainee(Protocol[Drawn]):
    """What is trained.

    Attributes:
        device: where its tensors are; views are moved there.
        rates: the step size of Adam for each tensor, at the beginning.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def rates(self) -> Mapping[str, float]: ...

    def start(self, view: tuple[int, str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The tensors before the first step, and what else is kept from step to step.

        Args:
            view: frame and camera of the first view.
        """

    def render(self, leaves: dict[str, Tensor], training: Training, view: TrainingView) -> Drawn:
        """Draws the tensors (leaves that want a gradient) as the view shows them."""

    def losses(self, drawn: Drawn, view: TrainingView) -> dict[str, Tensor]:
        """What this drawing costs: weighted scalars by name, the same names at every step."""

    def after_step(self, training: Training, drawn: Drawn) -> Training:
        """What happens once Adam has moved the tensors: densification, constraints, counts; or nothing."""


@dataclass(frozen=True)
class Schedule:
    """How long a training is, and what it repeats by.

    Attributes:
        steps: one view each.
        seed: of the order of views, and of whatever the trainee draws by chance.
        checkpoint_every: so many steps.
    """

    steps: int
    seed: int = 0
    checkpoint_every: int = 50


def train(
    trainee: Trainee[Drawn], views: ViewStore, schedule: Schedule, folder: Path, group: str = "train"
) -> Training:
    """Trains to the end of the schedule, from the folder's checkpoint where there is one.

    Args:
        trainee: what is trained.
        views: what it is compared with.
        schedule: for how long.
        folder: of the checkpoint.
        group: what loggers call its losses.
    """
    training = restore_checkpoint(folder, trainee.device) or begin(trainee, views.views[0])
    with _same_bits(trainee.device), Progress("training", schedule.steps, training.step) as progress:
        while training.step < schedule.steps:
            index = view_of_step(training.step, len(views), schedule.seed)
            training = step(training, trainee, views.load(index).to(trainee.device), schedule)
            log_values(group, training.step - 1, _last_losses(training))
            if training.step % schedule.checkpoint_every == 0:
                save_checkpoint(folder, training)
            progress.advance()
    return training


def _last_losses(training: Training) -> dict[str, float]:
    return {name: float(column[-1]) for name, column in training.losses.items() if name != "step"}


def begin(trainee: Trainee[Drawn], view: tuple[int, str]) -> Training:
    """The state before the first step, whose first view is given as frame and camera."""
    tensors, state = trainee.start(view)
    moments1, moments2 = ({name: torch.zeros_like(value) for name, value in tensors.items()} for _ in "12")
    return Training(0, tensors, moments1, moments2, state, {})


def step(training: Training, trainee: Trainee[Drawn], view: TrainingView, schedule: Schedule) -> Training:
    """One view drawn, compared, and all tensors moved: the state after it."""
    leaves = {name: value.detach().requires_grad_() for name, value in training.tensors.items()}
    drawn = trainee.render(leaves, training, view)
    terms = trainee.losses(drawn, view)
    total: Tensor = sum(terms.values(), torch.zeros((), device=trainee.device))
    total.backward()
    # One look at the device for all numbers.
    found = torch.stack([total, *terms.values()]).detach().cpu().unbind()
    row = {"step": torch.tensor(float(training.step))} | dict(zip(("total", *terms), found, strict=True))
    losses = {
        name: torch.cat([training.losses.get(name, value[:0]), value])
        for name, value in ((name, value[None]) for name, value in row.items())
    }
    moved = _move(training, {name: leaf.grad for name, leaf in leaves.items()}, trainee.rates, schedule)
    return trainee.after_step(replace(moved, step=training.step + 1, losses=losses), drawn)


def _move(
    training: Training, gradients: Mapping[str, Tensor | None], rates: Mapping[str, float], schedule: Schedule
) -> Training:
    """One step of Adam, with rates that fall exponentially; what has no gradient stays."""
    fall = rate_fall(training.step, schedule.steps)
    tensors, moments1, moments2 = dict(training.tensors), dict(training.moments1), dict(training.moments2)
    for name, gradient in gradients.items():
        if gradient is not None:
            tensors[name], moments1[name], moments2[name] = adam_update(
                tensors[name], gradient, moments1[name], moments2[name], rates[name] * fall, training.step + 1
            )
    return replace(training, tensors=tensors, moments1=moments1, moments2=moments2)


def rate_fall(step: int, steps: int) -> float:
    """What is left of the learning rates at a step of so many."""
    return float(FINAL_RATE ** (step / steps))


def view_of_step(step: int, count: int, seed: int) -> int:
    """Every view once in an epoch, in an order that the seed and the epoch decide."""
    return int(_order_of_epoch(seed, step // count, count)[step % count])


def background_of_step(step: int, seed: int) -> Float[Tensor, "3"]:
    """The color behind a step's drawing and photograph, on the CPU: the same on every device."""
    return torch.rand(3, generator=torch.Generator().manual_seed(seed * 1_000_003 + step))


@lru_cache(maxsize=2)
def _order_of_epoch(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)


@contextmanager
def _same_bits(device: torch.device) -> Iterator[None]:
    """Torch adds up in a fixed order: the gradient of a gather is otherwise summed by whichever thread comes first.

    On the CPU only: a card's rasterizer adds with atomics whatever torch is told, and its matrix products would refuse.
    """
    if device.type != "cpu":
        yield
        return
    settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    _be_deterministic(True)
    # Fresh memory would otherwise be filled first, which only serves debugging.
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        _be_deterministic(before[0])
        settings.fill_uninitialized_memory = before[1]


def _be_deterministic(wanted: bool) -> None:
    """`torch.use_deterministic_algorithms` without its import of the compiler, which takes seconds and is not used."""
    switch = getattr(torch._C, "_set_deterministic_algorithms", None)
    if switch is None or "torch._inductor.config" in sys.modules:
        torch.use_deterministic_algorithms(wanted)
    else:
        switch(wanted, warn_only=False)
