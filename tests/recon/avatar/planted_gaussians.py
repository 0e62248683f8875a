"""A cloud of Gaussians that three cameras see, stored as training views, and a recipe to find it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from simulacra.recon.avatar.gaussian_trainee import GaussianTrainee, Recipe
from simulacra.recon.avatar.loop import Schedule, train
from simulacra.recon.avatar.losses import gaussian_losses
from simulacra.recon.avatar.placement import place_free
from simulacra.recon.avatar.settings import Densification, LearningRates, LossWeights
from simulacra.recon.avatar.training import Training
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.runs.files import write_arrays
from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians

SIZE, COUNT = 40, 60
NAMES = ("a", "b", "c")
RECIPE = Recipe(
    schedule=Schedule(steps=12, seed=5, checkpoint_every=4),
    losses=gaussian_losses(LossWeights()),
    rates=LearningRates(),
    densify=Densification(every=3, share=0.2, until=1.0),
    largest=0.2,
    random_background=True,
    match_colors=True,
    refine_cameras=True,
)


def scene() -> Gaussians:
    generator = torch.Generator().manual_seed(0)
    return Gaussians(
        means=0.3 * torch.randn(COUNT, 3, generator=generator),
        quats=torch.randn(COUNT, 4, generator=generator),
        log_scales=torch.full((COUNT, 3), -2.5) + 0.3 * torch.randn(COUNT, 3, generator=generator),
        logit_opacities=torch.full((COUNT,), 2.0),
        sh=torch.randn(COUNT, 1, 3, generator=generator),
    )


def three_cameras() -> Cameras:
    angles = torch.tensor([0.0, 2.1, 4.2])
    eye = 2.5 * torch.stack([angles.sin(), torch.full((3,), 0.2), angles.cos()], -1)
    return look_at(eye, torch.zeros(3, 3), 50.0, SIZE, SIZE)


def stored_views(folder: Path, gaussians: Gaussians, frames: int = 2) -> ViewStore:
    """What `store_views` would have written, had the capture been drawn from these Gaussians."""
    cameras, views = three_cameras(), []
    folder.mkdir()
    for frame in range(frames):
        for index, name in enumerate(NAMES):
            with torch.no_grad():
                drawn = rasterize_gaussians(gaussians, cameras[index], eps2d=OUTLINE_EPS2D)
            alpha = drawn.alpha[0]
            depth = torch.where(alpha > 0.5, drawn.depth[0] / alpha.clamp(min=1e-6), torch.zeros(()))
            write_arrays(
                folder / f"{name}_{frame:06d}.npz",
                rgb=(drawn.rgb_premul[0].clamp(0, 1) * 255).round().byte().numpy(),
                mask=(alpha * 255).round().byte().numpy(),
                depth=depth.numpy(),
                K=cameras.Ks[index].numpy(),
                viewmat=cameras.viewmats[index].numpy(),
            )
            views.append((frame, name))
    return ViewStore(folder, tuple(views), ())


def perturbed() -> Gaussians:
    planted = scene()
    generator = torch.Generator().manual_seed(9)
    return planted.replace(
        sh=torch.zeros_like(planted.sh),
        means=planted.means + 0.01 * torch.randn(COUNT, 3, generator=generator),
    )


def run(
    views: ViewStore,
    folder: Path,
    recipe: Recipe,
    initial: Gaussians | None = None,
    aligned: Training | None = None,
) -> Training:
    folder.mkdir(parents=True, exist_ok=True)
    trainee = GaussianTrainee(initial or perturbed(), place_free, NAMES, recipe, aligned)
    return train(trainee, views, recipe.schedule, folder)


def scheduled(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, schedule=replace(recipe.schedule, **changes))
