"""What a training step pays for: the difference to a photograph, and what keeps Gaussians a surface.

Both run in Numba kernels (`losses_cpu.py`) on float32 tensors of the CPU; the functions ending in `_reference` are the
same in plain torch, for other types and devices and as the twins that the kernels are tested against.

Symbols: ``n`` Gaussians, ``k`` neighbours, ``h w`` the window around the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar import losses_cpu
from simulacra.recon.avatar.losses_cpu import FAR_DEPTH_M, LEAST_ALPHA
from simulacra.recon.avatar.settings import LossWeights
from simulacra.recon.avatar.views import TrainingView
from simulacra.recon.perception import ssim_cpu
from simulacra.recon.perception.ssim import ssim
from simulacra.render.gaussians import GaussianRendering, Gaussians

TERMS = ("l1", "ssim", "mask", "depth")


@dataclass(frozen=True)
class ColorMatch:
    """How a camera's colors differ from the avatar's: drawn colors are multiplied by exp(gain), then shifted."""

    gain: Float[Tensor, "3"]
    shift: Float[Tensor, "3"]


def photometric(
    rendering: GaussianRendering,
    view: TrainingView,
    match: ColorMatch,
    background: Float[Tensor, "3"],
    weights: LossWeights,
) -> Float[Tensor, "terms=4"]:
    """The weighted terms `TERMS` that compare a drawing over no background with its photograph.

    Colors are compared over the same background, coverage with the mask, and expected depth with measured depth where
    the drawing is opaque enough to have one. Differentiable in the rendering and in the color match.
    """
    drawn = (rendering.rgb_premul[0], rendering.alpha[0], rendering.depth[0])
    if drawn[0].dtype != torch.float32 or drawn[0].device.type != "cpu":
        return photometric_reference(rendering, view, match, background, weights)
    terms: Tensor = _Photometric.apply(*drawn, match.gain, match.shift, background, view, weights)
    return terms


def photometric_reference(
    rendering: GaussianRendering,
    view: TrainingView,
    match: ColorMatch,
    background: Float[Tensor, "3"],
    weights: LossWeights,
) -> Float[Tensor, "terms=4"]:
    """`photometric` in plain torch."""
    rgb, alpha, depth = rendering.rgb_premul[0], rendering.alpha[0], rendering.depth[0]
    ours = rgb * torch.exp(match.gain) + alpha[..., None] * match.shift + (1 - alpha)[..., None] * background
    theirs = view.rgb + (1 - view.mask)[..., None] * background
    zero = ours.new_zeros(())
    similar = weights.ssim * (1 - ssim(ours, theirs)) if weights.ssim else zero
    far = zero
    if weights.depth and view.depth is not None and view.measured is not None:
        known = view.measured & (alpha.detach() > LEAST_ALPHA)
        if known.any():
            error = (depth[known] / alpha[known] - view.depth[known]).abs()
            far = weights.depth * error.clamp(max=FAR_DEPTH_M).mean()
    l1 = weights.l1 * (ours - theirs).abs().mean()
    return torch.stack([l1, similar, weights.mask * (alpha - view.mask).abs().mean(), far])


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rgb: Tensor,
        alpha: Tensor,
        depth: Tensor,
        gain: Tensor,
        shift: Tensor,
        background: Tensor,
        view: TrainingView,
        weights: LossWeights,
    ) -> Tensor:
        images = [t.detach().contiguous().numpy() for t in (rgb, alpha, depth)]
        known = _known_depth(view, bool(weights.depth))
        photograph = [t.contiguous().numpy() for t in (view.rgb, view.mask)] + [known]
        colors = [t.detach().numpy() for t in (torch.exp(gain.detach()), shift, background)]
        ours, theirs, sums = losses_cpu.compare(images, photograph, colors)
        score, similarity = 1.0, None
        if weights.ssim:
            score, similarity = ssim_cpu.score_and_gradient(ours, theirs, True)
        pixels, measured = alpha.numel(), max(sums[3], 1.0)
        ctx.of_pixel = (
            weights.l1 / (3 * pixels),
            -weights.ssim,
            weights.mask / pixels,
            weights.depth / measured,
        )
        ctx.pictures = losses_cpu.Pictures(images, photograph, colors, ours, theirs)
        ctx.similarity, ctx.measured = similarity, sums[3] > 0
        l1, mask, far = (
            weights.l1 * sums[0] / (3 * pixels),
            weights.mask * sums[1] / pixels,
            sums[2] / measured,
        )
        return alpha.new_tensor([l1, weights.ssim * (1 - score), mask, weights.depth * far])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scales = upstream.numpy() * np.asarray(ctx.of_pixel, np.float32)
        gradients = [
            torch.from_numpy(g) for g in losses_cpu.compare_backward(ctx.pictures, ctx.similarity, scales)
        ]
        # The rasterizer leaves depth out of its backward pass where no gradient comes for it.
        of_depth = gradients[2] if ctx.measured else None
        return *gradients[:2], of_depth, *gradients[3:], None, None, None


def _known_depth(view: TrainingView, wanted: bool) -> np.ndarray:
    """Measured depth with zero where there is none."""
    if not wanted or view.depth is None or view.measured is None:
        return np.zeros(view.mask.shape, np.float32)
    return torch.where(view.measured, view.depth, 0).numpy()


@dataclass(frozen=True)
class Order:
    """What Gaussians are held to: where each was made, its neighbours there, and the greatest length (metres)."""

    anchors: Float[Tensor, "n 3"]
    near: Int[Tensor, "n k"]
    largest: float


def regularity(gaussians: Gaussians, order: Order, weights: LossWeights) -> Float[Tensor, ""]:
    """What keeps Gaussians a surface: neighbours move alike, none strays or grows large. See `LossWeights`."""
    if gaussians.means.dtype != torch.float32 or gaussians.means.device.type != "cpu":
        return regularity_reference(gaussians, order, weights)
    cost: Tensor = _Regularity.apply(gaussians.means, gaussians.log_scales, order, weights)
    return cost


def regularity_reference(gaussians: Gaussians, order: Order, weights: LossWeights) -> Float[Tensor, ""]:
    """`regularity` in plain torch."""
    moved_cm = 100 * (gaussians.means - order.anchors)
    apart = moved_cm - moved_cm[order.near].mean(1)
    too_long = torch.relu(gaussians.log_scales - float(np.log(order.largest)))
    return (
        weights.smooth * apart.square().sum(-1).mean()
        + weights.stay * moved_cm.square().sum(-1).mean()
        + weights.size * too_long.sum(-1).mean()
    )


class _Regularity(torch.autograd.Function):
    """Quadratic or linear: the gradient is made together with the cost."""

    @staticmethod
    def forward(ctx: Any, means: Tensor, log_scales: Tensor, order: Order, weights: LossWeights) -> Tensor:
        placed, sizes, anchors, near = (
            t.detach().contiguous().numpy() for t in (means, log_scales, order.anchors, order.near)
        )
        strengths = (float(np.log(order.largest)), weights.smooth, weights.stay, weights.size)
        cost, *ctx.gradients = losses_cpu.regularity(placed, sizes, anchors, near, *strengths)
        return means.new_tensor(cost)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        of_means, of_scales = (torch.from_numpy(g) * upstream for g in ctx.gradients)
        return of_means, of_scales, None, None
