"""The parametric body, planted before a ring of cameras: what a detector, a mask and a depth camera would see of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulacra.recon.fit.joints import joint_space
from simulacra.recon.observe import Observations
from simulacra.recon.session import Frame, SessionCamera, Source
from simulacra.render.body import BodyModel, BodyPose, BodyShape
from simulacra.render.camera import Cameras
from simulacra.render.mesh import rasterize_mesh
from tests.recon.planted_person import project, ring_of_cameras, seen_skeleton

FOCAL_SIDE = 1000  # ring_of_cameras: 1000 px focal length, 1000 x 1000 images


@dataclass
class PlantedSession:
    """The part of a session that fitting reads; a camera named in ``forbidden`` must not be touched."""

    cameras: tuple[SessionCamera, ...]
    frames: tuple[Frame, ...]
    depths: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()

    def camera(self, name: str) -> SessionCamera:
        assert name not in self.forbidden, f"camera {name} is held out"
        return next(camera for camera in self.cameras if camera.name == name)

    def has(self, frame_index: int, camera: str) -> bool:
        assert camera not in self.forbidden, f"camera {camera} is held out"
        return True

    def depth(self, frame_index: int, camera: str) -> Any:
        assert camera not in self.forbidden, f"camera {camera} is held out"
        return self.depths.get((frame_index, camera))


@dataclass(frozen=True)
class PlantedObservations(Observations):
    """Observations whose masks are in memory."""

    masks: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)

    def mask(self, frame: int, camera: str) -> np.ndarray | None:
        return self.masks.get((frame, camera))


@dataclass(frozen=True)
class PlantedBody:
    """The truth and what is seen of it."""

    shape: BodyShape
    pose: BodyPose
    verts: torch.Tensor
    landmarks: np.ndarray
    session: PlantedSession
    observations: PlantedObservations


def plant(
    body: BodyModel,
    frames: int = 1,
    cameras: int = 5,
    noise_px: float = 1.0,
    fps: float = 30.0,
    depth: bool = False,
    seed: int = 0,
    phenotypes: dict[str, float] | None = None,
) -> PlantedBody:
    """A person who turns and moves its limbs, with landmarks, and with masks and depth if asked for.

    Args:
        phenotypes: other than the middle; tallish and heavy if None.
    """
    generator = np.random.default_rng(seed)
    shape = body.neutral_shape()
    for name, value in ({"height": 0.47, "weight": 0.68} if phenotypes is None else phenotypes).items():
        shape.phenotypes[body.phenotype_names.index(name)] = value
    pose = _pose(body, frames, fps, generator)
    with torch.no_grad():
        posed = body.pose(body.rest(shape), pose)
        landmarks = {name: body.keypoints[name](posed).double().numpy() for name in body.keypoints}
    viewmats, Ks = ring_of_cameras(cameras)
    names = [f"c{i}" for i in range(cameras)]
    session = PlantedSession(
        tuple(
            SessionCamera(n, FOCAL_SIDE, FOCAL_SIDE, K, V)
            for n, K, V in zip(names, Ks, viewmats, strict=True)
        ),
        tuple(Frame(i, {n: Source(f"{n}/{i}.png", time=i / fps) for n in names}) for i in range(frames)),
    )
    masks: dict[tuple[int, str], np.ndarray] = {}
    if depth:
        _render(body, posed.verts, session, masks)
    observations = _observed(landmarks, viewmats, Ks, names, noise_px, generator, masks)
    return PlantedBody(shape, pose, posed.verts, landmarks["pose33"], session, observations)


def _pose(body: BodyModel, frames: int, fps: float, generator: np.random.Generator) -> BodyPose:
    """Smooth motion within the joints' ranges around a random pose; the person faces somewhere and steps about."""
    space = joint_space(body)
    count = len(space.bones)
    time = np.arange(frames)[:, None] / fps
    middle = 0.5 * generator.standard_normal(count)
    swing = 0.3 * generator.standard_normal(count) * np.sin(2.0 * time + generator.uniform(0, 6, count))
    z = torch.from_numpy(np.where(space.is_hand.numpy(), 0.0, middle + swing)).float()
    angle = z * space.sigma
    z = torch.minimum(torch.maximum(angle, space.low), space.high) / space.sigma
    rotations = space.rotations(z)
    rotations[:, 0, 1] = 2.2 + 0.3 * torch.from_numpy(np.sin(1.5 * time[:, 0])).float()
    translation = torch.zeros(frames, 3)
    translation[:, 0] = torch.from_numpy(0.1 * np.sin(1.2 * time[:, 0])).float()
    return BodyPose(rotations, translation, torch.zeros(frames, len(body.expression_names)))


def _observed(
    landmarks: dict[str, np.ndarray],
    viewmats: np.ndarray,
    Ks: np.ndarray,
    names: list[str],
    noise_px: float,
    generator: np.random.Generator,
    masks: dict[tuple[int, str], np.ndarray],
) -> PlantedObservations:
    frames, cameras = len(landmarks["pose33"]), len(names)

    def seen(name: str) -> np.ndarray:
        exact = project(landmarks[name], viewmats, Ks)
        return (exact + noise_px * generator.standard_normal(exact.shape)).astype(np.float32)

    hands = np.stack([seen("hand21_left"), seen("hand21_right")], 2)
    return PlantedObservations(
        frames=np.arange(frames),
        cameras=tuple(names),
        pose_px=seen("pose33"),
        pose_visibility=np.full((frames, cameras, 33), 0.95, np.float32),
        pose_spread_px=np.zeros((frames, cameras, 33), np.float32),
        pose_score=np.ones((frames, cameras), np.float32),
        face_px=np.full((frames, cameras, 478, 2), np.nan, np.float32),
        face_score=np.zeros((frames, cameras), np.float32),
        hand_px=hands,
        hand_score=np.zeros((frames, cameras, 2), np.float32),
        mask_sources={},
        folder=Path(),
        pose_world=np.stack([seen_skeleton(landmarks["pose33"], V) for V in viewmats], 1).astype(np.float32),
        masks=masks,
    )


def _render(
    body: BodyModel,
    verts: torch.Tensor,
    session: PlantedSession,
    masks: dict[tuple[int, str], np.ndarray],
) -> None:
    """Masks and depth of every view, at a quarter of the size and enlarged by repetition."""
    for camera in session.cameras:
        viewmat, K = (torch.from_numpy(each).float()[None] for each in (camera.viewmat, camera.K))
        view = Cameras(viewmat, K, camera.width, camera.height).scaled(camera.width // 4, camera.height // 4)
        for frame in range(len(verts)):
            drawn = rasterize_mesh(verts[frame], body.faces, view)
            covered = (drawn.face_index[0] >= 0).numpy()
            depth = np.where(covered, drawn.depth[0].numpy(), 0.0).astype(np.float32)
            large = np.ones((4, 4))
            masks[frame, camera.name] = np.kron(covered, large).astype(np.float32)
            session.depths[frame, camera.name] = (
                np.kron(depth, large).astype(np.float32),
                np.kron(covered, large) > 0,
            )
