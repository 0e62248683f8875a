"""What a training step pays for: the difference to a photograph, and what keeps Gaussians a surface.

A loss is a name, a weight and a pure function of what was drawn and of the view; a training has a list of them, and
whoever trains may append his own. The functions are plain torch, for any type and device. On float32 tensors of the CPU
`evaluate_losses` takes those that it knows from Numba kernels (`losses_cpu.py`), which are tested against them.

Symbols: ``n`` Gaussians, ``k`` neighbours, ``h w`` the window around the person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from simulacra.recon.perception.l1 import l1
from simulacra.recon.perception.ssim import ssim
from simulacra.render.figure import Rendered
from simulacra.render.gaussians import GaussianRendering, Gaussians


@dataclass(frozen=True)
class ColorMatch:
    """How a camera's colors differ from the avatar's: drawn colors are multiplied by exp(gain), then shifted."""

    gain: Float[Tensor, "3"]
    shift: Float[Tensor, "3"]


@dataclass(frozen=True)
class SurfacePrior:
    """What Gaussians are held to.

    Attributes:
        anchors: where each was made, metres, at rest.
        near: indices of its neighbours there.
        largest: the greatest length, metres.
    """

    anchors: Float[Tensor, "n 3"]
    near: Int[Tensor, "n k"]
    largest: float


class Shown:
    """What a step has drawn, whatever it is made of: all that the photometric losses look at.

    Attributes:
        rendering: of one camera, over no background.
        match: the colors of the view's camera.
        background: the color behind drawing and photograph in this step.
        step: which one it is, from 0.
    """

    rendering: Rendered
    match: ColorMatch
    background: Float[Tensor, "3"]
    step: int

    @cached_property
    def rgb(self) -> Float[Tensor, "h w 3"]:
        """The picture in the camera's colors, over the background."""
        cover, behind = self.alpha[..., None], (1 - self.alpha)[..., None] * self.background
        return self.rendering.rgb_premul[0] * torch.exp(self.match.gain) + cover * self.match.shift + behind

    @property
    def alpha(self) -> Float[Tensor, "h w"]:
        """Coverage, 0..1."""
        return self.rendering.alpha[0]

    @property
    def depth(self) -> Float[Tensor, "h w"]:
        """Camera z in metres times alpha."""
        return self.rendering.depth[0]


@dataclass(frozen=True)
class Drawing(Shown):
    """What a step has drawn of Gaussians.

    Attributes:
        rendering: of one camera, over no background.
        gaussians: the parameters, where they are kept: at rest for an avatar.
        prior: what they are held to.
        match: the colors of the view's camera.
        background: the color behind drawing and photograph in this step.
        screen_offsets: zeros whose gradient densification asks for; None where nothing is densified.
        strain: how far poses were corrected, in the fit's own uncertainty; None where they are not.
        step: which one it is, from 0.
    """

    rendering: GaussianRendering
    gaussians: Gaussians
    prior: SurfacePrior
    match: ColorMatch
    background: Float[Tensor, "3"]
    screen_offsets: Float[Tensor, "1 n 2"] | None = None
    strain: Float[Tensor, ""] | None = None
    step: int = 0


@dataclass(frozen=True)
class Loss:
    """One thing that a step pays for.

    Attributes:
        name: its column in the log of losses.
        weight: what its value is multiplied by; with 0 it is not evaluated.
        value: a pure function of what was drawn (a `Shown`; a `Drawing` of Gaussians) and of the view, that returns a
            scalar, differentiable in what was drawn.
    """

    name: str
    weight: float
    value: Callable[[Any, TrainingView], Tensor]


def l1_loss(drawn: Shown, view: TrainingView) -> Float[Tensor, ""]:
    """Mean absolute difference of color, both over the same background."""
    return l1(drawn.rgb, view.over(drawn.background))


def ssim_loss(drawn: Shown, view: TrainingView) -> Float[Tensor, ""]:
    """One minus structural similarity, both over the same background."""
    return 1 - ssim(drawn.rgb, view.over(drawn.background))


def mask_loss(drawn: Shown, view: TrainingView) -> Float[Tensor, ""]:
    """Mean absolute difference of coverage and mask."""
    return l1(drawn.alpha, view.mask)


def depth_loss(drawn: Shown, view: TrainingView) -> Float[Tensor, ""]:
    """Mean absolute error of expected depth in metres, at most `FAR_DEPTH_M` a pixel, where depth was measured and the
    drawing is opaque enough to have one; 0 where no pixel is.
    """
    if view.depth is None or view.measured is None:
        return drawn.alpha.new_zeros(())
    known = view.measured & (drawn.alpha.detach() > LEAST_ALPHA)
    if not known.any():
        return drawn.alpha.new_zeros(())
    error = (drawn.depth[known] / drawn.alpha[known] - view.depth[known]).abs()
    return error.clamp(max=FAR_DEPTH_M).mean()


def pose_loss(drawn: Drawing, _: TrainingView) -> Float[Tensor, ""]:
    """How far the pose was corrected, in the fit's own uncertainty; 0 where it is the fit's."""
    return drawn.alpha.new_zeros(()) if drawn.strain is None else drawn.strain


def photometric_losses(weights: LossWeights) -> tuple[Loss, ...]:
    """What everything is trained by that has a picture, a coverage and a depth."""
    return (
        Loss("l1", weights.l1, l1_loss),
        Loss("ssim", weights.ssim, ssim_loss),
        Loss("mask", weights.mask, mask_loss),
        Loss("depth", weights.depth, depth_loss),
    )


def gaussian_losses(weights: LossWeights) -> tuple[Loss, ...]:
    """What Gaussians are trained by unless somebody says otherwise."""
    return (
        *photometric_losses(weights),
        Loss("regularity", 1.0, lambda drawn, _: regularity(drawn.gaussians, drawn.prior, weights)),
    )


# What one kernel computes together, in its order.
PHOTOMETRIC = (l1_loss, ssim_loss, mask_loss, depth_loss)


def evaluate_losses(losses: Sequence[Loss], drawn: Shown, view: TrainingView) -> dict[str, Tensor]:
    """The weighted value of each loss, by name and in their order.

    Raises:
        ValueError: two losses of one name.
    """
    if len({loss.name for loss in losses} | {"step", "total"}) < len(losses) + 2:
        raise ValueError(f"losses need names of their own: {[loss.name for loss in losses]}")
    values: dict[str, Tensor] = {}
    if drawn.alpha.dtype == torch.float32 and drawn.alpha.device.type == "cpu":
        values = _evaluate_together(losses, drawn, view)
    for loss in losses:
        if loss.name not in values:
            zero = drawn.alpha.new_zeros(())
            values[loss.name] = loss.weight * loss.value(drawn, view) if loss.weight else zero
    return {loss.name: values[loss.name] for loss in losses}


def _evaluate_together(losses: Sequence[Loss], drawn: Shown, view: TrainingView) -> dict[str, Tensor]:
    """Those of `PHOTOMETRIC` that are among the losses, in one pass over the pixels."""
    known = [loss for loss in losses if loss.value in PHOTOMETRIC]
    first = {loss.value: loss for loss in reversed(known)}
    if not first:
        return {}
    weights = tuple(first[value].weight if value in first else 0.0 for value in PHOTOMETRIC)
    rendering, match = drawn.rendering, drawn.match
    images = rendering.rgb_premul[0], rendering.alpha[0], rendering.depth[0]
    terms = _Photometric.apply(*images, match.gain, match.shift, drawn.background, view, weights).unbind()
    return {first[value].name: term for value, term in zip(PHOTOMETRIC, terms) if value in first}


class _Photometric(torch.autograd.Function):
    """The weighted values of `PHOTOMETRIC`."""

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
        weights: tuple[float, ...],
    ) -> Tensor:
        of_l1, of_ssim, of_mask, of_depth = weights
        images = tuple(t.detach().contiguous().numpy() for t in (rgb, alpha, depth))
        photograph = tuple(t.contiguous().numpy() for t in (view.rgb, view.mask))
        photograph += (_known_depth(view, bool(of_depth)),)
        colors = tuple(t.detach().numpy() for t in (torch.exp(gain.detach()), shift, background))
        ours, theirs, sums = losses_cpu.compare(images, photograph, colors)
        score, similarity = 1.0, None
        if of_ssim:
            score, similarity = ssim_cpu.score_and_gradient(ours, theirs, True)
        pixels, measured = alpha.numel(), max(sums[3], 1.0)
        ctx.of_pixel = (of_l1 / (3 * pixels), -of_ssim, of_mask / pixels, of_depth / measured)
        ctx.pictures = losses_cpu.ComparedImages(images, photograph, colors, ours, theirs)
        ctx.similarity, ctx.measured = similarity, sums[3] > 0
        l1, mask, far = of_l1 * sums[0] / (3 * pixels), of_mask * sums[1] / pixels, sums[2] / measured
        return alpha.new_tensor([l1, of_ssim * (1 - score), mask, of_depth * far])

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


def regularity(gaussians: Gaussians, prior: SurfacePrior, weights: LossWeights) -> Float[Tensor, ""]:
    """What keeps Gaussians a surface: neighbours move alike, none strays or grows large. See `LossWeights`.

    A Numba kernel for float32 on the CPU, `regularity_reference` for other types and devices.
    """
    if gaussians.means.dtype != torch.float32 or gaussians.means.device.type != "cpu":
        return regularity_reference(gaussians, prior, weights)
    cost: Tensor = _Regularity.apply(gaussians.means, gaussians.log_scales, prior, weights)
    return cost


def offset_regularity(
    places: Float[Tensor, "n 3"], prior: SurfacePrior, weights: LossWeights
) -> Float[Tensor, ""]:
    """`regularity` of points that have no size."""
    none = torch.full_like(places, -100.0).detach()  # the logarithm of nothing
    cost: Tensor = _Regularity.apply(places, none, prior, weights)
    return cost


def regularity_reference(
    gaussians: Gaussians, prior: SurfacePrior, weights: LossWeights
) -> Float[Tensor, ""]:
    """`regularity` in plain torch."""
    moved_cm = 100 * (gaussians.means - prior.anchors)
    apart = moved_cm - moved_cm[prior.near].mean(1)
    too_long = torch.relu(gaussians.log_scales - float(np.log(prior.largest)))
    return (
        weights.smooth * apart.square().sum(-1).mean()
        + weights.stay * moved_cm.square().sum(-1).mean()
        + weights.size * too_long.sum(-1).mean()
    )


class _Regularity(torch.autograd.Function):
    """Quadratic or linear: the gradient is made together with the cost."""

    @staticmethod
    def forward(
        ctx: Any, means: Tensor, log_scales: Tensor, prior: SurfacePrior, weights: LossWeights
    ) -> Tensor:
        placed, sizes, anchors, near = (
            t.detach().contiguous().numpy() for t in (means, log_scales, prior.anchors, prior.near)
        )
        strengths = (float(np.log(prior.largest)), weights.smooth, weights.stay, weights.size)
        cost, *ctx.gradients = losses_cpu.regularity(placed, sizes, anchors, near, *strengths)
        return means.new_tensor(cost)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        of_means, of_scales = (torch.from_numpy(g) * upstream for g in ctx.gradients)
        return of_means, of_scales, None, None
