"""The baseline: fused depth and free Gaussians, which is what a user would do without a body model.

Kept as plain as that: no body, no surface, no color matching, no regularity. It knows one moment only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from simulacra.recon.avatar.gaussian_trainee import Recipe
from simulacra.recon.avatar.loop import Schedule
from simulacra.recon.avatar.losses import gaussian_losses
from simulacra.recon.avatar.settings import Densification, DepthSplatsConfig, LearningRates, LossWeights
from simulacra.recon.avatar.views import MaskOf
from simulacra.recon.session import Session
from simulacra.render.gaussians import Gaussians, sh_from_rgb
from simulacra.render.runtime.errors import CaptureError

# Pixels next to a step in depth larger than this are left out.
JUMP_M = 0.03
SCALE_OF_SPACING = 0.55
OPACITY_LOGIT = 2.0


def fused_gaussians(
    session: Session, frame: int, cameras: Sequence[str], mask_of: MaskOf, settings: DepthSplatsConfig
) -> Gaussians:
    """Round Gaussians at the mean point and color of every grid cell that enough depth pixels fall into.

    Raises:
        CaptureError: the capture has no depth, or too little of it for the grid.
    """
    points, colors = [], []
    for camera in cameras:
        measured, mask = session.depth(frame, camera), mask_of(frame, camera)
        if measured is None or mask is None:
            continue
        depth = np.where(measured[1] & (mask > 0.5), measured[0], 0)
        steps = [np.abs(np.diff(depth, axis=a, prepend=np.take(depth, [0], axis=a))) < JUMP_M for a in (0, 1)]
        good = (depth > 0) & steps[0] & steps[1]
        view = session.cameras_as_tensors(camera)
        points.append(view.unproject(torch.from_numpy(depth.astype(np.float32))[None])[0].numpy()[good])
        colors.append(session.image(frame, camera)[good])
    if not points:
        raise CaptureError(
            "the depth_splats baseline needs depth images",
            where=session.root,
            remedy="use another configuration",
        )
    grid = settings.grid_mm / 1000
    cloud, paint = np.concatenate(points).astype(np.float64), np.concatenate(colors)
    keys = np.floor(cloud / grid).astype(np.int64)
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    kept = counts >= settings.least_points
    if not kept.any():
        raise CaptureError(
            "no cell of the grid has depth pixels enough",
            where=f"frame {frame} of {session.root}",
            expected=f"{settings.least_points} pixels in a cell of {settings.grid_mm:g} mm",
            found=f"{len(cloud)} pixels with depth, at most {counts.max(initial=0)} in a cell",
            remedy="a larger avatar.grid_mm",
        )

    def mean(values: np.ndarray) -> torch.Tensor:
        sums = np.stack([np.bincount(inverse.ravel(), values[:, k]) for k in range(3)], 1)
        return torch.from_numpy((sums / counts[:, None])[kept].astype(np.float32))

    means, rgb = mean(cloud), mean(paint)
    count = len(means)
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    log_scale = math.log(grid * SCALE_OF_SPACING)
    opacities = torch.full((count,), OPACITY_LOGIT)
    return Gaussians(means, quats, torch.full((count, 3), log_scale), opacities, sh_from_rgb(rgb))


def baseline_recipe(settings: DepthSplatsConfig) -> Recipe:
    """Color and mask, nothing else."""
    weights = LossWeights(l1=1.0, ssim=0.0, mask=0.1, depth=0.0, smooth=0.0, stay=0.0, size=0.0)
    return Recipe(
        schedule=Schedule(settings.steps, settings.seed, settings.checkpoint_every),
        losses=gaussian_losses(weights),
        rates=LearningRates(means=2e-4, logit_opacities=2e-2),
        densify=Densification(),
        largest=math.inf,
        random_background=False,
        match_colors=False,
        refine_cameras=False,
    )
