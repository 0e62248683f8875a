"""The baseline that needs masks alone: the surface of a visual hull as Gaussians, trained by Markov chain Monte Carlo.

What one would do without a body and without depth. Like `depth_splats` it knows one moment only, no surface, no color
of cameras and no regularity; see `recon.avatar.relocate` for how it is trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from simulacra.recon.avatar.gaussian_trainee import Recipe
from simulacra.recon.avatar.loop import Schedule
from simulacra.recon.avatar.losses import Drawing, Loss, photometric_losses
from simulacra.recon.avatar.settings import FreeSplatsConfig, LearningRates, LossWeights
from simulacra.recon.avatar.views import MaskOf
from simulacra.recon.avatar.visual_hull import FEWEST_CAMERAS, HullSurface, Outline, carve
from simulacra.recon.refine.coloring import color_points
from simulacra.recon.session import Session
from simulacra.render.gaussians import Gaussians, sh_from_rgb
from simulacra.render.runtime.errors import CaptureError

# As `depth_splats` begins.
SCALE_OF_SPACING, OPACITY_LOGIT = 0.55, 2.0
# Cells grow by a little more than the budget asks for: how many there are is not quite as their area.
GROWN = 1.02


def hull_gaussians(
    session: Session, frame: int, cameras: Sequence[str], mask_of: MaskOf, settings: FreeSplatsConfig
) -> Gaussians:
    """Round Gaussians at the surface of the visual hull, at most the budget, in the photographs' colors.

    Raises:
        CaptureError: fewer cameras show the person than a hull is carved by, or their masks have nothing in common.
    """
    masks = {camera: mask_of(frame, camera) for camera in cameras if session.has(frame, camera)}
    seen = {camera: mask for camera, mask in masks.items() if mask is not None and (mask > 0.5).any()}
    where = f"frame {frame} of {session.root}"
    if len(seen) < FEWEST_CAMERAS:
        raise CaptureError(
            "the free_splats baseline carves a hull out of masks, and too few cameras show the person",
            where=where,
            expected=f"{FEWEST_CAMERAS} cameras or more",
            found=", ".join(seen) or "none",
            remedy="use another configuration",
        )
    views = {camera: session.cameras_as_tensors(camera) for camera in seen}
    outlines = [Outline.of_mask(mask, views[camera]) for camera, mask in seen.items()]
    hull = _within_budget(outlines, settings)
    if not len(hull.points):
        raise CaptureError(
            "the masks of the cameras have nothing in common",
            where=where,
            expected=f"cells of {settings.grid_mm:g} mm inside of all of them",
            found=f"none, of cameras {', '.join(seen)}",
            remedy="look at the masks and the calibration: `simulacra check` does",
        )
    points, normals = (torch.from_numpy(a).float() for a in (hull.points, hull.normals))
    count = len(points)
    images = (session.image(frame, camera) for camera in seen)
    colors, _ = color_points(
        points, normals, points.new_full((count,), hull.cell), images, seen.values(), views.values()
    )
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    log_scales = torch.full((count, 3), math.log(hull.cell * SCALE_OF_SPACING))
    return Gaussians(points, quats, log_scales, torch.full((count,), OPACITY_LOGIT), sh_from_rgb(colors))


def _within_budget(outlines: Sequence[Outline], settings: FreeSplatsConfig) -> HullSurface:
    """The hull in cells of the wanted size, or in larger ones of which the budget has enough."""
    hull = carve(outlines, settings.grid_mm / 1000)
    while (excess := len(hull.points) / settings.densify.most) > 1:
        hull = carve(outlines, hull.cell * math.sqrt(excess) * GROWN)
    return hull


def free_splats_recipe(settings: FreeSplatsConfig) -> Recipe:
    """Color, structure, mask, and the paper's price of opacity and of size; rates as of `depth_splats`."""
    weights = LossWeights(l1=0.8, ssim=0.2, mask=0.1, depth=0.0, smooth=0.0, stay=0.0, size=0.0)
    prices = (
        Loss("opacity", settings.opacity_cost, lambda drawn, _: mean_opacity(drawn)),
        Loss("scale", settings.scale_cost, lambda drawn, _: mean_scale(drawn)),
    )
    return Recipe(
        schedule=Schedule(settings.steps, settings.seed, settings.checkpoint_every),
        losses=(*photometric_losses(weights), *prices),
        rates=LearningRates(means=2e-4, logit_opacities=2e-2),
        densify=settings.densify,
        largest=math.inf,
        random_background=True,
        match_colors=False,
        refine_cameras=False,
        appeal="opacity",
        noise=settings.noise,
    )


def mean_opacity(drawn: Drawing) -> torch.Tensor:
    """Of all Gaussians: what nothing needs becomes transparent, and is relocated."""
    return torch.sigmoid(drawn.gaussians.logit_opacities).mean()


def mean_scale(drawn: Drawing) -> torch.Tensor:
    """Mean standard deviation of all Gaussians and axes, metres."""
    return torch.exp(drawn.gaussians.log_scales).mean()
