"""The readable Gaussian rasterizer, oracle of the others: dense torch, any float type, gradients by autograd.

Symbols: ``n`` Gaussians, ``c`` cameras, ``p = h w`` pixels. Every pixel looks at every Gaussian, so memory is
``p n`` numbers a few times over: small scenes only.

The rules, which every backend keeps (Kerbl et al. 2023, Zwicker et al. 2002; thresholds as gsplat has them):

1. A Gaussian is drawn if its centre lies beyond ``NEAR`` along the camera axis and its opacity reaches
   ``ALPHA_MIN``.
2. Its covariance ``R S S R^T`` goes to the screen through the Jacobian of the perspective at its centre,
   taken no further than ``JACOBIAN_MARGIN`` of the half image beyond the image's edge; ``eps2d`` px^2
   (``DILATION``, if not given) is added to the diagonal. Should the determinant exceed
   ``MAX_DETERMINANT``, the Gaussian is not drawn.
   In mode ``antialiased`` the opacity is multiplied by the root of the ratio of the determinants without and
   with the dilation (Yu et al. 2024, "Mip-Splatting"; gsplat's mode of that name), so that its sum over the
   image stays what it was; rules 1 and 3 then look at the product.
3. ``alpha = min(ALPHA_MAX, opacity exp(-d^T C^-1 d / 2))`` at pixel centres; below ``ALPHA_MIN`` it is
   nothing.
4. Front to back in order of centre depth, ties in order of index: ``w = alpha T``, ``T <- T (1 - alpha)``.
   A pixel stops before the Gaussian that would bring T to ``TRANSMITTANCE_MIN`` or less.
5. The median depth of a pixel is the centre depth of the first Gaussian that brings T to ``MEDIAN`` or less,
   and 0 where there is none. Its gradient is that Gaussian's: which one it is does not move.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians.record import Extra, FeatureRendering, Gaussians, Mode, ScreenStatistics
from simulacra.render.rotation import quat_to_matrix

NEAR = 0.01  # metres
DILATION = 0.3  # px^2: a Gaussian is never thinner than a pixel can show
ALPHA_MIN = 1.0 / 255.0
ALPHA_MAX = 0.999  # keeps 1 - alpha invertible
TRANSMITTANCE_MIN = 1e-4
JACOBIAN_MARGIN = 0.3
MEDIAN = 0.5  # of the transmittance
MAX_DETERMINANT = 1e30  # px^4; float32 would overflow soon after


@dataclass(frozen=True)
class ScreenGaussians:
    """Gaussians as one camera sees them: centres px, covariances px^2, depth metres, opacity (compensated
    where the mode asks for it), drawn or not.
    """

    means: Float[Tensor, "n 2"]
    covariances: Float[Tensor, "n 2 2"]
    depths: Float[Tensor, " n"]
    opacities: Float[Tensor, " n"]
    drawn: Bool[Tensor, " n"]


def project(
    gaussians: Gaussians,
    viewmat: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
    mode: Mode = "classic",
    eps2d: float = DILATION,
) -> ScreenGaussians:
    """Rules 1 and 2: centres and covariances in the image of one camera."""
    rotation = viewmat[:3, :3]
    local = gaussians.means @ rotation.T + viewmat[:3, 3]
    in_front = local[:, 2] > NEAR
    x, y, z = torch.where(in_front[:, None], local, local.new_tensor([0.0, 0.0, 1.0])).unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    margin_x, margin_y = JACOBIAN_MARGIN * 0.5 * width / fx, JACOBIAN_MARGIN * 0.5 * height / fy
    u = (x / z).clamp(-cx / fx - margin_x, (width - cx) / fx + margin_x)
    v = (y / z).clamp(-cy / fy - margin_y, (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * u / z, zero, fy / z, -fy * v / z], -1).unflatten(-1, (2, 3))
    scales = torch.exp(gaussians.log_scales)
    axes = jacobian @ rotation @ (quat_to_matrix(gaussians.quats) * scales[:, None, :])
    dilation = eps2d * torch.eye(2, dtype=axes.dtype, device=axes.device)
    covariances = axes @ axes.transpose(1, 2) + dilation
    determinants = torch.linalg.det(covariances)
    opacities = torch.sigmoid(gaussians.logit_opacities)
    if mode == "antialiased":
        opacities = opacities * _compensations(axes, determinants)
    drawn = in_front & (determinants < MAX_DETERMINANT) & (opacities >= ALPHA_MIN)
    centres = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    return ScreenGaussians(centres, covariances, torch.where(in_front, z, local[:, 2]), opacities, drawn)


def _compensations(axes: Float[Tensor, "n 2 3"], dilated: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Root of the determinant of ``axes axes^T`` (by Lagrange's identity, which cannot cancel) over the
    dilated one; 0, without a gradient, for a Gaussian that is a line or a point.
    """
    ratio = torch.linalg.cross(axes[:, 0], axes[:, 1]).square().sum(-1) / dilated
    some = ratio > 0
    return torch.where(some, torch.where(some, ratio, 1).sqrt(), 0)


def radii(screen: ScreenGaussians, width: int, height: int) -> Float[Tensor, " n"]:
    """Half the longer side of the box in which alpha may reach ALPHA_MIN; 0 if no pixel centre of the
    image is in it.
    """
    reach = (2 * torch.log(screen.opacities / ALPHA_MIN).clamp(min=0)).sqrt()
    half = reach[:, None] * torch.diagonal(screen.covariances, dim1=1, dim2=2).sqrt()
    first = torch.ceil(screen.means - half - 0.5).clamp(min=0)
    last = torch.minimum(torch.floor(screen.means + half - 0.5), half.new_tensor([width - 1, height - 1]))
    seen = screen.drawn & (last >= first).all(-1)
    return torch.where(seen, half.amax(-1), torch.zeros_like(reach))


def pixel_alphas(screen: ScreenGaussians, width: int, height: int) -> Float[Tensor, "p n"]:
    """Rule 3: what each Gaussian by itself covers of each pixel, rows first."""
    means, identity = screen.means, torch.eye(2).to(screen.means)
    y, x = torch.meshgrid(torch.arange(height).to(means), torch.arange(width).to(means), indexing="ij")
    offset = torch.stack([x, y], -1).reshape(-1, 1, 2) + 0.5 - means
    covariances = torch.where(screen.drawn[:, None, None], screen.covariances, identity)
    mahalanobis = torch.einsum("pni,nij,pnj->pn", offset, torch.linalg.inv(covariances), offset)
    alphas = (screen.opacities * torch.exp(-0.5 * mahalanobis)).clamp(max=ALPHA_MAX)
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


def median_depths(alphas: Float[Tensor, "p n"], depths: Float[Tensor, " n"]) -> Float[Tensor, " p"]:
    """Rule 5 for alphas and depths already in order."""
    if not alphas.shape[1]:
        return depths.new_zeros(len(alphas))
    passed = torch.cumprod(1 - alphas, dim=1) <= MEDIAN
    return torch.where(passed.any(1), depths[passed.int().argmax(1)], 0)


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
    """Images of all cameras, of colors or any other features of the Gaussians; ``gaussians.sh`` is not
    looked at.
    """
    size = (cameras.width, cameras.height)
    views = []
    for i in range(len(cameras)):
        screen = project(gaussians, cameras.viewmats[i], cameras.Ks[i], *size, mode, eps2d)
        if screen_offsets is not None:
            screen = replace(screen, means=screen.means + screen_offsets[i])
        order = depth_order(screen.depths)
        alphas = pixel_alphas(screen, *size)[:, order]
        weights, left = blend_weights(alphas)
        blended = weights @ features[i][order] + left[:, None] * background
        depth = weights @ screen.depths[order]
        median = median_depths(alphas, screen.depths[order])
        with torch.no_grad():
            back = torch.argsort(order)
            most = weights.amax(0) if len(order) else weights.sum(0)
            measured = (radii(screen, *size), weights.sum(0)[back], most[back])
        views.append((blended, 1 - left, depth, median, *measured))
    images = [torch.stack(parts) for parts in zip(*views)]
    blended, alpha, depth, median = (part.unflatten(1, size[::-1]) for part in images[:4])
    statistics = ScreenStatistics(images[4], *(images[5:] if "weights" in also else ()))
    return FeatureRendering(blended, alpha, depth, statistics, median if "median_depth" in also else None)
