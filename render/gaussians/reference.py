"""The readable Gaussian rasterizer, oracle of the others: dense torch, any float type, gradients by autograd.

Symbols: ``n`` Gaussians, ``c`` cameras, ``p = h w`` pixels. Every pixel looks at every Gaussian, so memory is
``p n`` numbers a few times over: small scenes only.

The rules, which every backend keeps (Kerbl et al. 2023, Zwicker et al. 2002; thresholds as gsplat has them):

1. A Gaussian is drawn if its centre lies beyond ``NEAR`` along the camera axis and its opacity reaches
   ``ALPHA_MIN``.
2. Its covariance ``R S S R^T`` goes to the screen through the Jacobian of the perspective at its centre,
   taken no further than ``JACOBIAN_MARGIN`` of the half image beyond the image's edge; ``DILATION`` px^2 is
   added to the diagonal. Should the determinant exceed ``MAX_DETERMINANT``, the Gaussian is not drawn.
3. ``alpha = min(ALPHA_MAX, opacity exp(-d^T C^-1 d / 2))`` at pixel centres; below ``ALPHA_MIN`` it is
   nothing.
4. Front to back in order of centre depth, ties in order of index: ``w = alpha T``, ``T <- T (1 - alpha)``.
   A pixel stops before the Gaussian that would bring T to ``TRANSMITTANCE_MIN`` or less.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from render.rotation import quat_to_matrix

NEAR = 0.01  # metres
DILATION = 0.3  # px^2: a Gaussian is never thinner than a pixel can show
ALPHA_MIN = 1.0 / 255.0
ALPHA_MAX = 0.999  # keeps 1 - alpha invertible
TRANSMITTANCE_MIN = 1e-4
JACOBIAN_MARGIN = 0.3
MAX_DETERMINANT = 1e30  # px^4; float32 would overflow soon after


@dataclass(frozen=True)
class ScreenGaussians:
    """Gaussians as one camera sees them: centres px, covariances px^2, depth metres, drawn or not."""

    means: Float[Tensor, "n 2"]
    covariances: Float[Tensor, "n 2 2"]
    depths: Float[Tensor, " n"]
    drawn: Bool[Tensor, " n"]


def project(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    viewmat: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> ScreenGaussians:
    """Rules 1 and 2: centres and covariances in the image of one camera."""
    rotation = viewmat[:3, :3]
    local = means @ rotation.T + viewmat[:3, 3]
    in_front = local[:, 2] > NEAR
    x, y, z = torch.where(in_front[:, None], local, local.new_tensor([0.0, 0.0, 1.0])).unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    margin_x, margin_y = JACOBIAN_MARGIN * 0.5 * width / fx, JACOBIAN_MARGIN * 0.5 * height / fy
    u = (x / z).clamp(-cx / fx - margin_x, (width - cx) / fx + margin_x)
    v = (y / z).clamp(-cy / fy - margin_y, (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * u / z, zero, fy / z, -fy * v / z], -1).unflatten(-1, (2, 3))
    axes = jacobian @ rotation @ (quat_to_matrix(quats) * scales[:, None, :])
    dilation = DILATION * torch.eye(2, dtype=means.dtype, device=means.device)
    covariances = axes @ axes.transpose(1, 2) + dilation
    bounded = torch.linalg.det(covariances) < MAX_DETERMINANT
    drawn = in_front & bounded & (opacities >= ALPHA_MIN)
    centres = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    return ScreenGaussians(centres, covariances, torch.where(in_front, z, local[:, 2]), drawn)


def radii(
    screen: ScreenGaussians, opacities: Float[Tensor, " n"], width: int, height: int
) -> Float[Tensor, " n"]:
    """Half the longer side of the box in which alpha may reach ALPHA_MIN; 0 if no pixel centre of the
    image is in it.
    """
    reach = (2 * torch.log(opacities / ALPHA_MIN).clamp(min=0)).sqrt()
    half = reach[:, None] * torch.diagonal(screen.covariances, dim1=1, dim2=2).sqrt()
    first = torch.ceil(screen.means - half - 0.5).clamp(min=0)
    last = torch.minimum(torch.floor(screen.means + half - 0.5), half.new_tensor([width - 1, height - 1]))
    seen = screen.drawn & (last >= first).all(-1)
    return torch.where(seen, half.amax(-1), torch.zeros_like(reach))


def pixel_alphas(
    screen: ScreenGaussians, opacities: Float[Tensor, " n"], width: int, height: int
) -> Float[Tensor, "p n"]:
    """Rule 3: what each Gaussian by itself covers of each pixel, rows first."""
    means, identity = screen.means, torch.eye(2).to(screen.means)
    y, x = torch.meshgrid(torch.arange(height).to(means), torch.arange(width).to(means), indexing="ij")
    offset = torch.stack([x, y], -1).reshape(-1, 1, 2) + 0.5 - means
    covariances = torch.where(screen.drawn[:, None, None], screen.covariances, identity)
    mahalanobis = torch.einsum("pni,nij,pnj->pn", offset, torch.linalg.inv(covariances), offset)
    alphas = (opacities * torch.exp(-0.5 * mahalanobis)).clamp(max=ALPHA_MAX)
    return torch.where((alphas >= ALPHA_MIN) & screen.drawn, alphas, torch.zeros_like(alphas))


def blend_weights(alphas: Float[Tensor, "p n"]) -> tuple[Float[Tensor, "p n"], Float[Tensor, " p"]]:
    """Rule 4 for alphas already in depth order: weight of every Gaussian, and the transmittance that is
    left.
    """
    running = torch.cumprod(1 - alphas, dim=1)
    alphas = alphas * (running > TRANSMITTANCE_MIN)
    after = torch.cumprod(1 - alphas, dim=1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=1)
    left = after[:, -1] if after.shape[1] else after.new_ones(after.shape[0])
    return alphas * before[:, : alphas.shape[1]], left


def depth_order(depths: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Indices from near to far, ties in order of index."""
    return torch.argsort(depths.detach(), stable=True)


def rasterize(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    log_opacities: Float[Tensor, " n"],
    rgb: Float[Tensor, "c n 3"],
    viewmats: Float[Tensor, "c 4 4"],
    Ks: Float[Tensor, "c 3 3"],
    width: int,
    height: int,
    background: Float[Tensor, "rgb=3"],
    screen_offsets: Float[Tensor, "c n 2"] | None,
) -> tuple[Float[Tensor, "c h w 3"], Float[Tensor, "c h w"], Float[Tensor, "c h w"], Float[Tensor, "c n"]]:
    """Images of all cameras: colour over the background, alpha, accumulated depth; and radii on the
    screen.
    """
    opacities = log_opacities.exp()
    images = []
    for i in range(len(viewmats)):
        screen = project(means, quats, scales, opacities, viewmats[i], Ks[i], width, height)
        if screen_offsets is not None:
            screen = ScreenGaussians(
                screen.means + screen_offsets[i], screen.covariances, screen.depths, screen.drawn
            )
        order = depth_order(screen.depths)
        alphas = pixel_alphas(screen, opacities, width, height)[:, order]
        weights, left = blend_weights(alphas)
        colour = weights @ rgb[i][order] + left[:, None] * background
        depth = weights @ screen.depths[order]
        shape = (height, width)
        with torch.no_grad():
            extent = radii(screen, opacities, width, height)
        images.append((colour.view(*shape, 3), (1 - left).view(shape), depth.view(shape), extent))
    rgb_image, alpha, depth, extent = (torch.stack(parts) for parts in zip(*images))
    return rgb_image, alpha, depth, extent
