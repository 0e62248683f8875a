"""The readable mesh rasterizer, oracle of the others: every pixel meets every triangle. Dense torch, any
float type.

Homogeneous rasterization (Olano and Greer 1997): with the triangle's corners in the camera as columns of M
and a pixel's ray d (z = 1), M^-1 d are the barycentrics of the hit point divided by its depth. They hold on
both sides of the camera, so a triangle that crosses the near plane needs no clipping: its pixels are those
whose hit point lies beyond.

Memory is ``h w f`` numbers a few times over: small scenes only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEAR = 0.01  # metres


def rasterize(
    local: Float[Tensor, "c v 3"],
    faces: Int[Tensor, "f 3"],
    rays: Float[Tensor, "c h w 3"],
    two_sided: bool,
) -> tuple[Int[Tensor, "c h w"], Float[Tensor, "c h w 3"], Float[Tensor, "c h w"]]:
    """Face index, barycentrics and depth of vertices in camera frames, along rays with z = 1.

    Differentiable in ``local``. Of triangles at one depth the first is seen; edge-on triangles are not.
    """
    results = [_one_camera(corners, faces, d, two_sided) for corners, d in zip(local, rays)]
    index, barycentrics, depth = (torch.stack(parts) for parts in zip(*results))
    return index, barycentrics, depth


def _one_camera(
    local: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], rays: Float[Tensor, "h w 3"], two_sided: bool
) -> tuple[Int[Tensor, "h w"], Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    if len(faces) == 0:
        none = torch.full(rays.shape[:2], -1, dtype=torch.int64, device=rays.device)
        return none, torch.zeros_like(rays), torch.zeros_like(rays[..., 0])
    with torch.no_grad():
        index = _nearest(local[faces], rays, two_sided)
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


def _nearest(
    corners: Float[Tensor, "f 3 3"], rays: Float[Tensor, "h w 3"], two_sided: bool
) -> Int[Tensor, "h w"]:
    determinant = torch.linalg.det(corners)
    usable = determinant != 0 if two_sided else determinant < 0  # negative: the normal looks at the camera
    columns = torch.where(usable[:, None, None], corners, torch.eye(3).to(corners)).transpose(-1, -2)
    over_depth = torch.einsum("fij,hwj->hwfi", torch.linalg.inv(columns), rays)
    inverse_depth = over_depth.sum(-1)
    hit = usable & (over_depth >= 0).all(-1) & (inverse_depth > 0) & (inverse_depth < 1 / NEAR)
    index = torch.where(hit, inverse_depth, torch.zeros_like(inverse_depth)).argmax(
        -1
    )  # of equal ones the first
    return torch.where(hit.any(-1), index, torch.full_like(index, -1))
