"""The compiled CPU rasterizer: float32, any number of threads, the same bits whatever their number.

Projection, sorting and blending are Numba kernels in the files beside this one; here they become one
differentiable torch function. Memory beyond inputs and images: 64 bytes a Gaussian and camera, 8 a
(Gaussian, tile) pair, and in the backward pass 40 a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from render.gaussians.blending import TILE_HEIGHT, TILE_WIDTH, blend, blend_backward
from render.gaussians.projection import (
    CAMERA,
    RECORD,
    SLOT,
    VIEW,
    VIEW_BLOCK,
    project,
    project_backward,
)
from render.gaussians.simd import LANES
from render.gaussians.sorting import sort_into_tiles
from render.threads import run_ranges, split, thread_count

PROJECT_BLOCK = 2048  # least Gaussians a thread is woken for
CHUNKS_A_THREAD = 8  # tiles go to threads in that many runs each: even load, yet neighbours stay together
TILE_COST = 64  # the fixed cost of a tile, in entries


@dataclass
class _View:
    """What one camera's forward pass leaves for its backward pass (numpy views of torch memory)."""

    camera: np.ndarray
    records: np.ndarray
    tile_starts: np.ndarray
    entries: np.ndarray
    slot_starts: np.ndarray
    ends: np.ndarray


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
    if screen_offsets is None:
        screen_offsets = torch.from_numpy(_zeros(len(means), 2)).expand(len(viewmats), -1, -1)
    image, alpha, depth, radii = _Rasterize.apply(
        means, quats, scales, log_opacities, rgb, viewmats, background, screen_offsets, Ks, width, height
    )
    return image, alpha, depth, radii


class _Rasterize(torch.autograd.Function):
    """Forward and backward over a batch of cameras."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        log_opacities: Tensor,
        rgb: Tensor,
        viewmats: Tensor,
        background: Tensor,
        screen_offsets: Tensor,
        Ks: Tensor,
        width: int,
        height: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        inputs = [t.detach().contiguous() for t in (means, quats, scales, log_opacities)]
        count, n = len(viewmats), len(means)
        image = means.new_empty(count, height, width, 3)
        alpha, depth, left = (means.new_empty(count, height, width) for _ in range(3))
        radii = means.new_empty(count, n)
        views = []
        for i in range(count):
            own = [t.detach()[i].contiguous() for t in (rgb, screen_offsets)]
            arrays = [t.numpy() for t in (*inputs, *own)]
            outputs = [t[i].numpy() for t in (image, alpha, depth, left)]
            camera = _camera_row(viewmats[i], Ks[i])
            views.append(
                _draw(
                    arrays,
                    camera,
                    width,
                    height,
                    background.detach().contiguous().numpy(),
                    outputs,
                    radii[i].numpy(),
                )
            )
        ctx.save_for_backward(*inputs[:3], image, depth, left)
        ctx.views, ctx.size = views, (width, height)
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(False)
        return image, alpha, depth, radii

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        means, quats, scales, image, depth, left = ctx.saved_tensors
        width, height = ctx.size
        count, n = len(image), len(means)
        grad_image, grad_alpha, grad_depth = (
            torch.from_numpy(_zeros(height, width, *shape)).expand(count, height, width, *shape)
            if gradient is None
            else gradient
            for gradient, shape in zip(gradients[:3], ((3,), (), ()))
        )
        # numpy's zeros come from the system as such; torch would write them once more.
        shared = [torch.from_numpy(np.zeros(shape, np.float32)) for shape in ((n, 3), (n, 4), (n, 3), n)]
        grad_rgb, grad_offsets = means.new_empty(count, n, 3), means.new_empty(count, n, 2)
        grad_viewmats = means.new_zeros(count, 4, 4)
        for i, view in enumerate(ctx.views):
            images = [t[i].numpy() for t in (image, depth, left)]
            upstream = [t[i].contiguous().numpy() for t in (grad_image, grad_alpha, grad_depth)]
            slots = _slots(view, width, height, images, upstream)
            inputs = [t.numpy() for t in (means, quats, scales)]
            outputs = [t.numpy() for t in (*shared, grad_rgb[i], grad_offsets[i])]
            grad_viewmats[i, :3] = _reduce(view, width, height, inputs, slots, outputs)
        grad_background = None
        if ctx.needs_input_grad[6]:
            grad_background = torch.einsum("chwd,chw->d", grad_image, left)
        return (*shared, grad_rgb, grad_viewmats, grad_background, grad_offsets, None, None, None)


@lru_cache(maxsize=8)
def _zeros(*shape: int) -> np.ndarray:
    """Zeros that are only ever read: for gradients that nobody sent and offsets that nobody gave."""
    return np.zeros(shape, np.float32)


def _camera_row(viewmat: Tensor, K: Tensor) -> np.ndarray:
    row = torch.cat([viewmat.detach()[:3].reshape(-1), K.new_zeros(4)])
    row[12], row[13], row[14], row[15] = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    assert len(row) == CAMERA
    return row.detach().numpy()


def _draw(
    arrays: list[np.ndarray],
    camera: np.ndarray,
    width: int,
    height: int,
    background: np.ndarray,
    outputs: list[np.ndarray],
    radii: np.ndarray,
) -> _View:
    """One camera's forward pass into ``outputs`` (colour, alpha, depth, transmittance)."""
    n, threads = len(radii), thread_count()
    records = torch.empty(n, RECORD).numpy()  # torch aligns to 64 bytes, so that a record is one cache line
    depths, tiles = np.empty(n, np.float32), np.empty((n, 4), np.int16)
    size = (width, height, TILE_WIDTH, TILE_HEIGHT)
    bounds = split(n, min(threads, max(1, n // PROJECT_BLOCK)), LANES)
    sound = [True] * len(bounds)

    def project_range(part: int, start: int, stop: int) -> None:
        sound[part] = project(*arrays, camera, *size, start, stop, records, depths, tiles, radii)

    run_ranges(project_range, bounds, threads)
    if not all(sound):
        raise ValueError("a quaternion of length zero has no orientation")
    columns, rows = -(-width // TILE_WIDTH), -(-height // TILE_HEIGHT)
    tile_starts, entries, slot_starts = sort_into_tiles(depths, tiles, columns, rows, threads)
    ends = np.empty(columns * rows, np.int32)
    run_ranges(
        lambda _, a, b: blend(records, tile_starts, entries, width, height, a, b, background, *outputs, ends),
        _tile_chunks(tile_starts, threads),
        threads,
    )
    return _View(camera, records, tile_starts, entries, slot_starts, ends)


def _slots(
    view: _View, width: int, height: int, images: list[np.ndarray], upstream: list[np.ndarray]
) -> np.ndarray:
    """Gradients of every (Gaussian, tile) pair."""
    threads = thread_count()
    slots = np.empty(len(view.entries) * SLOT + LANES, np.float32)  # the last one is read as whole lanes
    run_ranges(
        lambda _, a, b: blend_backward(
            view.records,
            view.tile_starts,
            view.entries,
            width,
            height,
            a,
            b,
            *images,
            view.ends,
            *upstream,
            slots,
        ),
        _tile_chunks(view.tile_starts, threads),
        threads,
    )
    return slots


def _reduce(
    view: _View,
    width: int,
    height: int,
    inputs: list[np.ndarray],
    slots: np.ndarray,
    outputs: list[np.ndarray],
) -> Tensor:
    """Add the gradients of one camera to ``outputs``; returns the one of its view matrix, ``3 4``."""
    n, threads = len(view.records), thread_count()
    partial = np.zeros((-(-n // VIEW_BLOCK), VIEW, LANES), np.float32)
    run_ranges(
        lambda _, a, b: project_backward(
            *inputs,
            view.camera,
            width,
            height,
            a,
            b,
            view.records,
            view.slot_starts,
            slots,
            *outputs,
            partial,
        ),
        split(n, threads, VIEW_BLOCK),
        threads,
    )
    total = partial.sum((0, 2), dtype=np.float64)
    return torch.from_numpy(np.concatenate([total[:9].reshape(3, 3), total[9:, None]], axis=1))


def _tile_chunks(tile_starts: np.ndarray, threads: int) -> list[int]:
    """Bounds of runs of neighbouring tiles of about equal work, in image order (their data is near each
    other).
    """
    tiles = len(tile_starts) - 1
    if threads == 1:
        return [0, tiles]
    work = tile_starts.astype(np.int64) + TILE_COST * np.arange(tiles + 1)
    chunks = min(tiles, threads * CHUNKS_A_THREAD)
    inner = np.searchsorted(work, work[-1] * np.arange(1, chunks) // chunks)
    return [0, *(int(i) for i in np.unique(inner) if 0 < i < tiles), tiles]


def warmup(progress: Callable[[str], None] | None = None) -> None:
    """Compile every kernel, or load it from the cache: some fifteen seconds of one core the first time, one later.

    Args:
        progress: told in a few words what is being compiled, before it is.
    """
    report = progress or (lambda text: None)
    report("Gaussian rasterizer: projection, sorting, blending")
    n, view, K = 4, torch.eye(4)[None], torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]])
    means = torch.tensor([[0.0, 0.0, 1.0 + 0.1 * i] for i in range(n)], requires_grad=True)
    quats, scales = torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1), torch.full((n, 3), 0.1)
    image, *_ = rasterize(
        means, quats, scales, torch.full((n,), -1.0), torch.ones(1, n, 3), view, K, 8, 8, torch.zeros(3), None
    )
    report("Gaussian rasterizer: gradients")
    image.sum().backward()
