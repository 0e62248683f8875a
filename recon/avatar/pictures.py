"""Pictures that show a result to people: the avatar from all round, and the fitted body over the photographs.

They are looked at, not measured: nothing here enters a score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.camera import Cameras, look_at
from simulacra.render.figure import Figure
from simulacra.render.image import composite, limited_size, resize_area, write_image
from simulacra.render.mesh import shade

TURNTABLE_FOLDER = "turntable"
OVERLAY_FOLDER = "overlay"
BACKDROP = (0.945, 0.945, 0.935)
# The body over a photograph: its color, and how much of the photograph stays visible through it.
BODY_RGB = (0.45, 0.68, 0.95)
BODY_ALPHA = 0.62
FIELD_OF_VIEW = math.radians(24.0)
ELEVATION = math.radians(6.0)


@dataclass(frozen=True)
class Sphere:
    """What a turntable turns around: world, metres."""

    center: Float[Tensor, "3"]
    radius: float


def bounding_sphere(figure: Figure, left_out: float = 0.002) -> Sphere:
    """A sphere around what is visible of a figure, a few strays aside.

    Args:
        left_out: part of its points that may lie outside, so that one stray does not shrink the picture.
    """
    points = figure.points.double()
    ordered = points.sort(dim=0).values
    skip = int(left_out * (len(points) - 1))
    center = (ordered[skip] + ordered[len(points) - 1 - skip]) / 2
    distances = (points - center).norm(dim=-1).sort().values
    return Sphere(center.to(figure.points.dtype), float(distances[len(points) - 1 - skip]))


def turntable_cameras(
    sphere: Sphere, count: int, size: int, facing: Float[Tensor, "3"] | None = None
) -> Cameras:
    """`count` square cameras in a level ring around the sphere, which just fits into their pictures.

    Args:
        facing: where the person looks, world; the first camera stands there. +Z if None.
    """
    heading = 0.0 if facing is None else math.atan2(float(facing[0]), float(facing[2]))
    angles = heading + torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    distance = 1.04 * sphere.radius / math.sin(FIELD_OF_VIEW / 2)
    level = math.cos(ELEVATION)
    height = torch.full_like(angles, math.sin(ELEVATION))
    ring = torch.stack([angles.sin() * level, height, angles.cos() * level], dim=-1)
    center = sphere.center.double()
    focal = size / 2 / math.tan(FIELD_OF_VIEW / 2)
    cameras = look_at(center + distance * ring, center.expand(count, 3), focal, size, size)
    return cameras.to(sphere.center.dtype)


def write_turntable(
    folder: Path,
    figure: Figure,
    *,
    sphere: Sphere | None = None,
    facing: Float[Tensor, "3"] | None = None,
    count: int = 36,
    size: int = 512,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[Path]:
    """One turn around the figure as ``turntable/000.png`` and so on, on a light backdrop."""
    cameras = turntable_cameras(sphere or bounding_sphere(figure), count, size, facing)
    backdrop = figure.points.new_tensor(BACKDROP)
    paths = []
    for index in progress(range(count)):
        with torch.no_grad():
            drawn = figure.draw(cameras[index])
        picture = composite(drawn.rgb_premul[0], drawn.alpha[0], backdrop)
        paths.append(folder / TURNTABLE_FOLDER / f"{index:03d}.png")
        write_image(paths[-1], picture.clamp(0, 1).cpu().numpy())
    return paths


def draw_overlay(
    photo: Float[np.ndarray, "h w 3"],
    camera: Cameras,
    verts: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    longest_side: int = 720,
) -> Float[np.ndarray, "h2 w2 3"]:
    """The shaded body over the photograph, which shows through.

    Args:
        photo: the whole image of `camera` (a batch of one).
    """
    width, height = limited_size(photo.shape[1], photo.shape[0], longest_side)
    small = torch.from_numpy(resize_area(photo, width, height))
    tint = torch.tensor(BODY_RGB).expand(len(verts), 3)
    with torch.no_grad():
        body, covered = shade(verts.float(), faces, camera.to(torch.float32).scaled(width, height), rgb=tint)
    alpha = BODY_ALPHA * covered[0]
    picture = composite(BODY_ALPHA * body[0].cpu(), alpha.cpu(), small)
    return picture.clamp(0, 1).numpy()


def write_overlay(
    folder: Path,
    camera_name: str,
    photo: Float[np.ndarray, "h w 3"],
    camera: Cameras,
    verts: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
) -> Path:
    """Writes ``overlay/CAMERA.png``."""
    path = folder / OVERLAY_FOLDER / f"{camera_name}.png"
    write_image(path, draw_overlay(photo, camera, verts, faces))
    return path
