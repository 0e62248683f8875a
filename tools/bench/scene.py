"""A person-shaped cloud of Gaussians and a person-sized mesh, the same on every machine."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import Gaussians, sh_from_rgb

# Limbs of a person 1.75 m tall: two ends (x, y, z) and their radii, metres.
LIMBS = (
    ((0.0, 0.95, 0.0), (0.0, 1.40, 0.0), 0.16, 0.19),
    ((0.0, 1.42, 0.0), (0.0, 1.55, 0.0), 0.06, 0.06),
    ((0.0, 1.62, 0.0), (0.0, 1.68, 0.01), 0.10, 0.10),
    ((0.19, 1.40, 0.0), (0.42, 1.15, 0.02), 0.055, 0.045),
    ((0.42, 1.15, 0.02), (0.62, 0.90, 0.08), 0.045, 0.035),
    ((-0.19, 1.40, 0.0), (-0.42, 1.15, 0.02), 0.055, 0.045),
    ((-0.42, 1.15, 0.02), (-0.62, 0.90, 0.08), 0.045, 0.035),
    ((0.10, 0.92, 0.0), (0.13, 0.50, 0.02), 0.09, 0.06),
    ((0.13, 0.50, 0.02), (0.14, 0.08, -0.02), 0.06, 0.04),
    ((-0.10, 0.92, 0.0), (-0.13, 0.50, 0.02), 0.09, 0.06),
    ((-0.13, 0.50, 0.02), (-0.14, 0.08, -0.02), 0.06, 0.04),
    ((0.14, 0.04, -0.02), (0.15, 0.03, 0.14), 0.045, 0.035),
    ((-0.14, 0.04, -0.02), (-0.15, 0.03, 0.14), 0.045, 0.035),
)


def camera(size: int) -> Cameras:
    """A square image of ``size`` pixels, 3 m in front of the person, who fills most of its height."""
    return look_at(torch.tensor([[0.3, 0.88, 3.0]]), torch.tensor([[0.0, 0.88, 0.0]]), 1.5 * size, size, size)


def person_mesh(segments: int = 36, rings: int = 30) -> tuple[Tensor, Tensor]:
    """Closed tubes around the limbs: vertices (metres) and triangles; 14,040 and 27,144 as called without
    arguments.
    """
    angle = torch.arange(segments) * (2 * math.pi / segments)
    along = torch.linspace(-1, 1, rings)
    first = torch.arange(rings - 1)[:, None] * segments
    a, b = first + torch.arange(segments), first + (torch.arange(segments) + 1) % segments
    tube = torch.cat(
        [torch.stack([a, b, a + segments], -1), torch.stack([b, b + segments, a + segments], -1)]
    ).reshape(-1, 3)
    verts, faces = [], []
    for index, (start, end, radius_start, radius_end) in enumerate(LIMBS):
        p, q = torch.tensor(start), torch.tensor(end)
        axis, length = torch.nn.functional.normalize(q - p, dim=0), (q - p).norm()
        side = torch.linalg.cross(axis, _perpendicular(axis))
        side = side / side.norm()
        other = torch.linalg.cross(axis, side)
        radius = radius_start + (radius_end - radius_start) * (along + 1) / 2
        profile = radius * torch.cos(along * math.pi / 2).clamp(min=0.02) ** 0.4
        height = (length / 2 + 0.4 * (radius_start + radius_end)) * torch.sin(along * math.pi / 2)
        circle = angle.cos()[:, None] * side + angle.sin()[:, None] * other
        points = (p + q) / 2 + height[:, None, None] * axis + profile[:, None, None] * circle
        verts.append(points.reshape(-1, 3))
        faces.append(tube + index * segments * rings)
    return torch.cat(verts), torch.cat(faces)


def person_gaussians(count: int, seed: int = 0) -> Gaussians:
    """Flat, overlapping Gaussians of random color on the mesh's surface, their size as their number asks."""
    g = torch.Generator().manual_seed(seed)
    verts, faces = person_mesh()
    a, b, c = verts[faces].unbind(1)
    normals = torch.linalg.cross(b - a, c - a)
    areas = normals.norm(dim=-1) / 2
    chosen = torch.multinomial(areas, count, replacement=True, generator=g)
    u, v = torch.rand(2, count, 1, generator=g)
    inside = u + v <= 1
    u, v = torch.where(inside, u, 1 - u), torch.where(inside, v, 1 - v)
    n = torch.nn.functional.normalize(normals[chosen], dim=-1)
    means = a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]
    means = means + n * torch.randn(count, 1, generator=g) * 0.004
    spacing = math.sqrt(float(areas.sum()) / count)
    scales = torch.tensor([0.75, 0.6, 0.25]) * spacing * torch.exp(0.35 * torch.randn(count, 3, generator=g))
    opacities = 0.1 + 0.85 * torch.rand(count, generator=g)
    colors = torch.rand(count, 3, generator=g)
    return Gaussians(means, _z_to(n), scales.log(), torch.logit(opacities), sh_from_rgb(colors))


def _perpendicular(axis: Tensor) -> Tensor:
    """Some direction that is not along ``axis``."""
    return torch.tensor([1.0, 0, 0]) if abs(float(axis[1])) > 0.9 else torch.tensor([0.0, 1, 0])


def _z_to(normals: Tensor) -> Tensor:
    """Quaternions wxyz that turn +Z into the normals (any length)."""
    x, y, z = normals.unbind(-1)
    quats = torch.stack([1 + z, -y, x, torch.zeros_like(x)], -1)
    half_turn = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand_as(quats)
    return torch.where((z < -0.999)[:, None], half_turn, quats)
