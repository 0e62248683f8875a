"""Normals of Gaussians: features for normal maps."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians.record import Gaussians
from simulacra.render.rotation import quat_to_matrix


def gaussian_normals(gaussians: Gaussians, cameras: Cameras) -> Float[Tensor, "c n 3"]:
    """Unit normals in the world: each Gaussian's shortest axis, turned towards each camera.

    As features of ``rasterize_features`` they become a normal map (premultiplied by alpha, and shorter where
    the Gaussians of a pixel disagree). Differentiable in ``gaussians.quats``; which axis is the shortest (the
    first of equals) and which side faces the camera do not move. An axis seen exactly edge-on keeps its sign.
    """
    shortest = gaussians.log_scales.detach().argmin(-1)
    axes = quat_to_matrix(gaussians.quats).transpose(1, 2)
    normals = axes[torch.arange(len(gaussians), device=shortest.device), shortest]
    with torch.no_grad():
        away = gaussians.means - cameras.centers()[:, None]
        turned = (away * normals).sum(-1, keepdim=True) > 0
    return torch.where(turned, -normals, normals)
