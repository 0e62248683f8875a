"""Compile the mesh kernels ahead of their first use."""

from __future__ import annotations

from collections.abc import Callable

import torch

from simulacra.render.camera import Cameras
from simulacra.render.mesh.antialias import antialias
from simulacra.render.mesh.lighting import shade_sh
from simulacra.render.mesh.normals import vertex_normals
from simulacra.render.mesh.rasterize import interpolate, rasterize_mesh
from simulacra.render.mesh.texture import build_mips, mip_levels, sample_texture


def warmup(progress: Callable[[str], None] | None = None) -> None:
    """Compile every kernel, or load it from the cache: seconds the first time.

    Args:
        progress: told in a few words what is being compiled, before it is.
    """
    report = progress or (lambda text: None)
    report("mesh rasterizer")
    verts = torch.tensor([[-1.0, -1, 2], [1, -1, 2], [0, 1, 2]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    cameras = Cameras(torch.eye(4)[None], torch.tensor([[[4.0, 0, 4], [0, 4, 4], [0, 0, 1]]]), 8, 8)
    rendering = rasterize_mesh(verts, faces, cameras, backend="cpu")
    image = interpolate(verts, faces, rendering)
    (image.sum() + rendering.depth.sum()).backward(retain_graph=True)
    report("mesh normals and light")
    vertex_normals(verts, faces).sum().backward()
    shade_sh(verts, torch.ones(9, 3, requires_grad=True), verts).sum().backward()
    report("mesh silhouettes")
    antialias(image.detach(), verts, faces, cameras, rendering, backend="cpu").sum().backward()
    report("mesh textures")
    uvs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    levels = mip_levels(uvs, faces, verts, faces, cameras, rendering, (4, 4), backend="cpu")
    places = interpolate(uvs, faces, rendering)
    mips = build_mips(torch.ones(4, 4, 3, requires_grad=True))
    sample_texture(mips, places, levels=levels, mask=rendering.covered, backend="cpu").sum().backward()
