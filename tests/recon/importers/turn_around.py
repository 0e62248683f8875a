"""A textured scene drawn by our own rasterizer from known cameras: what structure from motion has to give back."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from simulacra.recon.session import SessionCamera
from simulacra.render.camera import Cameras, look_at
from simulacra.render.mesh import interpolate, rasterize_mesh

WIDTH, HEIGHT, FOCAL = 400, 300, 380.0


def around(count: int = 14, degrees: float = 120.0, radius: float = 2.4) -> tuple[SessionCamera, ...]:
    """Cameras on an arc around the scene, alternately higher and lower; named 000, 001, ..."""
    made = []
    for i, angle in enumerate(np.radians(np.linspace(0, degrees, count))):
        eye = torch.tensor([[radius * np.sin(angle), 1.2 + 0.25 * (i % 2), radius * np.cos(angle)]])
        view = look_at(eye, torch.tensor([[0.0, 0.8, 0.0]]).double(), FOCAL, WIDTH, HEIGHT)
        K = view.Ks[0].numpy().astype(np.float64)
        made.append(SessionCamera(f"{i:03d}", WIDTH, HEIGHT, K, view.viewmats[0].numpy().astype(np.float64)))
    return tuple(made)


def draw(cameras: Sequence[SessionCamera]) -> list[np.ndarray]:
    """The scene from every camera: a textured column of a person's size on a textured floor, h w 3."""
    verts, faces, colors = _scene()
    images = []
    for camera in cameras:
        view = Cameras(
            torch.from_numpy(camera.viewmat).float()[None],
            torch.from_numpy(camera.K).float()[None],
            camera.width,
            camera.height,
        )
        seen = rasterize_mesh(verts, faces, view)
        image = interpolate(colors, faces, seen)[0]
        images.append(np.clip(image.numpy(), 0, 1).astype(np.float32))
    return images


def _scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    floor = np.stack(np.meshgrid(np.linspace(-3, 3, 400), np.linspace(-3, 3, 400)), axis=-1)
    ground = np.stack([floor[..., 0], np.zeros(floor.shape[:2]), floor[..., 1]], axis=-1)
    angle, height = np.meshgrid(np.linspace(0, 2 * np.pi, 300), np.linspace(0, 1.7, 260))
    radius = 0.3 + 0.06 * np.sin(3 * angle) + 0.05 * np.cos(7 * height)
    column = np.stack([radius * np.sin(angle), height, radius * np.cos(angle)], axis=-1)
    parts = [(ground, _texture(400, 400, 1)), (column, _texture(260, 300, 2))]
    verts, faces, colors, start = [], [], [], 0
    for points, texture in parts:
        rows, columns = points.shape[:2]
        index = start + np.arange(rows * columns).reshape(rows, columns)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
        faces += [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
        verts.append(points.reshape(-1, 3))
        colors.append(texture.reshape(-1, 3))
        start += rows * columns
    return (
        torch.from_numpy(np.concatenate(verts)).float(),
        torch.from_numpy(np.concatenate(faces)).int(),
        torch.from_numpy(np.concatenate(colors)).float(),
    )


def _texture(rows: int, columns: int, seed: int) -> np.ndarray:
    """Blobs of several sizes."""
    rng = np.random.default_rng(seed)
    texture = np.zeros((rows, columns, 3))
    for size in (2, 4, 8, 20):
        noise = cv2.GaussianBlur(rng.standard_normal((rows, columns, 3)), (0, 0), size)
        texture += noise / noise.std()
    return np.clip(0.5 + 0.13 * texture, 0, 1)


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and translation that take points to others best (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    R = u @ sign @ vt
    scale = float((s * np.diag(sign)).sum() / (a**2).sum())
    return scale, R, target.mean(0) - scale * R @ source.mean(0)
