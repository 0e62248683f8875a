"""The training loop: one view a step, Adam, checkpoints from which it continues bit for bit.

All that a step depends on is in `Training`, which is saved whole; the order of views and the backgrounds are
functions of the seed and the step, so that no generator's state has to survive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar.adam import adam_update
from simulacra.recon.avatar.binding import neighbours
from simulacra.recon.avatar.densify import densify
from simulacra.recon.avatar.losses import ColorMatch, Order, photometric, regularity
from simulacra.recon.avatar.training import (
    LOSS_NAMES,
    OF_CAMERAS,
    Recipe,
    Training,
    restore_checkpoint,
    save_checkpoint,
)
from simulacra.recon.avatar.views import TrainingView, ViewStore
from simulacra.recon.runs.progress import Progress
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from simulacra.render.gaussians.record import FIELDS
from simulacra.render.rotation import axis_angle_to_matrix, rigid

# The learning rates fall to this part of themselves over the run.
FINAL_RATE = 0.1
NEIGHBOURS = 6

# Rest (or free) Gaussians and a view (frame, camera) to Gaussians in the world; with the indices of each Gaussian's
# binding.
Place = Callable[[Gaussians, Int[Tensor, "n"], tuple[int, str]], Gaussians]


def optimise(
    initial: Gaussians,
    place: Place,
    views: ViewStore,
    cameras: Sequence[str],
    recipe: Recipe,
    folder: Path,
    aligned: Training | None = None,
) -> Training:
    """Trains until `recipe.steps`, from the folder's checkpoint where there is one.

    Args:
        cameras: the training cameras, in the order of the parameters of cameras.
        aligned: an earlier training whose cameras' colors and poses are taken over.
    """
    training = restore_checkpoint(folder) or begin(initial, place, views.views[0], len(cameras), aligned)
    near = neighbours(training.anchors, NEIGHBOURS)
    with _same_bits(), Progress("training", recipe.steps, training.step) as progress:
        while training.step < recipe.steps:
            view = views.load(view_of_step(training.step, len(views), recipe.seed))
            training = step(training, place, view, cameras.index(view.camera), near, recipe)
            every = recipe.densify.every
            if every and training.step % every == 0 and training.step < recipe.steps:
                training = densify(training, recipe)
                near = neighbours(training.anchors, NEIGHBOURS)
            if training.step % recipe.checkpoint_every == 0:
                save_checkpoint(folder, training)
            progress.advance()
    return training


@contextmanager
def _same_bits() -> Iterator[None]:
    """Torch adds up in a fixed order: the gradient of a gather is otherwise summed by whichever thread comes first."""
    settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # Fresh memory would otherwise be filled first, which only serves debugging.
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        settings.fill_uninitialized_memory = before[1]


def view_of_step(step: int, count: int, seed: int) -> int:
    """Every view once in an epoch, in an order that the seed and the epoch decide."""
    order = np.random.default_rng((seed, step // count)).permutation(count)
    return int(order[step % count])


def begin(
    initial: Gaussians, place: Place, first: tuple[int, str], cameras: int, aligned: Training | None = None
) -> Training:
    """The state before the first step: so many training cameras, and what an earlier training knows of them."""
    tensors = {name: getattr(initial, name).detach().clone() for name in FIELDS}
    tensors |= {name: aligned.tensors[name] if aligned else torch.zeros(cameras, 3) for name in OF_CAMERAS}
    count = len(initial)
    with torch.no_grad():
        middle = place(initial, torch.arange(count), first).means.mean(0)
    return Training(
        step=0,
        tensors=tensors,
        moments1={name: torch.zeros_like(value) for name, value in tensors.items()},
        moments2={name: torch.zeros_like(value) for name, value in tensors.items()},
        anchors=tensors["means"].clone(),
        origins=torch.arange(count),
        heat=torch.zeros(count),
        drawn=torch.zeros(count),
        losses=torch.zeros(0, len(LOSS_NAMES)),
        middle=middle if aligned is None else aligned.middle,
    )


def step(
    training: Training, place: Place, view: TrainingView, camera: int, near: Tensor, recipe: Recipe
) -> Training:
    """One view drawn, compared, and all parameters moved: the state after it."""
    leaves = {name: value.detach().requires_grad_() for name, value in training.tensors.items()}
    gaussians = Gaussians(**{name: leaves[name] for name in FIELDS})
    offsets = torch.zeros(1, len(gaussians), 2, requires_grad=True) if recipe.densify.every else None
    placed = place(gaussians, training.origins, (view.frame, view.camera))
    window = view.cameras
    if recipe.refine_cameras or bool(training.tensors["turns"].any()):
        window = moved_camera(window, leaves["turns"][camera], leaves["moves"][camera], training.middle)
    rendering = rasterize_gaussians(placed, window, screen_offsets=offsets)
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + training.step)
    background = torch.rand(3, generator=generator) if recipe.random_background else torch.zeros(3)
    match = ColorMatch(torch.zeros(3), torch.zeros(3))
    if recipe.match_colors:
        match = ColorMatch(leaves["gains"][camera], leaves["shifts"][camera])
    terms = photometric(rendering, view, match, background, recipe.weights)
    order = Order(training.anchors, near, recipe.largest)
    total = terms.sum() + regularity(gaussians, order, recipe.weights)
    total.backward()
    row = torch.cat([torch.tensor([float(training.step), float(total.detach())]), terms.detach()])
    heat, drawn = training.heat, training.drawn
    if offsets is not None and offsets.grad is not None:
        heat, drawn = heat + offsets.grad[0].norm(dim=-1), drawn + (rendering.screen.radii[0] > 0).float()
    stepped = _adam(training, {name: leaf.grad for name, leaf in leaves.items()}, recipe)
    return replace(stepped, heat=heat, drawn=drawn, losses=torch.cat([training.losses, row[None]]))


def moved_camera(
    cameras: Cameras, turn: Float[Tensor, "3"], move: Float[Tensor, "3"], middle: Float[Tensor, "3"]
) -> Cameras:
    """A camera whose calibration is corrected by a small rigid motion of the world about a point of it."""
    rotation = axis_angle_to_matrix(turn)
    correction = rigid(rotation, middle - rotation @ middle + move)
    return replace(cameras, viewmats=cameras.viewmats @ correction)


def _adam(training: Training, gradients: dict[str, Tensor | None], recipe: Recipe) -> Training:
    """One step of Adam with a rate that falls exponentially; colors of cameras keep a mean of zero."""
    step = training.step + 1
    fall = FINAL_RATE ** (training.step / recipe.steps)
    of_cameras = dict.fromkeys(("gains", "shifts"), recipe.rates.camera_colors)
    of_cameras |= dict.fromkeys(("turns", "moves"), recipe.rates.camera_poses)
    rates = {name: of_cameras.get(name) or getattr(recipe.rates, name) for name in training.tensors}
    tensors, moments1, moments2 = (
        dict(values) for values in (training.tensors, training.moments1, training.moments2)
    )
    for name, gradient in gradients.items():
        if gradient is not None:
            tensors[name], moments1[name], moments2[name] = adam_update(
                tensors[name], gradient, moments1[name], moments2[name], rates[name] * fall, step
            )
    for name in OF_CAMERAS:
        tensors[name] = tensors[name] - tensors[name].mean(0)
    return replace(training, step=step, tensors=tensors, moments1=moments1, moments2=moments2)
