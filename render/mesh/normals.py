"""Normals of triangles and vertices.

Symbols: ``v`` vertices, ``f`` triangles, ``b`` any batch.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.mesh import normal_kernels as kernels


def face_normals(verts: Float[Tensor, "*b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "*b f 3"]:
    """Outward normals (counter-clockwise seen from outside) of length twice the triangle's area."""
    a, b, c = verts[..., faces, :].unbind(-2)
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(verts: Float[Tensor, "*b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "*b v 3"]:
    """Unit normals: the area-weighted mean of the triangles around a vertex; zero for a vertex of no
    triangle, or whose triangles cancel. Differentiable.

    Compiled for float32 on the CPU, where torch would add up the gradients of a vertex in whatever order its
    threads come.
    """
    if verts.dtype == torch.float32 and verts.device.type == "cpu":
        result: Tensor = _VertexNormals.apply(verts, faces.to(torch.int32).contiguous())
        return result
    return reference(verts, faces)


def reference(verts: Float[Tensor, "*b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "*b v 3"]:
    """Vertex normals in torch, any float type: the oracle of the compiled kernel."""
    normals = face_normals(verts, faces).repeat_interleave(3, dim=-2)
    index = faces.reshape(-1, 1).long().expand(normals.shape)
    return torch.nn.functional.normalize(torch.zeros_like(verts).scatter_add(-2, index, normals), dim=-1)


class _VertexNormals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, verts: Tensor, faces: Tensor) -> Tensor:
        flat = verts.detach().reshape(-1, *verts.shape[-2:]).contiguous()
        normals, sums = torch.empty_like(flat), torch.empty(flat.shape, dtype=torch.float64)
        for i in range(len(flat)):
            kernels.vertex_normals(flat[i].numpy(), faces.numpy(), sums[i].numpy(), normals[i].numpy())
        ctx.save_for_backward(flat, faces, sums)
        return normals.reshape(verts.shape)

    @staticmethod
    def backward(ctx: Any, grad_normals: Tensor) -> tuple[Tensor, None]:
        flat, faces, sums = ctx.saved_tensors
        upstream, grad = grad_normals.reshape(flat.shape).contiguous(), torch.empty_like(sums)
        for i in range(len(flat)):
            arrays = flat[i].numpy(), faces.numpy(), sums[i].numpy(), upstream[i].numpy()
            kernels.vertex_normals_backward(*arrays, grad[i].numpy())
        return grad.to(flat.dtype).reshape(grad_normals.shape), None
