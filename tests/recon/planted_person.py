"""A stick person of 33 pose landmarks in front of a ring of cameras: known answers for what recovers points
from views.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.render.camera import look_at

# x to the person's left, y up, z forward, metres: nose, eyes, ears, mouth; shoulders to fingers; hips to
# toes.
_HEAD = [[0, 1.65, 0.10]] + [[s * x, 1.69, 0.08] for s in (1, -1) for x in (0.02, 0.035, 0.05)]
_HEAD += [[0.075, 1.66, 0.0], [-0.075, 1.66, 0.0], [0.025, 1.60, 0.08], [-0.025, 1.60, 0.08]]
_LIMBS = [(0.18, 1.45, 0.0), (0.30, 1.20, 0.05), (0.36, 1.00, 0.2)]
_LIMBS += [(0.38, 0.93, 0.24), (0.37, 0.92, 0.26), (0.34, 0.95, 0.25)]
_LIMBS += [(0.10, 0.95, 0.0), (0.11, 0.52, 0.04), (0.12, 0.09, 0.0), (0.12, 0.03, -0.06), (0.13, 0.02, 0.14)]
STICK_PERSON = np.array(_HEAD + [[s * x, y, z] for x, y, z in _LIMBS for s in (1, -1)])


@dataclass(frozen=True)
class Planted:
    """Points in the world, their cameras, and what these see."""

    points: np.ndarray
    viewmats: np.ndarray
    Ks: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray

    @property
    def detections(self) -> Detections:
        """What is seen."""
        return Detections(self.pixels, self.confidence)

    @property
    def cameras(self) -> PinholeCameras:
        """The cameras, of one kind all."""
        return PinholeCameras(self.viewmats, self.Ks)


def ring_of_cameras(
    count: int, radius: float = 3.0, spread: float = 2 * np.pi
) -> tuple[np.ndarray, np.ndarray]:
    """Cameras of 1000 px focal length and 1000 x 1000 pixels that look at the middle of a person at the
    origin.
    """
    angles = torch.arange(count, dtype=torch.float64) * (spread / count) + 0.3
    height = 1.2 + 0.5 * torch.arange(count) % 2
    eyes = torch.stack([radius * torch.sin(angles), height, radius * torch.cos(angles)], -1)
    target = torch.tensor([[0.0, 0.9, 0.0]], dtype=torch.float64).expand(count, 3)
    cameras = look_at(eyes, target, 1000.0, 1000, 1000)
    return cameras.viewmats.numpy(), cameras.Ks.numpy()


def project(points: np.ndarray, viewmats: np.ndarray, Ks: np.ndarray) -> np.ndarray:
    """Pixels [t c k 2] of world points [t k 3]."""
    local = np.einsum("cij,tkj->tcki", viewmats[:, :3, :3], points) + viewmats[None, :, None, :3, 3]
    image = np.einsum("cij,tckj->tcki", Ks, local)
    return image[..., :2] / image[..., 2:]


def walking(frames: int, speed: float = 1.0) -> np.ndarray:
    """The stick person swinging its limbs and swaying, [t 33 3]; smooth and never twice the same."""
    time = np.arange(frames)[:, None] / 60
    points = np.repeat(STICK_PERSON[None], frames, 0)
    phases = np.linspace(0, 5, 33)
    points[:, 11:, 2] += 0.15 * np.sin(speed * 4.3 * time + phases[11:])
    points[:, 11:, 1] += 0.06 * np.sin(speed * 6.1 * time + 2 * phases[11:])
    points[:, :, 0] += 0.10 * np.sin(speed * 2.9 * time)
    return points


def planted(cameras: int = 5, frames: int = 1, noise_px: float = 0.0, seed: int = 0) -> Planted:
    """A capture of the walking stick person with white noise on its detections."""
    viewmats, Ks = ring_of_cameras(cameras)
    points = walking(frames)
    pixels = project(points, viewmats, Ks)
    pixels = pixels + noise_px * np.random.default_rng(seed).standard_normal(pixels.shape)
    return Planted(points, viewmats, Ks, pixels, np.ones(pixels.shape[:3]))


def seen_skeleton(points: np.ndarray, viewmat: np.ndarray) -> np.ndarray:
    """What a network that errs nowhere says of a skeleton in the world: metres about the mid hip, as a camera sees it
    that looks straight at the person.
    """
    local = points @ viewmat[:3, :3].T + viewmat[:3, 3]
    away = (local / local[..., 2:]).mean(-2)
    away = away / np.linalg.norm(away, axis=-1, keepdims=True)
    across = np.cross(away, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    angle = np.arctan2(sine, away[..., 2:])
    turn = Rotation.from_rotvec(across / np.maximum(sine, 1e-12) * angle).as_matrix()
    about = local - local[..., [23, 24], :].mean(-2, keepdims=True)
    return np.einsum("...ij,...kj->...ki", turn, about)
