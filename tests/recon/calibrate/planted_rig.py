"""A rig that looks at a waved board, with corners where they must be seen but for noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate.boards import Board, Corners
from simulacra.recon.calibrate.recordings import BoardView, BoardViews
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.multiview.rig import CameraRig, project_points

BOARD = Board("charuco", 6, 5, 0.075)
SIZE = (1280, 720)
RATE = 10.0


@dataclass(frozen=True)
class PlantedRig:
    rig: CameraRig
    found: BoardViews


def planted_rig(
    cameras: int = 3,
    moments: int = 40,
    noise: float = 0.1,
    seed: int = 0,
    lags: tuple[float, ...] | None = None,
    jitter: float = 0.0,
    board: Board = BOARD,
    video: bool = True,
) -> PlantedRig:
    """Cameras on an arc, 1.6 m from a board that swings and tilts; ``lags`` and ``jitter`` in seconds."""
    generator = np.random.default_rng(seed)
    rig = CameraRig(
        np.stack([_intrinsics(camera) for camera in range(cameras)]),
        np.stack([_view(camera, cameras) for camera in range(cameras)]),
    )
    phases = np.random.default_rng(7).uniform(0, 2 * np.pi, 6)
    views = []
    for moment in range(moments):
        for camera in range(cameras):
            time = moment / RATE
            exposed = time - (lags[camera] if lags else 0.0) + jitter * generator.standard_normal()
            pose = rig.viewmats[camera] @ _pose(exposed, phases)
            local = board.corners @ pose[:3, :3].T + pose[:3, 3]
            pixels = project_points(local, rig.intrinsics[camera])[0]
            inside = ((pixels > 5) & (pixels < np.array(SIZE) - 5)).all(-1)
            if inside.sum() < 8 or abs(pose[2, 2]) < 0.2:
                continue
            seen = pixels[inside] + noise * generator.standard_normal((int(inside.sum()), 2))
            frame = moment if video else None
            corners = Corners(np.flatnonzero(inside), seen, 2.5)
            views.append(BoardView(camera, str(moment), corners, frame, time if video else None))
    names = tuple(f"cam_{camera}" for camera in range(cameras))
    return PlantedRig(rig, BoardViews(board, names, (SIZE,) * cameras, (moments,) * cameras, tuple(views)))


def rig_difference(viewmats: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far cameras are apart in two rigs laid over each other: metres and degrees."""
    moved = viewmats @ np.linalg.inv(laid_over(viewmats, target))
    zeros = np.zeros((len(target), 9))
    apart = np.linalg.norm(CameraRig(zeros, moved).centres - CameraRig(zeros, target).centres, axis=-1)
    turns = Rotation.from_matrix(moved[:, :3, :3] @ np.swapaxes(target[:, :3, :3], 1, 2)).magnitude()
    return apart, np.degrees(turns)


def _intrinsics(camera: int) -> np.ndarray:
    return np.array(
        [900.0 + 30 * camera, 905.0 + 30 * camera, 645 - 5 * camera, 350 + 4 * camera, -0.1, 0.05, 0, 0, 0]
    )


def _view(camera: int, cameras: int) -> np.ndarray:
    angle = 0.45 * (camera - (cameras - 1) / 2)
    turn = Rotation.from_euler("y", angle).as_matrix()
    view = np.eye(4)
    view[:3, :3] = turn
    view[:3, 3] = [0.02 * camera, 0.01, 1.6]
    return view


def _pose(time: float, phases: np.ndarray) -> np.ndarray:
    """The board's middle swings by 40 cm and it tilts by 35 degrees, over some seconds."""
    rates = np.array([1.1, 1.7, 0.9, 1.3, 0.8, 0.5])
    waves = np.sin(rates * time + phases)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [0.6 * waves[0], 0.6 * waves[1], 0.8 * waves[2]]).as_matrix()
    middle = np.array([0.4 * waves[3], 0.22 * waves[4], 0.35 * waves[5]])
    pose[:3, 3] = middle - pose[:3, :3] @ BOARD.corners.mean(0)
    return pose
