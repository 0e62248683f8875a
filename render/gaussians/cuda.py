"""Adapter to gsplat (https://github.com/nerfstudio-project/gsplat, Apache-2.0, version 1.5 or later) on
NVIDIA cards.

gsplat's ``rasterization`` hides the projected centres, whose gradient densification needs, so its public
parts are called one after another: projection, tile lists, blending. Its thresholds are the rules of
``render.gaussians.reference``; its radii are bounds of 3.33 standard deviations or so, not of 1/255.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from render.camera import Cameras
from render.errors import MissingExtraError
from render.gaussians.record import GaussianRendering, Gaussians, ScreenStatistics
from render.gaussians.reference import DILATION, NEAR
from render.gaussians.spherical_harmonics import rgb_from_sh

TILE = 16


def rasterize(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Float[Tensor, "rgb=3"] | None,
    screen_offsets: Float[Tensor, "c n 2"] | None,
) -> GaussianRendering:
    """As ``rasterize_gaussians``, by gsplat; everything must be on one CUDA device.

    Raises:
        MissingExtraError: gsplat is not installed.
    """
    gsplat = _gsplat()
    opacities = torch.sigmoid(gaussians.logit_opacities)
    rgb = rgb_from_sh(gaussians.sh, gaussians.means, cameras.centers())
    width, height, count = cameras.width, cameras.height, len(cameras)
    radii, means2d, depths, conics, _ = gsplat.fully_fused_projection(
        gaussians.means,
        None,
        gaussians.quats,
        torch.exp(gaussians.log_scales),
        cameras.viewmats,
        cameras.Ks,
        width,
        height,
        eps2d=DILATION,
        near_plane=NEAR,
    )
    if screen_offsets is not None:
        means2d = means2d + screen_offsets
    columns, rows = -(-width // TILE), -(-height // TILE)
    _, ids, order = gsplat.isect_tiles(means2d, radii, depths, TILE, columns, rows)
    images, alpha = gsplat.rasterize_to_pixels(
        means2d,
        conics,
        torch.cat([rgb, depths[..., None]], dim=-1),
        opacities.expand(count, -1),
        width,
        height,
        TILE,
        gsplat.isect_offset_encode(ids, count, columns, rows),
        order,
        backgrounds=_backgrounds(background, gaussians.means, count),
    )
    half = radii.amax(-1) if radii.ndim == 3 else radii
    statistics = ScreenStatistics(half.to(gaussians.means.dtype))
    return GaussianRendering(images[..., :3], alpha[..., 0], images[..., 3], statistics)


def _backgrounds(background: Tensor | None, like: Tensor, count: int) -> Tensor:
    """Colour behind every image, and depth zero."""
    rgb = like.new_zeros(3) if background is None else background
    return torch.cat([rgb, rgb.new_zeros(1)]).expand(count, 4).contiguous()


def _gsplat() -> Any:
    try:
        import gsplat
    except ImportError as error:
        raise MissingExtraError(
            "the cuda backend of rasterize_gaussians needs gsplat, which is not installed",
            expected="gsplat 1.5 or later",
            remedy="pip install 'simulacra[cuda]', or backend='cpu'",
        ) from error
    return gsplat
