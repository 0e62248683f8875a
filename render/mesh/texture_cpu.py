"""Compiled texture sampling on the CPU: float32 in and out, the same bits whatever the threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.mesh import texture_kernels as kernels
from simulacra.render.mesh.cpu import run_rows


def sample(
    texels: Float[Tensor, "n d"],
    sizes: tuple[tuple[int, int], ...],
    uvs: Float[Tensor, "c h w 2"],
    levels: Float[Tensor, "c h w"],
    mask: Bool[Tensor, "c h w"],
    wrap: bool,
) -> Float[Tensor, "c h w d"]:
    """As ``render.mesh.texture.sample_texture``; differentiable in ``texels``, ``uvs`` and ``levels``.

    Raises:
        ValueError: types other than float32 on the CPU.
    """
    for name, values in (("the texture", texels), ("uvs", uvs), ("levels", levels)):
        if values.dtype != torch.float32 or values.device.type != "cpu":
            raise ValueError(
                f"the cpu backend takes float32 on the CPU; {name}: {values.dtype} on {values.device}"
            )
    counts = [height * width for height, width in sizes]
    table = np.array([(sum(counts[:i]), *size) for i, size in enumerate(sizes)], np.int64)
    result: Tensor = _Sample.apply(texels, table, uvs, levels, mask.contiguous(), wrap)
    return result


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        texels: Tensor,
        sizes: np.ndarray,
        uvs: Tensor,
        levels: Tensor,
        mask: Tensor,
        wrap: bool,
    ) -> Tensor:
        texels, uvs, levels = (x.detach().contiguous() for x in (texels, uvs, levels))
        image = texels.new_empty(*mask.shape, texels.shape[1])
        for i in range(len(mask)):
            inputs = texels.numpy(), sizes, uvs[i].numpy(), levels[i].numpy(), mask[i].numpy(), wrap
            run_rows(kernels.sample, inputs, (image[i].numpy(),), mask.shape[1])
        ctx.save_for_backward(texels, uvs, levels, mask)
        ctx.sizes, ctx.wrap = sizes, wrap
        return image

    @staticmethod
    def backward(ctx: Any, grad_image: Tensor) -> tuple[Tensor | None, ...]:
        texels, uvs, levels, mask = ctx.saved_tensors
        grad_image = grad_image.contiguous()
        grad_texels, grad_uvs, grad_levels = torch.zeros_like(texels), torch.empty_like(uvs), levels.clone()
        for i in range(len(mask)):
            kernels.sample_backward(
                texels.numpy(),
                ctx.sizes,
                uvs[i].numpy(),
                levels[i].numpy(),
                mask[i].numpy(),
                ctx.wrap,
                grad_image[i].numpy(),
                grad_texels.numpy(),
                grad_uvs[i].numpy(),
                grad_levels[i].numpy(),
            )
        return grad_texels, None, grad_uvs, grad_levels, None, None


def mip_levels(
    uvs: Float[Tensor, "t 2"],
    face_uvs: Int[Tensor, "f 3"],
    local: Float[Tensor, "c v 3"],
    faces: Int[Tensor, "f 3"],
    Ks: Float[Tensor, "c 3 3"],
    face_index: Int[Tensor, "c h w"],
    size: tuple[int, int],
) -> Float[Tensor, "c h w"]:
    """As ``render.mesh.texture.mip_levels``, of vertices in camera frames."""
    levels = local.new_empty(face_index.shape)
    narrow, narrow_uvs = (x.to(torch.int32).contiguous().numpy() for x in (faces, face_uvs))
    index, uvs, local = face_index.to(torch.int32).contiguous(), uvs.contiguous(), local.contiguous()
    Ks = Ks.detach().contiguous()
    for i in range(len(levels)):
        inputs = uvs.numpy(), narrow_uvs, local[i].numpy(), narrow, Ks[i].numpy(), *size, index[i].numpy()
        run_rows(kernels.mip_levels, inputs, (levels[i].numpy(),), index.shape[1])
    return levels
