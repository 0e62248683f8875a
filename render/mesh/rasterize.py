"""``rasterize_mesh`` and ``interpolate``: one call each, backends that agree in value and gradient."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh import cpu, pytorch3d, reference
from simulacra.render.mesh.record import MeshRendering
from simulacra.render.mesh.reference import Cull
from simulacra.render.rotation import transform_points

Backend = Literal["auto", "reference", "cpu", "pytorch3d"]


def rasterize_mesh(
    verts: Float[Tensor, "*b v 3"],
    faces: Int[Tensor, "f 3"],
    cameras: Cameras,
    *,
    cull: Cull = "none",
    backend: Backend = "auto",
) -> MeshRendering:
    """The nearest triangle at every pixel centre of every camera.

    Barycentrics and depth are differentiable in ``verts`` and ``cameras.viewmats`` while the visible
    triangle stays the same; for gradients across silhouettes see ``antialias``. Triangles that cross the
    near plane (``render.mesh.reference.NEAR``) show exactly what lies beyond it, with the barycentrics of
    the whole triangle.

    Args:
        verts: world, metres: one mesh that all cameras see (``v 3``), or mesh i before camera i (``c v 3``).
        faces: triangles, counter-clockwise seen from outside.
        cameras: OpenCV axes, first pixel centre (0.5, 0.5).
        cull: leave out no triangles, those seen from inside (``back``) or from outside (``front``).
        backend: ``reference`` (dense torch, any float type, small scenes), ``cpu`` (compiled, float32),
            ``pytorch3d`` (where it is installed, see ``render.mesh.pytorch3d``), or ``auto``: ``cpu`` for
            float32 on the CPU, ``reference`` otherwise.

    Raises:
        ValueError: a backend that there is not, vertices that are not finite, faces that name a vertex that is not
            there, another number of meshes than of cameras, types that the backend cannot take.
        MissingExtraError: the ``pytorch3d`` backend without PyTorch3D.
    """
    backend = choose_backend(backend, verts)
    if backend == "cpu" and choose_backend("auto", verts) != "cpu":
        raise ValueError(f"the cpu backend takes float32 on the CPU, not {verts.dtype} on {verts.device}")
    if not torch.isfinite(verts.detach().sum()) and not torch.isfinite(verts.detach()).all():
        raise ValueError("verts are not finite")
    if len(faces) and not (int(faces.min()) >= 0 and int(faces.max()) < verts.shape[-2]):
        raise ValueError(
            f"faces name vertices {int(faces.min())} to {int(faces.max())}, of {verts.shape[-2]}"
        )
    local = to_cameras(verts, cameras)
    if backend == "cpu":
        parts = cpu.rasterize(local, faces, cameras.Ks, cameras.width, cameras.height, cull)
    elif backend == "pytorch3d":
        parts = pytorch3d.rasterize(local, faces, cameras.Ks, cameras.width, cameras.height, cull)
    else:
        parts = reference.rasterize(local, faces, cameras.local_rays(), cull)
    return MeshRendering(*parts)


def choose_backend(backend: Backend, drawn: Tensor) -> Backend:
    """The backend that is named; for ``auto`` ``cpu`` if it takes what is drawn, ``reference`` otherwise.

    Raises:
        ValueError: there is no such backend.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"no backend {backend!r}; there are {', '.join(get_args(Backend))}")
    if backend != "auto":
        return backend
    return "cpu" if drawn.dtype == torch.float32 and drawn.device.type == "cpu" else "reference"


def to_cameras(verts: Float[Tensor, "*b v 3"], cameras: Cameras) -> Float[Tensor, "c v 3"]:
    """Vertices in each camera's frame; ``verts`` is one mesh for all cameras or one for each.

    Raises:
        ValueError: another number of meshes than of cameras.
    """
    if verts.ndim == 3 and len(verts) != len(cameras):
        raise ValueError(f"{len(verts)} meshes for {len(cameras)} cameras: pass one mesh, or one for each")
    return transform_points(cameras.viewmats, verts.expand(len(cameras), *verts.shape[-2:]))


def interpolate(
    attributes: Float[Tensor, "*b n d"], faces: Int[Tensor, "f 3"], rendering: MeshRendering
) -> Float[Tensor, "c h w d"]:
    """Per-vertex attributes at the pixels' hit points, zero where there is none.

    Differentiable in ``attributes`` and, through the barycentrics, in the vertices.

    Args:
        attributes: of one mesh that all cameras see (``n d``), or of mesh i before camera i (``c n d``).
        faces: rows correspond to those that were drawn. Attributes with a topology of their own (texture
            coordinates, which jump at seams) come with faces of their own.
        rendering: as drawn.
    """
    if attributes.dtype == torch.float32 and attributes.device.type == "cpu":
        return cpu.interpolate(attributes, faces, rendering.face_index, rendering.barycentrics)
    return reference.interpolate(attributes, faces, rendering.face_index, rendering.barycentrics)
