"""The compiled CPU rasterizer: float32, any number of threads, the same bits whatever their number.

Projection, sorting and blending are Numba kernels in the files beside this one, ``view`` runs them for one
camera; here they become one differentiable torch function over a batch of cameras.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import view as kernels
from simulacra.render.gaussians.harmonics import rgb_from_sh
from simulacra.render.gaussians.record import Extra, FeatureRendering, Gaussians, Mode, ScreenStatistics
from simulacra.render.gaussians.reference import DILATION
from simulacra.render.gaussians.view import Screen, Shapes, TiledGaussians

__all__ = ["rasterize", "rgb_from_sh", "warmup"]


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
    if screen_offsets is None:
        screen_offsets = torch.from_numpy(_zeros(len(gaussians), 2)).expand(len(cameras), -1, -1)
    screens = [
        Screen(kernels.camera_row(viewmat, K), cameras.width, cameras.height, mode == "antialiased", eps2d)
        for viewmat, K in zip(cameras.viewmats, cameras.Ks)
    ]
    views: list[TiledGaussians] = []
    image, alpha, depth, radii = _Rasterize.apply(
        gaussians.means,
        gaussians.quats,
        gaussians.log_scales,
        gaussians.logit_opacities,
        features,
        cameras.viewmats,
        background,
        screen_offsets,
        screens,
        views,
    )
    statistics = ScreenStatistics(radii)
    if "weights" in also:
        parts = zip(*(kernels.shares(view) for view in views))
        statistics = ScreenStatistics(radii, *(torch.from_numpy(np.stack(part)) for part in parts))
    median = None
    if "median_depth" in also:
        median = _MedianDepth.apply(gaussians.means, cameras.viewmats, views)
    return FeatureRendering(image, alpha, depth, statistics, median)


class _Rasterize(torch.autograd.Function):
    """Forward and backward over a batch of cameras."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        log_scales: Tensor,
        logit_opacities: Tensor,
        features: Tensor,
        viewmats: Tensor,
        background: Tensor,
        screen_offsets: Tensor,
        screens: list[Screen],
        views: list[TiledGaussians],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        inputs = [t.detach().contiguous() for t in (means, quats, log_scales, logit_opacities)]
        shapes = Shapes(*(t.numpy() for t in inputs))
        count, (height, width) = len(screens), (screens[0].height, screens[0].width)
        image = means.new_empty(count, height, width, features.shape[-1])
        alpha, depth = (means.new_empty(count, height, width) for _ in range(2))
        radii = means.new_empty(count, len(means))
        behind = background.detach().contiguous().numpy()
        for i, screen in enumerate(screens):
            own = _own(features.detach(), i), _own(screen_offsets.detach(), i)
            view = kernels.project_tiles(shapes, *own, screen, radii[i].numpy())
            kernels.blend_tiles(view, behind, (image[i].numpy(), alpha[i].numpy(), depth[i].numpy()))
            views.append(view)
        ctx.save_for_backward(*inputs, image, alpha, depth)
        ctx.views = views
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(False)
        return image, alpha, depth, radii

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, image, alpha, depth = ctx.saved_tensors
        shapes = Shapes(*(t.numpy() for t in inputs))
        count, n, channels = len(image), len(inputs[0]), image.shape[-1]
        upstream = [
            torch.from_numpy(_zeros(*output.shape[1:])).expand_as(output) if gradient is None else gradient
            for gradient, output in zip(gradients, (image, alpha))
        ]
        # numpy's zeros come from the system as such; torch would write them once more.
        shared = [np.zeros(tuple(t.shape), np.float32) for t in inputs]
        grad_features, grad_offsets = image.new_empty(count, n, channels), image.new_empty(count, n, 2)
        scratch = np.empty((n, kernels.COLORS), np.float32) if channels != kernels.COLORS else None
        grad_viewmats = np.zeros((count, 4, 4), np.float32)
        for i, view in enumerate(ctx.views):
            images = (image[i].numpy(), alpha[i].numpy(), depth[i].numpy())
            of_depth = None if gradients[2] is None else _own(gradients[2], i)
            wanted = (_own(upstream[0], i), _own(upstream[1], i), of_depth)
            own, offsets = grad_features[i].numpy(), grad_offsets[i].numpy()
            slots = kernels.blend_tiles_backward(view, images, wanted, own)
            colors = own if scratch is None else scratch
            grad_viewmats[i, :3] = kernels.project_tiles_backward(
                view, shapes, *slots, shared, colors, offsets
            )
        grad_background = None
        if ctx.needs_input_grad[6]:
            # numpy's einsum runs in one order; a sum by torch depends on the number of threads.
            left = 1 - alpha.numpy().astype(np.float64)
            total = np.einsum("chwf,chw->f", upstream[0].numpy(), left)
            grad_background = torch.from_numpy(total).to(image)
        return (
            *(torch.from_numpy(gradient) for gradient in shared),
            grad_features,
            torch.from_numpy(grad_viewmats),
            grad_background,
            grad_offsets,
            None,
            None,
        )


def _own(of_cameras: Tensor, i: int) -> np.ndarray:
    """One camera's part, contiguous."""
    return of_cameras[i].contiguous().numpy()


@lru_cache(maxsize=8)
def _zeros(*shape: int) -> np.ndarray:
    """Zeros that are only ever read: for gradients that nobody sent and offsets that nobody gave."""
    return np.zeros(shape, np.float32)


class _MedianDepth(torch.autograd.Function):
    """Camera z of the Gaussians that are the median of a pixel.

    Sums of the backward pass are numpy's, which run in one order; torch's depend on the number of threads.
    """

    @staticmethod
    def forward(ctx: Any, means: Tensor, viewmats: Tensor, views: list[TiledGaussians]) -> Tensor:
        image = means.new_empty(len(views), views[0].screen.height, views[0].screen.width)
        ctx.chosen = [kernels.medians(view, own) for view, own in zip(views, image.numpy())]
        ctx.save_for_backward(means.detach(), viewmats.detach())
        return image

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        means, viewmats = (t.numpy() for t in ctx.saved_tensors)
        grad_means, grad_viewmats = np.zeros(means.shape), np.zeros(viewmats.shape)
        for view, names, upstream, own in zip(viewmats, ctx.chosen, gradient.numpy(), grad_viewmats):
            some = names >= 0
            by_gaussian = np.bincount(names[some], weights=upstream[some], minlength=len(means))
            grad_means += by_gaussian[:, None] * view[2, :3]
            own[2, :3], own[2, 3] = np.einsum("n,nd->d", by_gaussian, means), by_gaussian.sum()
        return torch.from_numpy(grad_means).to(gradient), torch.from_numpy(grad_viewmats).to(gradient), None


def warmup(progress: Callable[[str], None] | None = None, *, extras: bool = False) -> None:
    """Compile the kernels, or load them from the cache: some twenty seconds of one core the first time, one
    later.

    Args:
        progress: told in a few words what is being compiled, before it is.
        extras: also what few programs use, another ten seconds: features, median depth, weights. Without it
            they compile when they are first called.
    """
    report = progress or (lambda text: None)
    n, K = 4, torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]])
    means = torch.tensor([[0.0, 0.0, 1.0 + 0.1 * i] for i in range(n)], requires_grad=True)
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1)
    shapes = (means, quats, torch.full((n, 3), -2.0), torch.zeros(n), torch.zeros(n, 4, 3))
    gaussians, cameras = Gaussians(*shapes), Cameras(torch.eye(4)[None], K, 8, 8)

    def draw(features: Tensor, *also: Extra) -> tuple[Tensor, Tensor]:
        background = torch.zeros(features.shape[-1])
        result = rasterize(gaussians, cameras, features, background, None, "classic", DILATION, also)
        return result.features_premul.sum(), result.depth.sum()

    report("Gaussian rasterizer: projection, sorting, blending")
    loss, depth = draw(rgb_from_sh(gaussians.sh, means, torch.zeros(1, 3)))
    report("Gaussian rasterizer: gradients")
    loss.backward(retain_graph=True)  # compiled without a gradient of depth, and then with one
    (loss + depth).backward()
    if not extras:
        return
    report("Gaussian rasterizer: features")
    draw(torch.ones(1, n, 1))[0].backward()
    report("Gaussian rasterizer: median depth and weights")
    draw(torch.ones(1, n, 3), "median_depth", "weights")
