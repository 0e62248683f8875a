"""Plain shading, for overlays and turntables."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh.normals import vertex_normals
from simulacra.render.mesh.rasterize import Backend, interpolate, rasterize_mesh

AMBIENT = 0.35  # share of the light that comes from everywhere


def shade(
    verts: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    cameras: Cameras,
    *,
    rgb: Float[Tensor, "v 3"] | None = None,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "c h w 3"], Float[Tensor, "c h w"]]:
    """The mesh in even light with a lamp at each camera (Lambert), and its coverage.

    Args:
        verts: world, metres.
        faces: triangles, counter-clockwise seen from outside.
        cameras: as in ``rasterize_mesh``.
        rgb: sRGB colors of the vertices, light grey if None. Light is laid on sRGB values as they are: a picture to
            look at, not a measurement.
        backend: as in ``rasterize_mesh``.

    Returns:
        Premultiplied sRGB and coverage (0 or 1), to be laid over a photograph with ``rgb + (1 - alpha)
        photo``.
    """
    rendering = rasterize_mesh(verts, faces, cameras, backend=backend)
    colors = torch.full_like(verts, 0.75) if rgb is None else rgb
    image = interpolate(torch.cat([vertex_normals(verts, faces), colors, verts], dim=-1), faces, rendering)
    normals, color, points = image.split(3, dim=-1)
    to_camera = torch.nn.functional.normalize(cameras.centers()[:, None, None] - points, dim=-1)
    facing = (torch.nn.functional.normalize(normals, dim=-1) * to_camera).sum(-1, keepdim=True).abs()
    covered = rendering.covered.to(verts.dtype)
    return color * (AMBIENT + (1 - AMBIENT) * facing) * covered[..., None], covered
