"""Adapter to PyTorch3D's mesh rasterizer (https://github.com/facebookresearch/pytorch3d, BSD, 0.7 or later).

Written against its source (``renderer/mesh/rasterize_meshes.py``, ``clip.py`` and ``csrc/rasterize_meshes``);
it is used only where it is installed and asked for.

Its conventions, which stay inside this file: normalised device coordinates with +X left and +Y up, in which
the image's shorter side is 2 wide and its centre is (0, 0), and z in metres along the view; pixels that show
nothing hold -1 everywhere; faces are counted through the whole batch.

Where it differs from ``render.mesh.reference``: it computes in float32; a pixel centre exactly on an edge
belongs to nobody; triangles of less than 1e-8 square units of its coordinates are not drawn; a triangle that
crosses the near plane is cut there into new ones, and of that cut one corner's place is held constant in the
gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.mesh.reference import NEAR, Cull
from simulacra.render.runtime.errors import MissingExtraError

LEAST_DEPTH = 1e-6  # metres: corners as good as in the camera's plane are projected as if this far from it


def rasterize(
    local: Float[Tensor, "c v 3"],
    faces: Int[Tensor, "f 3"],
    Ks: Float[Tensor, "c 3 3"],
    width: int,
    height: int,
    cull: Cull,
) -> tuple[Int[Tensor, "c h w"], Float[Tensor, "c h w 3"], Float[Tensor, "c h w"]]:
    """As ``render.mesh.reference.rasterize``, by PyTorch3D, on whatever device the vertices are.

    Raises:
        MissingExtraError: PyTorch3D is not installed.
    """
    meshes, rasterize_meshes = _pytorch3d()
    if len(faces) == 0:
        none = torch.full((len(local), height, width), -1, dtype=torch.int64, device=local.device)
        return none, local.new_zeros(*none.shape, 3), local.new_zeros(none.shape)
    # Its one switch leaves out triangles seen from inside; turned round, those seen from outside.
    turned = faces.flip(1) if cull == "front" else faces
    index, depth, barycentrics, _ = rasterize_meshes(
        meshes(
            verts=list(to_device_coordinates(local, Ks, width, height)), faces=[turned.long()] * len(local)
        ),
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=True,
        cull_backfaces=cull != "none",
        z_clip_value=NEAR,
    )
    return from_fragments(index, barycentrics, depth, len(faces), cull)


def to_device_coordinates(
    local: Float[Tensor, "c v 3"], Ks: Float[Tensor, "c 3 3"], width: int, height: int
) -> Float[Tensor, "c v 3"]:
    """Points in OpenCV camera frames as PyTorch3D's coordinates, z in metres."""
    x, y, z = local.unbind(-1)
    z = torch.where(z.abs() < LEAST_DEPTH, torch.full_like(z, LEAST_DEPTH), z)
    column = Ks[:, 0, 0, None] * x / z + Ks[:, 0, 2, None]
    row = Ks[:, 1, 1, None] * y / z + Ks[:, 1, 2, None]
    unit = 2 / min(width, height)
    return torch.stack([(width / 2 - column) * unit, (height / 2 - row) * unit, z], -1)


def from_fragments(
    index: Int[Tensor, "c h w 1"],
    barycentrics: Float[Tensor, "c h w 1 3"],
    depth: Float[Tensor, "c h w 1"],
    count: int,
    cull: Cull,
) -> tuple[Int[Tensor, "c h w"], Float[Tensor, "c h w 3"], Float[Tensor, "c h w"]]:
    """PyTorch3D's fragments of meshes of ``count`` faces as face index, barycentrics and depth of ours."""
    seen = index[..., 0] >= 0
    first = count * torch.arange(len(index), device=index.device)[:, None, None]
    weights = barycentrics[..., 0, :].flip(-1) if cull == "front" else barycentrics[..., 0, :]
    return (
        torch.where(seen, index[..., 0] - first, index[..., 0]),
        torch.where(seen[..., None], weights, torch.zeros_like(weights)),
        torch.where(seen, depth[..., 0], torch.zeros_like(depth[..., 0])),
    )


def _pytorch3d() -> tuple[Any, Any]:
    """Its ``Meshes`` and ``rasterize_meshes``."""
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise MissingExtraError(
            "the pytorch3d backend of the mesh rasterizer needs PyTorch3D",
            found=error,
            remedy="pip install 'simulacra[mesh]', or use backend='cpu'",
        ) from error
    return Meshes, rasterize_meshes
