"""The compiled CPU mesh rasterizer: float32 in and out, float64 inside, the same bits whatever the
threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from simulacra.render.mesh import kernels
from simulacra.render.mesh.reference import Cull
from simulacra.render.runtime.threads import run_ranges, split, thread_count

ROWS_A_CHUNK = 32  # image rows that go to a thread at a time
FACES_A_CHUNK = 4096


def rasterize(
    local: Float[Tensor, "c v 3"],
    faces: Int[Tensor, "f 3"],
    Ks: Float[Tensor, "c 3 3"],
    width: int,
    height: int,
    cull: Cull,
) -> tuple[Int[Tensor, "c h w"], Float[Tensor, "c h w 3"], Float[Tensor, "c h w"]]:
    """Face index, barycentrics and depth of vertices in camera frames; differentiable in ``local``."""
    narrow = faces.to(torch.int32).contiguous()
    index, barycentrics, depth = _Rasterize.apply(local, narrow, Ks, width, height, kernels.CULL[cull])
    return index, barycentrics, depth


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, local: Tensor, faces: Tensor, Ks: Tensor, width: int, height: int, cull: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        local = local.detach().contiguous()
        count = len(local)
        index = torch.empty(count, height, width, dtype=torch.int32)
        barycentrics, depth = local.new_empty(count, height, width, 3), local.new_empty(count, height, width)
        nearest = np.empty((height, width), np.float64)
        setups = []
        for i in range(count):
            setup, boxes = _set_up(local[i], faces, Ks[i], width, height, cull)
            outputs = index[i].numpy(), nearest, barycentrics[i].numpy(), depth[i].numpy()
            run_rows(kernels.draw, (setup, boxes), outputs, height)
            setups.append((setup, boxes))
        ctx.setups = setups
        ctx.save_for_backward(local, faces, index)
        ctx.mark_non_differentiable(index)
        return index, barycentrics, depth

    @staticmethod
    def backward(
        ctx: Any, _: Tensor, grad_barycentrics: Tensor, grad_depth: Tensor
    ) -> tuple[Tensor | None, ...]:
        local, faces, index = ctx.saved_tensors
        grad_barycentrics, grad_depth = grad_barycentrics.contiguous(), grad_depth.contiguous()
        result = []
        for i, (setup, boxes) in enumerate(ctx.setups):
            inputs = local[i].numpy(), faces.numpy(), setup, boxes
            upstream = index[i].numpy(), grad_barycentrics[i].numpy(), grad_depth[i].numpy()
            grad_corners = _backward_of_corners(inputs, upstream)
            total = torch.zeros(local.shape[1:], dtype=torch.float64)
            kernels.add_to_vertices(faces.numpy(), grad_corners, total.numpy())
            result.append(total.to(local.dtype))
        return torch.stack(result), None, None, None, None, None


def run_rows(
    kernel: Callable[..., None], inputs: tuple[Any, ...], outputs: tuple[np.ndarray, ...], height: int
) -> None:
    """Run ``kernel(*inputs, first row, end row, *outputs)`` over an image, cut for the threads there are."""
    threads = thread_count()
    bounds = split(height, -(-height // ROWS_A_CHUNK)) if threads > 1 else [0, height]
    run_ranges(lambda _, a, b: kernel(*inputs, a, b, *outputs), bounds, threads)


def _backward_of_corners(inputs: tuple[np.ndarray, ...], upstream: tuple[np.ndarray, ...]) -> np.ndarray:
    count = len(inputs[1])
    grad_corners = np.empty((count, 3, 3), np.float64)
    run_ranges(
        lambda _, a, b: kernels.draw_backward(*inputs, a, b, *upstream, grad_corners),
        split(count, -(-count // FACES_A_CHUNK)),
        thread_count(),
    )
    return grad_corners


def _set_up(
    local: Tensor, faces: Tensor, K: Tensor, width: int, height: int, cull: int
) -> tuple[np.ndarray, np.ndarray]:
    setup = np.empty((len(faces), kernels.SETUP), np.float64)
    boxes = np.empty((len(faces), 4), np.int32)
    arrays = local.numpy(), faces.numpy(), K.detach().contiguous().numpy()
    run_ranges(
        lambda _, a, b: kernels.set_up(*arrays, width, height, cull, a, b, setup, boxes),
        split(len(faces), -(-len(faces) // FACES_A_CHUNK)),
        thread_count(),
    )
    return setup, boxes


def interpolate(
    attributes: Float[Tensor, "*b n d"],
    faces: Int[Tensor, "f 3"],
    face_index: Int[Tensor, "c h w"],
    barycentrics: Float[Tensor, "c h w 3"],
) -> Float[Tensor, "c h w d"]:
    """Attributes at the hit points; differentiable in ``attributes`` and ``barycentrics``."""
    result: Tensor = _Interpolate.apply(
        attributes, barycentrics, faces.to(torch.int32).contiguous(), face_index.to(torch.int32).contiguous()
    )
    return result


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        attributes: Tensor,
        barycentrics: Tensor,
        faces: Int32[Tensor, "f 3"],
        index: Int32[Tensor, "c h w"],
    ) -> Tensor:
        attributes, barycentrics = attributes.detach().contiguous(), barycentrics.detach().contiguous()
        image = attributes.new_empty(*index.shape, attributes.shape[-1])
        for i, each in enumerate(_for_each_camera(attributes, len(index))):
            arrays = each, faces.numpy(), index[i].numpy(), barycentrics[i].numpy()
            run_rows(kernels.gather, arrays, (image[i].numpy(),), index.shape[1])
        ctx.save_for_backward(attributes, barycentrics, faces, index)
        return image

    @staticmethod
    def backward(ctx: Any, grad_image: Tensor) -> tuple[Tensor | None, ...]:
        attributes, barycentrics, faces, index = ctx.saved_tensors
        grad_image = grad_image.contiguous()
        grad_attributes, grad_barycentrics = torch.zeros_like(attributes), torch.empty_like(barycentrics)
        theirs = _for_each_camera(grad_attributes, len(index))
        for i, each in enumerate(_for_each_camera(attributes, len(index))):
            inputs = each, faces.numpy(), index[i].numpy(), barycentrics[i].numpy(), grad_image[i].numpy()
            kernels.gather_backward(*inputs, theirs[i], grad_barycentrics[i].numpy())
        return grad_attributes, grad_barycentrics, None, None


def _for_each_camera(attributes: Float[Tensor, "*b n d"], count: int) -> list[np.ndarray]:
    """Views of the attributes that each camera sees: one mesh's for all, or each its own."""
    return [attributes[i].numpy() if attributes.ndim == 3 else attributes.numpy() for i in range(count)]
