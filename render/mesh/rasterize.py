"""``rasterize_mesh`` and ``interpolate``: one call each, backends that agree in value and gradient."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from render.camera import Cameras
from render.mesh import cpu, reference
from render.mesh.record import MeshRendering
from render.rotation import transform_points

Backend = Literal["auto", "reference", "cpu"]


def rasterize_mesh(
    verts: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    cameras: Cameras,
    *,
    two_sided: bool = True,
    backend: Backend = "auto",
) -> MeshRendering:
    """The nearest triangle at every pixel centre of every camera.

    Barycentrics and depth are differentiable in ``verts`` and ``cameras.viewmats`` while the visible
    triangle stays the same; for gradients across silhouettes see ``antialias``. Triangles that cross the
    near plane (``render.mesh.reference.NEAR``) show what lies beyond it.

    Args:
        verts: world, metres. faces: triangles, counter-clockwise seen from outside. cameras: OpenCV axes,
        first pixel centre (0.5, 0.5). two_sided: also triangles seen from inside. backend: ``reference``
        (dense torch, any float type, small scenes), ``cpu`` (compiled, float32), or ``auto``:
            ``cpu`` for float32 on the CPU, ``reference`` otherwise.

    Raises:
        ValueError: vertices that are not finite, faces that name a vertex that is not there, types that the
        backend
            cannot take.
    """
    suits_cpu = verts.dtype == torch.float32 and verts.device.type == "cpu"
    if backend == "auto":
        backend = "cpu" if suits_cpu else "reference"
    if backend == "cpu" and not suits_cpu:
        raise ValueError(f"the cpu backend takes float32 on the CPU, not {verts.dtype} on {verts.device}")
    if not torch.isfinite(verts.detach().sum()) and not torch.isfinite(verts.detach()).all():
        raise ValueError("verts are not finite")
    if len(faces) and not (int(faces.min()) >= 0 and int(faces.max()) < len(verts)):
        raise ValueError(f"faces name vertices {int(faces.min())} to {int(faces.max())}, of {len(verts)}")
    local = transform_points(cameras.viewmats, verts.expand(len(cameras), *verts.shape))
    if backend == "cpu":
        return MeshRendering(
            *cpu.rasterize(local, faces, cameras.Ks, cameras.width, cameras.height, two_sided)
        )
    return MeshRendering(*reference.rasterize(local, faces, cameras.local_rays(), two_sided))


def interpolate(
    attributes: Float[Tensor, "v d"], faces: Int[Tensor, "f 3"], rendering: MeshRendering
) -> Float[Tensor, "c h w d"]:
    """Per-vertex attributes at the pixels' hit points, zero where there is none.

    Differentiable in ``attributes`` and, through the barycentrics, in the vertices. For attributes with a
    topology of their own (texture coordinates) pass their faces: rows must correspond to those that were
    drawn.
    """
    if attributes.dtype == torch.float32 and attributes.device.type == "cpu":
        return cpu.interpolate(attributes, faces, rendering.face_index, rendering.barycentrics)
    corners = attributes[faces[rendering.face_index.clamp(min=0).long()]]
    return torch.einsum("chwi,chwid->chwd", rendering.barycentrics, corners)
