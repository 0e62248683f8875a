"""Light in the studio: soft boxes, and for every vertex how much of each it sees.

Irradiance is a sum over directions of the light that comes from there, times the cosine, where nothing stands in the
way: the person's own depth as seen from each direction says what does. That gives soft shadows under chins and arms
and in folds for any light, at the cost of one small drawing a direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.runtime.threads import run_ranges, thread_count

from . import light_kernels as kernels

SIDE = 256  # pixels of a drawing from one direction
BIAS = 0.006  # metres


@dataclass(frozen=True)
class Light:
    """Light from a set of directions.

    Attributes:
        directions: towards the light, unit, world.
        radiance: linear rgb, times its share of the sphere.
    """

    directions: Float[Tensor, "d 3"]
    radiance: Float[Tensor, "d 3"]


def studio_light(seed: int = 0, count: int = 28) -> Light:
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
    light: Light,
    verts: Float[Tensor, "v 3"],
    normals: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    bias: Float[Tensor, " v"] | None = None,
) -> Float[Tensor, "v 3"]:
    """Linear rgb that falls on every vertex, over pi: times albedo it is the light that leaves.

    Args:
        faces: what casts shadows.
        bias: how far behind a surface each vertex is still lit, metres.
    """
    points, toward = np.ascontiguousarray(verts.numpy()), np.ascontiguousarray(normals.numpy())
    low, high = points.min(0), points.max(0)
    center = ((low + high) / 2).astype(np.float32)
    scale = np.float32(SIDE / (np.linalg.norm(high - low) * 1.02))
    behind = np.full(len(points), BIAS, np.float32) if bias is None else bias.numpy()
    triangles = faces.to(torch.int32).contiguous().numpy()
    count = len(light.directions)
    shares = np.zeros((count, len(points), 3), np.float32)

    def one(_: int, start: int, stop: int) -> None:
        for k in range(start, stop):
            axes = _axes(light.directions[k].numpy())
            depth = np.full((SIDE, SIDE), -1e30, np.float32)
            kernels.seen_from(points, triangles, axes, center, scale, depth)
            radiance = light.radiance[k].numpy()
            kernels.receive(points, toward, behind, axes, center, scale, depth, radiance, shares[k])

    run_ranges(one, list(range(count + 1)), thread_count())
    # Always added in the same order: the same bits whatever the threads.
    return torch.from_numpy(shares.sum(0)) / torch.pi


def _axes(direction: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """Right, up and towards the light."""
    towards = direction / np.linalg.norm(direction)
    aside = np.array([0.0, 0.0, 1.0]) if abs(towards[1]) > 0.9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(aside, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards]).astype(np.float32)
