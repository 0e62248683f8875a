"""Adapter to gsplat (https://github.com/nerfstudio-project/gsplat, Apache-2.0, version 1.5.3 or later) on
NVIDIA cards.

gsplat's ``rasterization`` hides the projected centres, whose gradient densification needs, so its public
parts are called one after another: projection, tile lists, blending. Its thresholds are the rules of
``render.gaussians.reference``; its radii are whole pixels, and at most 3.33 standard deviations. It has
neither median depths nor per-Gaussian weights.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import reference
from simulacra.render.gaussians.record import Extra, FeatureRendering, Gaussians, Mode, ScreenStatistics
from simulacra.render.gaussians.reference import NEAR
from simulacra.render.runtime.errors import MissingExtraError

TILE = 16


def rasterize(
    gaussians: Gaussians,
    cameras: Cameras,
    features: Float[Tensor, "c n f"],
    background: Float[Tensor, " f"],
    screen_offsets: Float[Tensor, "c n 2"] | None,
    mode: Mode,
    eps2d: float,
    also: Collection[Extra],
) -> FeatureRendering:
    """Images of all cameras, of colors or any other features of the Gaussians, by gsplat; everything must be
    on one CUDA device.

    Raises:
        MissingExtraError: gsplat is not installed.
        ValueError: something is to be measured that gsplat does not have.
    """
    gsplat = _gsplat()
    if also:
        raise ValueError(
            f"the cuda backend cannot measure {', '.join(sorted(also))}: gsplat does not; use cpu"
        )
    if not len(gaussians):  # kernels are not launched for nothing
        return reference.rasterize(
            gaussians, cameras, features, background, screen_offsets, mode, eps2d, also
        )
    opacities = torch.sigmoid(gaussians.logit_opacities)
    width, height, count = cameras.width, cameras.height, len(cameras)
    radii, means2d, depths, conics, compensations = gsplat.fully_fused_projection(
        gaussians.means,
        None,
        gaussians.quats,
        torch.exp(gaussians.log_scales),
        cameras.viewmats,
        cameras.Ks,
        width,
        height,
        eps2d=eps2d,
        near_plane=NEAR,
        calc_compensations=mode == "antialiased",
        opacities=opacities.detach(),  # for tighter boxes
    )
    opacities = opacities.expand(count, -1)
    if compensations is not None:
        # What gsplat leaves in the rows of Gaussians that are not drawn is nobody's business.
        opacities = opacities * torch.where((radii > 0).all(-1), compensations, 0)
    if screen_offsets is not None:
        means2d = means2d + screen_offsets
    columns, rows = -(-width // TILE), -(-height // TILE)
    _, ids, order = gsplat.isect_tiles(means2d.detach(), radii, depths.detach(), TILE, columns, rows)
    images, alpha = gsplat.rasterize_to_pixels(
        means2d,
        conics,
        torch.cat([features, depths[..., None]], dim=-1),
        opacities.contiguous(),
        width,
        height,
        TILE,
        gsplat.isect_offset_encode(ids, count, columns, rows),
        order,
        backgrounds=torch.cat([background, background.new_zeros(1)]).expand(count, -1).contiguous(),
    )
    statistics = ScreenStatistics(radii.amax(-1).to(gaussians.means.dtype))
    return FeatureRendering(images[..., :-1], alpha[..., 0], images[..., -1], statistics)


def require_card(device: torch.device) -> None:
    """Refuses to draw what lies on no card.

    Raises:
        MissingExtraError: gsplat is not installed.
        ValueError: it lies on another device.
    """
    _gsplat()
    if device.type != "cuda":
        here = (
            "move Gaussians and cameras there (.to('cuda'))"
            if torch.cuda.is_available()
            else "torch sees none here"
        )
        raise ValueError(
            f"the cuda backend draws what lies on an NVIDIA card, and this lies on {device}: {here}, "
            "or take backend='cpu'"
        )


def _gsplat() -> Any:
    try:
        import gsplat
    except ImportError as error:
        raise MissingExtraError(
            "the cuda backend of rasterize_gaussians needs gsplat, which is not installed",
            expected="gsplat 1.5.3 or later",
            remedy="pip install 'simulacra[cuda]', or backend='cpu'",
        ) from error
    return gsplat
