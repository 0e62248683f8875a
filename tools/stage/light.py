"""Light on the stage: soft boxes, and for every vertex how much of each it sees.

Irradiance is a sum over directions of the light that comes from there, times the cosine, where nothing stands in the
way: the person's own depth as seen from each direction, drawn by the mesh rasterizer, says what does. That gives
soft shadows under chins and arms and in folds for any light, at the cost of one small drawing a direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from render.camera import look_at
from render.mesh import rasterize_mesh

FAR = 60.0  # metres: from so far away a camera's rays are as good as parallel
SIDE = 224  # pixels of a drawing from one direction
BIAS = 0.006  # metres


@dataclass(frozen=True)
class Light:
    """Light from a set of directions.

    Attributes:
        directions: towards the light, unit, world. radiance: linear rgb, times its share of the sphere.
    """

    directions: Float[Tensor, "d 3"]
    radiance: Float[Tensor, "d 3"]


def studio(seed: int = 0, count: int = 28) -> Light:
    """A soft dome, a warm key light and a cool fill, whose places the seed decides."""
    rng = np.random.default_rng(seed)
    k = np.arange(count) + 0.5
    height = 1 - 1.75 * k / count  # down to a little below the horizon: the floor gives light back
    turn = np.pi * (1 + 5**0.5) * k + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - height**2)
    directions = np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], 1)
    radiance = (
        np.tile([0.95, 0.98, 1.0], (count, 1)) * np.where(height > 0, 0.55 + 0.45 * height, 0.30)[:, None]
    )
    for azimuth, strength, tint in (
        (rng.uniform(-0.9, 0.9), rng.uniform(1.5, 2.6), (1.0, 0.95, 0.88)),
        (rng.uniform(2.2, 4.0), rng.uniform(0.3, 0.9), (0.88, 0.94, 1.0)),
    ):
        box = np.array([np.sin(azimuth), rng.uniform(0.5, 0.9), np.cos(azimuth)])
        towards = np.clip(directions @ (box / np.linalg.norm(box)), 0, 1) ** 6
        radiance += strength * towards[:, None] * np.array(tint)
    radiance *= np.pi / (radiance * np.clip(directions[:, 1:2], 0.25, 1)).sum(0).mean() * 0.95
    return Light(torch.from_numpy(directions).float(), torch.from_numpy(radiance).float())


def irradiance(
    light: Light, verts: Float[Tensor, "v 3"], normals: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "v 3"]:
    """Linear rgb that falls on every vertex, over pi: times albedo it is the light that leaves."""
    low, high = verts.amin(0), verts.amax(0)
    center, radius = (low + high) / 2, float((high - low).norm()) / 2 * 1.05
    focal = SIDE / 2 * FAR / radius
    total = torch.zeros_like(verts)
    for direction, radiance in zip(light.directions, light.radiance):
        camera = look_at((center + FAR * direction)[None], center[None], focal, SIDE, SIDE)
        drawn = rasterize_mesh(verts, faces, camera).depth[0]
        blocked = torch.where(drawn > 0, drawn, torch.inf)
        uv, depth = camera.project(verts)
        open_share = _unblocked(blocked, uv[0] - 0.5, depth[0] - BIAS)
        cosine = (normals @ direction).clamp(min=0)
        total += (cosine * open_share)[:, None] * radiance
    return total / torch.pi


def _unblocked(
    blocked: Float[Tensor, "h w"], uv: Float[Tensor, "v 2"], depth: Float[Tensor, " v"]
) -> Float[Tensor, " v"]:
    """The share of the four pixels around each place that are not nearer, weighted bilinearly."""
    first = torch.floor(uv)
    share = uv - first
    total = torch.zeros_like(depth)
    for dx in (0, 1):
        for dy in (0, 1):
            x = (first[:, 0].long() + dx).clamp(0, SIDE - 1)
            y = (first[:, 1].long() + dy).clamp(0, SIDE - 1)
            weight = (share[:, 0] if dx else 1 - share[:, 0]) * (share[:, 1] if dy else 1 - share[:, 1])
            total += weight * (blocked[y, x] > depth).float()
    return total
