"""Small meshes and cameras that the tests of this folder draw."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulacra.render.camera import Cameras


def front_camera(width: int = 8, height: int = 8, focal_px: float = 8.0, count: int = 1) -> Cameras:
    K = torch.tensor([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
    return Cameras(torch.eye(4).repeat(count, 1, 1), K.repeat(count, 1, 1), width, height)


def soup(seed: int, triangles: int) -> tuple[Tensor, Tensor]:
    """Random triangles in the camera's frame, in float32 values: some behind, some through the near plane."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(triangles, 1, 3, generator=g) * torch.tensor([0.5, 0.5, 1.0]) + torch.tensor(
        [0, 0, 1.5]
    )
    corners = centres + torch.randn(triangles, 3, 3, generator=g) * 0.6
    return corners.reshape(-1, 3), torch.arange(3 * triangles).reshape(-1, 3)


def sphere(rings: int = 12, segments: int = 16, radius: float = 0.5) -> tuple[Tensor, Tensor]:
    """A closed triangle mesh around the origin, counter-clockwise seen from outside."""
    theta = torch.linspace(0, math.pi, rings + 1)[1:-1]
    phi = torch.arange(segments) * (2 * math.pi / segments)
    ring = torch.stack(
        [
            theta.sin()[:, None] * phi.cos(),
            theta.cos()[:, None].expand(-1, segments),
            -theta.sin()[:, None] * phi.sin(),
        ],
        -1,
    )
    verts = torch.cat([ring.reshape(-1, 3), torch.tensor([[0.0, 1, 0], [0, -1, 0]])]) * radius
    top, bottom = len(verts) - 2, len(verts) - 1
    faces = []
    for s in range(segments):
        t = (s + 1) % segments
        last = (rings - 2) * segments
        faces += [[top, s, t], [bottom, last + t, last + s]]
        for r in range(rings - 2):
            a, b = r * segments, (r + 1) * segments
            faces += [[a + s, b + s, b + t], [a + s, b + t, a + t]]
    return verts, torch.tensor(faces)


def folded_grid(seed: int, cells: int, lattice: float = 0.0) -> tuple[Tensor, Tensor]:
    """A square sheet of ``2 cells^2`` triangles before ``front_camera``, 8 m away and seen from outside, its inner
    vertices moved at random (never so far that a triangle turns over), depths too; its border is a square of side
    8 around the axis. With a ``lattice`` places are multiples of it, depths all 8 m, so that at a focal length
    of 8 px they are multiples of it in pixels.
    """
    g = torch.Generator().manual_seed(seed)
    line = torch.linspace(-4, 4, cells + 1)
    verts = torch.stack([line.expand(cells + 1, -1), line[:, None].expand(-1, cells + 1)], -1)
    moves = (torch.rand(cells - 1, cells - 1, 2, generator=g) - 0.5) * (8 / cells) * 0.6
    verts[1:-1, 1:-1] += moves
    depths = 8 + 0.3 * torch.randn(cells + 1, cells + 1, generator=g)
    if lattice:
        verts, depths = (verts / lattice).round() * lattice, torch.full_like(depths, 8.0)
    depths[0], depths[-1], depths[:, 0], depths[:, -1] = 8, 8, 8, 8
    verts = torch.cat([verts * (depths / 8)[..., None], depths[..., None]], -1).reshape(-1, 3)
    row = torch.arange(cells)[:, None] * (cells + 1) + torch.arange(cells)
    a, b, c, d = row, row + 1, row + cells + 2, row + cells + 1
    faces = torch.cat([torch.stack([a, b, c], -1), torch.stack([a, c, d], -1)]).reshape(-1, 3)
    return verts, faces.flip(1)
