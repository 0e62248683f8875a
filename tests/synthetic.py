"""Small captures with known answers, drawn when a test runs: an ellipsoid of a person's size, seen exactly.

The person is 1.7 m tall, stands on y = 0, and moves along x by `STEP` a frame. Depth, masks and cameras are exact; the
colour is a smooth function of the place on the surface, and frame `k` is a little darker than frame `k - 1`, so that
a picture tells which frame it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from recon.session import Frame, Session, SessionCamera, Source, describe_session, load_session
from render.camera import look_at

WIDTH, HEIGHT, FOCAL = 96, 128, 120.0
HALF_AXES = np.array([0.25, 0.85, 0.2])
MIDDLE = np.array([0.0, 0.85, 0.0])
STEP = 0.02
DISTANCE = 3.0


@dataclass(frozen=True)
class View:
    """What a camera sees: RGB 0..1, depth in metres (0 beside the person), and the person's pixels."""

    rgb: np.ndarray
    depth: np.ndarray
    mask: np.ndarray


def ring(count: int = 4) -> tuple[SessionCamera, ...]:
    """Level cameras all round, 1.2 m high."""
    angles = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / max(count, 1)) + 0.3
    eye = torch.stack([DISTANCE * angles.sin(), torch.full_like(angles, 1.2), DISTANCE * angles.cos()], -1)
    target = torch.tensor(MIDDLE).expand(count, 3)
    cameras = look_at(eye, target, FOCAL, WIDTH, HEIGHT)
    return tuple(
        SessionCamera(f"cam{i}", WIDTH, HEIGHT, cameras.Ks[i].numpy(), cameras.viewmats[i].numpy())
        for i in range(count)
    )


def see(camera: SessionCamera, frame: int = 0) -> View:
    """The exact picture of one frame: rays of pixel centres meet the ellipsoid."""
    u = (np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]
    v = (np.arange(camera.height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    rays = np.stack([*np.meshgrid(u, v), np.ones((camera.height, camera.width))], -1) @ camera.viewmat[:3, :3]
    centre = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
    start = (centre - MIDDLE - [STEP * frame, 0, 0]) / HALF_AXES
    rays = rays / HALF_AXES
    # |start + z rays| = 1, and z is the depth because local rays have z = 1.
    a, b, c = (rays**2).sum(-1), rays @ start, start @ start - 1
    inside = b**2 - a * c
    mask = inside > 0
    depth = np.where(mask, (-b - np.sqrt(np.maximum(inside, 0))) / a, 0.0)
    surface = start + depth[..., None] * rays
    rgb = np.where(mask[..., None], 0.5 + 0.35 * surface, 0.2) * (1 - 0.1 * frame)
    return View(rgb.astype(np.float32), depth.astype(np.float32), mask)


def write_png(path: Path, image: np.ndarray) -> None:
    """8 bit for 0..1 floats and masks, 16 bit for uint16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image if image.dtype == np.uint16 else np.round(image.astype(np.float64) * 255).astype(np.uint8)
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def write_video(path: Path, images: Sequence[np.ndarray], rate: int = 10) -> None:
    """A short H.264 video of 0..1 pictures, the header first as recorders stream it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "8", "g": "4"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        for image in images:
            pixels = np.ascontiguousarray(np.round(image * 255).astype(np.uint8))
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def write_session(
    root: Path,
    *,
    cameras: Sequence[SessionCamera] | None = None,
    frames: int = 2,
    depth_scale: float | None = 1000.0,
    said_depth_scale: float | None = None,
    masks: bool = True,
    video: bool = False,
) -> Session:
    """A session of the person.

    Args:
        depth_scale: units in a metre that the files have; None for no depth.
        said_depth_scale: what session.json says instead: a wrong scale.
        video: one mp4 a camera instead of a PNG a frame.
    """
    cameras = ring() if cameras is None else cameras
    sources: list[dict[str, Source]] = [{} for _ in range(frames)]
    for camera in cameras:
        views = [see(camera, frame) for frame in range(frames)]
        for frame, view in enumerate(views):
            name = f"images/{camera.name}/{frame:06d}.png"
            sources[frame][camera.name] = (
                Source(f"videos/{camera.name}.mp4", frame) if video else Source(name)
            )
            if not video:
                write_png(root / name, view.rgb)
            if masks:
                write_png(root / f"masks/{camera.name}/{frame:06d}.png", view.mask)
            if depth_scale is not None:
                units = np.round(view.depth * depth_scale).astype(np.uint16)
                write_png(root / f"depth/{camera.name}/{frame:06d}.png", units)
        if video:
            write_video(root / f"videos/{camera.name}.mp4", [view.rgb for view in views])
    said = None if depth_scale is None else said_depth_scale or depth_scale
    described = [SessionCamera(c.name, c.width, c.height, c.K, c.viewmat, c.lens, said) for c in cameras]
    listed = [Frame(index, found) for index, found in enumerate(sources)]
    (root / "session.json").write_text(describe_session(described, listed, notes=[], about={}))
    return load_session(root)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: to show that nothing was touched, or that nothing was left."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
