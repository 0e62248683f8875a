"""Rigs of many kinds before a planted person, with landmarks that err as detectors do, and with faults in them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from simulacra.recon.fit import FitConfig
from simulacra.recon.fit.capture import Views, chosen_views
from simulacra.recon.fit.doubts import Doubt, find_doubts
from simulacra.recon.fit.tracks import gather_poses
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.session import SessionCamera
from simulacra.render.camera import look_at
from tests.recon.planted_body import PlantedBody, PlantedSession
from tests.recon.planted_person import project


@dataclass(frozen=True)
class PlantedRig:
    """A session and what is seen; the truth about its cameras."""

    scene: PlantedBody
    truth: Views

    @property
    def names(self) -> tuple[str, ...]:
        return self.truth.names


def random_rig(
    scene: PlantedBody, seed: int, cameras: int | None = None, error_m: float = 0.012
) -> PlantedRig:
    """Three to six cameras of different lenses somewhere about the person, 2 to 5 m off.

    Args:
        scene: whose landmarks are seen.
        cameras: so many.
        error_m: of a landmark across the viewing direction: as much again constant for each view, as detectors are
            biased, as changing from frame to frame.
    """
    generator = np.random.default_rng(seed)
    count = int(generator.integers(3, 7)) if cameras is None else cameras
    arc = generator.uniform(np.pi, 2 * np.pi)
    angles = generator.uniform(0, 2 * np.pi) + np.arange(count) * arc / count
    angles += 0.2 * generator.standard_normal(count)
    radius = generator.uniform(2, 5, count)
    heights = generator.uniform(0.5, 2.5, count)
    eyes = torch.from_numpy(np.stack([radius * np.sin(angles), heights, radius * np.cos(angles)], -1))
    target = torch.tensor([[0.0, 0.9, 0.0]], dtype=torch.float64).expand(count, 3)
    views = look_at(eyes, target, 1000.0, 2000, 2000)
    viewmats, Ks = views.viewmats.numpy(), views.Ks.numpy().copy()
    # As much of the picture as the person fills anywhere.
    Ks[:, [0, 1], [0, 1]] = (generator.uniform(300, 400, count) * radius)[:, None]
    names = tuple(f"c{i}" for i in range(count))
    truth = Views(names, viewmats, Ks, np.full((count, 2), 2000))
    exact = project(scene.landmarks, viewmats, Ks)
    scale = (Ks[:, 0, 0] / radius)[None, :, None, None] * error_m / np.sqrt(2)
    noise = generator.standard_normal(exact.shape) + generator.standard_normal((1, *exact.shape[1:]))
    pixels = (exact + scale * noise).astype(np.float32)
    shape = pixels.shape[:3]
    seen = replace(
        scene.observations,
        cameras=names,
        pose_px=pixels,
        pose_visibility=np.full(shape, 0.95, np.float32),
        pose_spread_px=np.zeros(shape, np.float32),
        pose_score=np.ones(shape[:2], np.float32),
        face_score=np.zeros(shape[:2], np.float32),
    )
    described = tuple(
        SessionCamera(name, 2000, 2000, K, V) for name, K, V in zip(names, Ks, viewmats, strict=True)
    )
    session = PlantedSession(described, scene.session.frames)
    return PlantedRig(replace(scene, session=session, observations=seen), truth)


def with_camera_turned(rig: PlantedRig, column: int, degrees: float, seed: int = 0) -> PlantedRig:
    """The session's calibration of one camera turned about some axis across its view."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([np.cos(angle), np.sin(angle), 0.0]))
    session = rig.scene.session
    cameras = list(session.cameras)
    viewmat = cameras[column].viewmat.copy()
    viewmat[:3] = turn.as_matrix() @ viewmat[:3]
    cameras[column] = replace(cameras[column], viewmat=viewmat)
    return replace(rig, scene=replace(rig.scene, session=replace(session, cameras=tuple(cameras))))


def with_landmarks_missing(rig: PlantedRig, share: float, seed: int = 0) -> PlantedRig:
    """So many detections gone."""
    seen = rig.scene.observations
    lost = np.random.default_rng(seed).random(seen.pose_px.shape[:3]) < share
    pixels = np.where(lost[..., None], np.nan, seen.pose_px).astype(np.float32)
    return replace(rig, scene=replace(rig.scene, observations=replace(seen, pose_px=pixels)))


def with_sides_exchanged(rig: PlantedRig, column: int) -> PlantedRig:
    """Left for right in one view."""
    seen = rig.scene.observations
    flips = np.zeros((*seen.pose_px.shape[:2], 3), dtype=bool)
    flips[:, column] = True
    given = Detections(seen.pose_px.astype(np.float64), seen.pose_visibility.astype(np.float64))
    pixels = given.exchanged(flips).pixels.astype(np.float32)
    return replace(rig, scene=replace(rig.scene, observations=replace(seen, pose_px=pixels)))


def doubts_of(rig: PlantedRig, frames: int | None = None) -> tuple[Doubt, ...]:
    """What is said of the landmarks, without a fit."""
    scene, config = rig.scene, FitConfig()
    given = chosen_views(scene.session, rig.names)
    numbers = list(range(len(scene.landmarks)))[:frames]
    tracks, _ = gather_poses(scene.session, scene.observations, given, numbers, config)
    return find_doubts(tracks, given, config)
