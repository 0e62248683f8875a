"""A rig that sees a walking person and a board, and a calibration of it that has gone off since."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate.boards_seen import BoardSeen
from simulacra.recon.calibrate.body import BodyViews, align_views
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.multiview.rig import CameraRig, Sightings, project_bodies
from simulacra.recon.observe.landmarks import POSE33
from tests.recon.calibrate.planted_rig import BOARD
from tests.recon.planted_person import project, ring_of_cameras, walking

CAMERAS = ("front", "left", "back", "right")


@dataclass(frozen=True)
class Scene:
    """The true rig, the given one, and what is seen."""

    truth: CameraRig
    given: CameraRig
    body: BodyViews
    boards: tuple[BoardSeen, ...]

    def errors(self, rig: CameraRig, scaled: bool) -> tuple[np.ndarray, np.ndarray]:
        """Turns about the cameras' axes (degrees) and shifts (metres) that a rig is off, laid over the true one."""
        viewmats = rig.viewmats.copy()
        if not scaled:
            sizes = [np.linalg.norm(each.centres - each.centres.mean(0)) for each in (rig, self.truth)]
            viewmats[:, :3, 3] *= sizes[1] / sizes[0]
        moved = CameraRig(rig.intrinsics, viewmats @ np.linalg.inv(laid_over(viewmats, self.truth.viewmats)))
        turns = moved.viewmats[:, :3, :3] @ np.swapaxes(self.truth.viewmats[:, :3, :3], 1, 2)
        return np.degrees(Rotation.from_matrix(turns).as_rotvec()), moved.centres - self.truth.centres


def planted_scene(
    seed: int = 0,
    *,
    frames: int = 60,
    cameras: int = 4,
    turn_deg: float = 0.6,
    place_m: float = 0.01,
    bias_m: float = 0.008,
    slow_m: float = 0.006,
    white_m: float = 0.004,
    boards: int = 12,
    corner_px: float = 0.5,
    focal: float = 0.0,
    still: bool = False,
    outliers: float = 0.0,
    swapped: float = 0.0,
) -> Scene:
    """Detections with errors that stay (of parts, and of landmarks), that pass slowly, and that are new every time."""
    draw = np.random.default_rng(seed)
    viewmats, Ks = ring_of_cameras(cameras)
    intrinsics = np.zeros((cameras, 9))
    intrinsics[:, :4] = Ks[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    truth = CameraRig(intrinsics, viewmats)
    turns = np.radians(turn_deg) * draw.standard_normal((cameras, 3))
    off = viewmats.copy()
    off[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix() @ viewmats[:, :3, :3]
    centres = truth.centres + place_m * draw.standard_normal((cameras, 3))
    off[:, :3, 3] = -np.einsum("cij,cj->ci", off[:, :3, :3], centres)
    wrong = intrinsics.copy()
    wrong[:, :2] *= 1 + focal * draw.standard_normal((cameras, 1))
    given = CameraRig(wrong, off)
    points = _strolling(1 if still else frames)
    points = np.repeat(points, frames, 0) if still else points
    pixels = project(points, viewmats, Ks)
    local = np.einsum("cij,tkj->tcki", viewmats[:, :3, :3], points) + viewmats[:, None, :3, 3]
    scale = 1000.0 / local[..., 2:]
    pixels = pixels + scale * _errors(draw, frames, cameras, bias_m, slow_m, white_m)
    jumps = draw.random(pixels.shape[:3]) < outliers
    pixels[jumps] += 150 * draw.standard_normal((int(jumps.sum()), 2))
    sides = draw.random(pixels.shape[:2]) < swapped
    pixels[sides] = pixels[sides][:, np.array(POSE33.mirror)]
    confidence = np.clip(0.9 + 0.1 * draw.standard_normal(pixels.shape[:3]), 0.5, 1.0)
    body = align_views(np.arange(frames), Detections(pixels, confidence), given)
    return Scene(truth, given, body, (_board(draw, truth, boards, corner_px),) if boards else ())


def _strolling(frames: int) -> np.ndarray:
    """The stick person walks in a circle of 40 cm, turns with it, bends and swings its limbs."""
    points = walking(frames, speed=2.0)
    angle = 2 * np.pi * np.arange(frames) / 60
    turn = Rotation.from_euler("y", 0.8 * np.sin(angle)[:, None]).as_matrix()
    points = np.einsum("tij,tkj->tki", turn, points)
    return points + 0.4 * np.stack([np.cos(angle), 0.2 * np.sin(2 * angle), np.sin(angle)], -1)[:, None]


def _errors(
    draw: np.random.Generator, frames: int, cameras: int, bias: float, slow: float, white: float
) -> np.ndarray:
    own = draw.standard_normal((1, cameras, 33, 2))
    shape = (frames, cameras, 33, 2)
    passing = np.zeros(shape)
    keep = 0.85
    passing[0] = draw.standard_normal(shape[1:])
    for frame in range(1, frames):
        passing[frame] = keep * passing[frame - 1] + np.sqrt(1 - keep**2) * draw.standard_normal(shape[1:])
    return bias * own + slow * passing + white * draw.standard_normal(shape)


def _board(draw: np.random.Generator, truth: CameraRig, moments: int, noise: float) -> BoardSeen:
    """A board that is held still at some places, seen by the two or three cameras that it faces."""
    corners = BOARD.corners
    camera, body, places, bodies = [], [], [], []
    for moment in range(moments):
        pose = np.eye(4)
        angle = 2 * np.pi * moment / moments
        pose[:3, :3] = Rotation.from_euler("yxz", [angle, *(0.3 * draw.standard_normal(2))]).as_matrix()
        pose[:3, 3] = np.array([0, 1.1, 0]) + 0.3 * draw.standard_normal(3)
        bodies.append(pose)
        for number, view in enumerate(truth.viewmats):
            towards = (view @ pose)[:3, 2]
            if abs(towards[2]) > 0.35:
                camera += [number] * len(corners)
                body += [moment] * len(corners)
                places.append(corners)
    count = len(camera)
    sightings = Sightings(
        np.array(camera), np.array(body), np.concatenate(places), np.zeros((count, 2)),
        np.full(count, noise), np.zeros((count, 2)),
    )  # fmt: skip
    seen = project_bodies(truth, np.stack(bodies), sightings).pixels
    pixels = seen + noise * draw.standard_normal(seen.shape)
    return BoardSeen(
        "board",
        Sightings(
            sightings.camera, sightings.body, sightings.places, pixels, sightings.sigma, sightings.drift
        ),
        np.stack(bodies),
    )
