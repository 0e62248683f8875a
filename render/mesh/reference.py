"""The readable mesh rasterizer, oracle of the others: every pixel meets every triangle. Dense torch, any
float type.

Homogeneous rasterization (Olano and Greer 1997): with the triangle's corners v0 v1 v2 in the camera's frame
as columns of M and a pixel's ray d (z = 1), q = M^-1 d are the barycentrics of the hit point divided by its
depth. They hold on both sides of the camera, so a triangle that crosses the near plane needs no clipping:
its pixels are those whose hit point lies beyond.

Rules that every backend keeps. With n_i = v_j x v_k for cyclic i j k, E_i = n_i . d and D = det M = v0 . n0,
q_i = E_i / D. A triangle is seen from outside where D < 0.

- A pixel is hit where all E_i sign(D) > 0. On an edge itself (E_i = 0) it belongs to the triangle whose
  side of the edge lies to the right, or below if the edge is level: of two triangles that share the edge
  exactly one is hit, and their numbers for it are exactly opposite because products are not fused.
- The nearest hit beyond the near plane is seen; of equal ones the triangle that comes first.
- |D| of at most ``FLAT`` units of rounding of its terms' size says nothing: the triangle is seen edge-on, or
  has no area, and is not drawn.

Memory is ``h w f`` numbers a few times over: small scenes only.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEAR = 0.01  # metres
FLAT = 4.0  # units of rounding; the sums behind D round six times

Cull = Literal["none", "back", "front"]


def rasterize(
    local: Float[Tensor, "c v 3"],
    faces: Int[Tensor, "f 3"],
    rays: Float[Tensor, "c h w 3"],
    cull: Cull,
) -> tuple[Int[Tensor, "c h w"], Float[Tensor, "c h w 3"], Float[Tensor, "c h w"]]:
    """Face index, barycentrics and depth of vertices in camera frames, along rays with z = 1.

    Differentiable in ``local``.
    """
    results = [_one_camera(corners, faces, d, cull) for corners, d in zip(local, rays)]
    index, barycentrics, depth = (torch.stack(parts) for parts in zip(*results))
    return index, barycentrics, depth


def _one_camera(
    local: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], rays: Float[Tensor, "h w 3"], cull: Cull
) -> tuple[Int[Tensor, "h w"], Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    if len(faces) == 0:
        none = torch.full(rays.shape[:2], -1, dtype=torch.int64, device=rays.device)
        return none, torch.zeros_like(rays), torch.zeros_like(rays[..., 0])
    with torch.no_grad():
        index = _nearest(local[faces], rays, cull)
    seen = index >= 0
    corners = local[faces[index.clamp(min=0)]].transpose(-1, -2)  # h w 3 3, corners as columns
    corners = torch.where(seen[..., None, None], corners, torch.eye(3).to(corners))
    over_depth = torch.linalg.solve(corners, rays)
    depth = 1 / over_depth.sum(-1)
    zero = torch.zeros_like(depth)
    return (
        index,
        torch.where(seen[..., None], over_depth * depth[..., None], zero[..., None]),
        torch.where(seen, depth, zero),
    )


def _nearest(corners: Float[Tensor, "f 3 3"], rays: Float[Tensor, "h w 3"], cull: Cull) -> Int[Tensor, "h w"]:
    normals = cross(corners.roll(-1, dims=1), corners.roll(-2, dims=1))
    determinant, flat = determinants(corners, normals)
    usable = ~flat
    if cull != "none":
        usable &= determinant < 0 if cull == "back" else determinant > 0
    normals = normals * determinant.sign()[:, None, None]
    x, y, z = (normals[..., k] for k in range(3))
    d = rays[..., None, None, :]
    edges = x * d[..., 0] + (y * d[..., 1] + z * d[..., 2])  # h w f 3
    owned = (x > 0) | ((x == 0) & (y > 0))
    inside = ((edges > 0) | ((edges == 0) & owned)).all(-1)
    inverse_depth = edges.sum(-1) / torch.where(usable, determinant.abs(), torch.ones_like(determinant))
    hit = usable & inside & (inverse_depth > 0) & (inverse_depth < 1 / NEAR)
    # argmax takes the first of equal ones
    index = torch.where(hit, inverse_depth, torch.zeros_like(inverse_depth)).argmax(-1)
    return torch.where(hit.any(-1), index, torch.full_like(index, -1))


def cross(a: Float[Tensor, "*n 3"], b: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """a x b such that b x a is exactly its negative; ``torch.linalg.cross`` may fuse a product and a sum."""
    (a0, a1, a2), (b0, b1, b2) = a.unbind(-1), b.unbind(-1)
    return torch.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], -1)


def determinants(
    corners: Float[Tensor, "*n 3 3"], normals: Float[Tensor, "*n 3 3"]
) -> tuple[Float[Tensor, "*n"], Bool[Tensor, "*n"]]:
    """D = v0 . n0, negative where the triangle is seen from outside, and whether it is no more than rounding."""
    v0, v1, v2 = corners.abs().unbind(-2)
    size = (v0 * (v1.roll(-1, -1) * v2.roll(-2, -1) + v1.roll(-2, -1) * v2.roll(-1, -1))).sum(-1)
    determinant = (corners[..., 0, :] * normals[..., 0, :]).sum(-1)
    return determinant, determinant.abs() <= FLAT * torch.finfo(corners.dtype).eps * size


def interpolate(
    attributes: Float[Tensor, "*b n d"],
    faces: Int[Tensor, "f 3"],
    face_index: Int[Tensor, "c h w"],
    barycentrics: Float[Tensor, "c h w 3"],
) -> Float[Tensor, "c h w d"]:
    """Attributes at the hit points; differentiable in ``attributes`` and ``barycentrics``."""
    if len(faces) == 0:
        return barycentrics.new_zeros(*face_index.shape, attributes.shape[-1])
    rows = faces[face_index.clamp(min=0).long()]
    if attributes.ndim == 2:
        corners = attributes[rows]
    else:
        corners = torch.stack([each[chosen] for each, chosen in zip(attributes, rows)])
    return torch.einsum("chwi,chwid->chwd", barycentrics, corners)
