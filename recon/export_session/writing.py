"""A session's cameras, pictures, masks and depth as a folder for COLMAP or nerfstudio.

Pictures go out without their lens, as PNG files where it had to be taken out or where they came out of a video, and as
the very files that they are otherwise. Or with it (``distorted``): then all are as they were recorded, and the lens has
to be one that the other program knows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from simulacra.recon.export_session.colmap import check_colmap, write_colmap
from simulacra.recon.export_session.nerfstudio import check_nerfstudio, write_nerfstudio
from simulacra.recon.export_session.picture import ExportedPicture
from simulacra.recon.importers.building import new_session_folder
from simulacra.recon.runs.files import disk_errors
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Session, SessionCamera
from simulacra.render.image import write_image

Program = Literal["colmap", "nerfstudio"]


def export_session(
    session: Session, to: Program, out: Path, *, distorted: bool = False
) -> tuple[ExportedPicture, ...]:
    """Writes a session for another program; the folder appears whole or not at all.

    COLMAP: ``sparse/0`` (text, no points), ``images/CAM/FRAME``, ``masks/CAM/FRAME.png``; our world, metres, y up.
    nerfstudio: ``transforms.json``, images, masks and depth; metres, z up, as nerfstudio has it.

    Args:
        session: what is exported.
        to: the program.
        out: a new or empty folder.
        distorted: keep the lens in the pictures and its model in the calibration.

    Raises:
        CaptureError: a lens that the other program has no model for.
        InputError: a file of the session is missing or damaged.
        RunError: there is something at ``out`` already, or the disk is full.
    """
    check = {"colmap": check_colmap, "nerfstudio": check_nerfstudio}[to]
    cameras = tuple(camera if distorted else replace(camera, lens=None) for camera in session.cameras)
    check(cameras)
    # The same session whose files are read as they were recorded.
    recorded = replace(session, cameras=tuple(replace(camera, lens=None) for camera in session.cameras))
    pictures: list[ExportedPicture] = []
    with new_session_folder(out) as folder, disk_errors(out):
        for camera in session.cameras:
            source = recorded if distorted else session
            pictures += _export_camera(source, camera, folder, to, distorted or camera.lens is None)
        pictures.sort(key=lambda one: (one.frame, one.camera))
        if to == "colmap":
            write_colmap(
                folder, cameras, [(one.image.removeprefix("images/"), one.camera) for one in pictures]
            )
        else:
            write_nerfstudio(folder, cameras, pictures)
    return tuple(pictures)


def _export_camera(
    session: Session, camera: SessionCamera, folder: Path, to: Program, as_recorded: bool
) -> Iterator[ExportedPicture]:
    """The files of one camera, in the order of frames."""
    frames = [frame for frame in session.frames if camera.name in frame.sources]
    sources = [frame.sources[camera.name] for frame in frames]
    pictures = session.iter_images(camera.name, [frame.index for frame in frames])
    for frame, source in track(list(zip(frames, sources)), f"camera {camera.name}", len(frames)):
        place = f"{camera.name}/{frame.index:06d}"
        picture = next(pictures)
        if as_recorded and source.number is None:
            image = f"images/{place}{Path(source.file).suffix.lower()}"
            _copy(session.path(source.file), folder / image)
        else:
            image = f"images/{place}.png"
            write_image(folder / image, picture)
        # COLMAP looks for the mask of NAME at NAME.png.
        name = f"masks/{image.removeprefix('images/')}.png" if to == "colmap" else f"masks/{place}.png"
        mask = _export_mask(session, camera, frame.index, folder / name, as_recorded)
        depth = None
        if to == "nerfstudio" and _export_depth(
            session, camera, frame.index, folder / f"depth/{place}.png", as_recorded
        ):
            depth = f"depth/{place}.png"
        yield ExportedPicture(camera.name, frame.index, source.time, image, name if mask else None, depth)


def _copy(source: Path, target: Path) -> None:
    """A copy and no link: what other programs do to their folder is not done to the session."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _export_mask(
    session: Session, camera: SessionCamera, frame: int, target: Path, as_recorded: bool
) -> bool:
    mask = session.mask(frame, camera.name)
    if mask is None:
        return False
    if as_recorded:
        _copy(session.path(f"masks/{camera.name}/{frame:06d}.png"), target)
    else:
        write_image(target, mask)
    return True


def _export_depth(
    session: Session, camera: SessionCamera, frame: int, target: Path, as_recorded: bool
) -> bool:
    depth = session.depth(frame, camera.name)
    if depth is None or camera.depth_scale is None:
        return False
    if as_recorded:
        _copy(session.path(f"depth/{camera.name}/{frame:06d}.png"), target)
        return True
    target.parent.mkdir(parents=True, exist_ok=True)
    units = np.round(depth[0] * camera.depth_scale).astype(np.uint16)
    target.write_bytes(cv2.imencode(".png", units)[1].tobytes())
    return True
