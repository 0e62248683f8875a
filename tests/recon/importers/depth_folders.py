"""Folders of color and depth images of the ellipsoid person, as programs around depth cameras write them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.session import SessionCamera
from simulacra.render.image import write_image
from tests.recon.ellipsoid_person import picture, ring, write_depth

SCALE = 1000.0
HALF = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def open3d(camera: SessionCamera, placed: bool = False) -> dict[str, Any]:
    """PinholeCameraIntrinsic, or PinholeCameraParameters."""
    K = camera.K - HALF
    view = {"width": camera.width, "height": camera.height, "intrinsic_matrix": K.T.ravel().tolist()}
    return {"intrinsic": view, "extrinsic": camera.viewmat.T.ravel().tolist()} if placed else view


def realsense(camera: SessionCamera) -> dict[str, Any]:
    K = camera.K - HALF
    return {
        "width": camera.width, "height": camera.height, "fx": K[0, 0], "fy": K[1, 1], "ppx": K[0, 2], "ppy": K[1, 2],
        "model": "distortion.inverse_brown_conrady", "coeffs": [0.0] * 5,
    }  # fmt: skip


def beside(camera: SessionCamera) -> SessionCamera:
    """A depth camera 4 cm to the left of a color camera, turned a little, of its own size and focal length."""
    angle = np.radians(2)
    T = np.eye(4)
    T[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    T[:3, 3] = [0.04, 0.005, 0.0]
    K = np.array([[130.0, 0, 60], [0, 130, 51], [0, 0, 1]])
    return replace(camera, width=120, height=104, K=K, viewmat=T @ camera.viewmat)


def write_frames(
    folder: Path, color: SessionCamera, depth: SessionCamera, frames: int, *, mask: bool = False
) -> None:
    for frame in range(frames):
        shot = picture(color, frame)
        write_image(folder / f"color/color_{frame + 3:05d}.png", shot[0])
        write_depth(folder / f"depth/depth_{frame + 3:05d}.png", picture(depth, frame)[2], SCALE)
        if mask:
            write_image(folder / f"mask/{frame + 3}.png", shot[1])


def write_aligned(folder: Path, frames: int = 2, *, mask: bool = False) -> SessionCamera:
    """One camera as Open3D's recorders write it; gives it with its viewmat in our world."""
    camera = ring(4)[0]
    write_frames(folder, camera, camera, frames, mask=mask)
    (folder / "camera_intrinsic.json").write_text(json.dumps(open3d(camera)), "utf-8")
    return camera


def write_rig(folder: Path, frames: int = 1) -> tuple[SessionCamera, ...]:
    """Three cameras that know where they are."""
    made = ring(3)
    for camera in made:
        owner = folder / f"cam {camera.name}"
        write_frames(owner, camera, camera, frames)
        (owner / "camera_intrinsic.json").write_text(json.dumps(open3d(camera, placed=True)), "utf-8")
    return made


def write_separate(folder: Path, frames: int = 1) -> tuple[SessionCamera, SessionCamera]:
    """A color camera and a depth camera with librealsense's extrinsics."""
    color = ring(4)[0]
    depth = beside(color)
    write_frames(folder, color, depth, frames)
    T = color.viewmat @ np.linalg.inv(depth.viewmat)
    described = {
        "color": realsense(color),
        "depth": realsense(depth),
        "depth_to_color": {"rotation": T[:3, :3].T.ravel().tolist(), "translation": T[:3, 3].tolist()},
    }
    (folder / "calibration.json").write_text(json.dumps(described), "utf-8")
    return color, depth


def write_tum(folder: Path, frames: int = 4) -> SessionCamera:
    """rgb/ and depth/ named by times, depth 4 ms later than color, and the last depth image lost."""
    camera = ring(4)[0]
    lines = ["# rgb and depth"]
    for frame in range(frames):
        shot = picture(camera, frame)
        rgb, depth = f"rgb/{1300.5 + frame / 30:.6f}.png", f"depth/{1300.504 + frame / 30:.6f}.png"
        write_image(folder / rgb, shot[0])
        if frame < frames - 1:
            write_depth(folder / depth, shot[2], 5000)
            times = [path.split("/")[1].removesuffix(".png") for path in (rgb, depth)]
            lines.append(f"{times[1]} {depth} {times[0]} {rgb}")
    (folder / "associations.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "camera_intrinsic.json").write_text(json.dumps(open3d(camera)), "utf-8")
    return camera
