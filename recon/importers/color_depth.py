"""Color and depth images in folders, as programs around Kinect, RealSense and Open3D write them; TUM's and DDRNet's.

    SRC/color/000001.jpg   SRC/depth/000001.png      one camera; or SRC/CAM/color/... and so on for several
    SRC/camera_intrinsic.json (or SRC/CAM/...)       see `depth_camera_files`; or --fx --fy --cx --cy

What such folders do not say has to be said: the depth unit, whether depth lies over the color image already, where the
first pixel's centre is. Depth of a camera of its own is drawn into the color camera's view (`depth_grid`).

Pictures belong together by their names, or by the numbers that their names end in. TUM's names are times, which no two
cameras share: `matches` is either its associations file or the largest difference in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from simulacra.recon.importers.building import at_rate, new_session_folder, write_session
from simulacra.recon.importers.color_depth_files import Recording, find_recordings
from simulacra.recon.importers.depth_camera_files import DepthCamera, plain_intrinsics, read_depth_camera
from simulacra.recon.importers.depth_grid import register_depth
from simulacra.recon.importers.footage import (
    Footage,
    check_calibrated_size,
    check_same_size,
    copy_files,
    image_footage,
    inside,
    visible,
    with_depth,
    with_masks,
)
from simulacra.recon.importers.options import ColorDepthOptions
from simulacra.recon.importers.placing import place
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Session, SessionCamera, load_session
from simulacra.recon.session.lens import undistort
from simulacra.render.image import read_uint16
from simulacra.render.runtime.errors import CalibrationError, ConfigError, InputError

CALIBRATION_FILES = ("camera_intrinsic.json", "intrinsic.json", "intrinsics.json", "calibration.json")


def import_color_depth(src: Path, session: Path, options: ColorDepthOptions) -> Session:
    """Makes a session of folders of color and depth images.

    Args:
        src: the folder of the color and depth folders, or of the cameras' folders that have them.
        session: the new session's folder.
        options: see there.

    Raises:
        ConfigError: some of the four intrinsics are given and others not.
        InputError: files missing, damaged, or which belong together cannot be told.
        CalibrationError: intrinsics missing, of another size, or such as cannot be.
        RunError: ``session`` exists already, or the disk is full.
    """
    recordings, notes = find_recordings(src, options.folders, _moments_by(options.matches))
    calibrated = {name: _calibration(src, recording, options) for name, recording in recordings.items()}
    notes += dict.fromkeys(note for camera in calibrated.values() for note in camera.notes)
    return make_depth_session(src, session, recordings, calibrated, options, notes=notes)


def make_depth_session(
    src: Path,
    session: Path,
    recordings: Mapping[str, Recording],
    calibrated: Mapping[str, DepthCamera],
    options: ColorDepthOptions,
    *,
    notes: list[str],
    importer: str = "color-depth",
) -> Session:
    """A session of color and depth images whose files and cameras have been found.

    Args:
        src: the capture's folder.
        session: the new session's folder.
        recordings: the files of each camera.
        calibrated: each camera's intrinsics, and where the depth camera is unless depth is aligned.
        options: what of it is not about finding files and reading calibrations.
        notes: what was found odd so far.
        importer: the importer's name, for the session.

    Raises:
        InputError: damaged files, or of another size than the first of their camera.
        CalibrationError: a camera that cannot be, or of several one that is not placed.
        RunError: ``session`` exists already, or the disk is full.
    """
    depth_scale, aligned = options.depth_scale, options.depth_is == "aligned"
    footage = _footage(recordings, aligned, options.mask_label)
    cameras = [
        _camera(name, camera, footage.sizes[name], depth_scale, alone=len(calibrated) == 1)
        for name, camera in calibrated.items()
    ]
    frames = at_rate(footage.frames, options.fps, src)
    placed, T, said = place(
        cameras, scale=1.0, world_up=options.world_up, floor=options.floor, footage=footage
    )
    with new_session_folder(session) as work:
        copy_files(footage, work)
        if not aligned:
            notes = notes + _write_registered(work, recordings, calibrated, footage.sizes, depth_scale)
        write_session(
            work, placed, frames, importer=importer, arguments=asdict(options),
            notes=[*said, *notes, *footage.notes], T_world_source=T, source=src,
        )  # fmt: skip
    return load_session(session)


def _moments_by(matches: str | None) -> Path | float | None:
    """Seconds where it is a number, and an associations file otherwise."""
    if matches is None:
        return None
    try:
        return float(matches)
    except ValueError:
        return Path(matches)


def _footage(recordings: Mapping[str, Recording], aligned: bool, mask_label: int | None) -> Footage:
    times = next(iter(recordings.values())).times
    footage = image_footage({name: one.color for name, one in recordings.items()}, times)
    masks = {(name, i): path for name, one in recordings.items() for i, path in one.mask.items()}
    footage = with_masks(footage, masks, mask_label)
    if not aligned:
        return footage
    return with_depth(
        footage, {(name, i): path for name, one in recordings.items() for i, path in one.depth.items()}
    )


# -- cameras ---------------------------------------------------------------------------------------


def _calibration(src: Path, recording: Recording, options: ColorDepthOptions) -> DepthCamera:
    """From numbers, or from the camera's own file, or from the capture's."""
    file = options.folders.calibration
    names = (file,) if file else CALIBRATION_FILES
    places = dict.fromkeys((recording.folder, src))
    found = [path for place in places for name in names if (path := inside(place, name)).is_file()]
    if not found and not file:
        found = [path for place in places for path in visible(place) if path.name.lower() in names]
    given = [value for value in astuple(options.intrinsics) if value is not None]
    if given:
        if len(given) < 4:
            raise ConfigError("Intrinsics are four numbers", expected="--fx --fy --cx --cy", found=len(given))
        if file:
            raise InputError("intrinsics are given both as numbers and as a file", where=src)
        fx, fy, cx, cy = given
        return DepthCamera(plain_intrinsics(fx, fy, cx, cy, options.pixel_centre, "--fx --fy --cx --cy"))
    if not found:
        raise CalibrationError(
            "a camera has no intrinsics",
            where=recording.folder,
            expected=" or ".join(names),
            remedy="name the file: --calibration FILE, or give --fx --fy --cx --cy",
        )
    if len(found) > 1 and found[0].parent == found[1].parent:
        raise InputError(
            "there are several calibrations",
            where=recording.folder,
            found=", ".join(path.name for path in found),
            remedy="name one of them: --calibration FILE",
        )
    return read_depth_camera(found[0], options.pixel_centre, options.units)


def _camera(
    name: str, found: DepthCamera, size: tuple[int, int], depth_scale: float, alone: bool
) -> SessionCamera:
    if found.color.size is not None:
        check_calibrated_size(name, found.color.size, size, "the calibration")
    if found.viewmat is None and not alone:
        raise CalibrationError(
            "one of several cameras is not placed among the others",
            where=f"camera {name}",
            expected="extrinsic (Open3D), or world_to_color, in its calibration",
        )
    viewmat = np.eye(4) if found.viewmat is None else found.viewmat
    return SessionCamera(name, *size, found.color.K, viewmat, found.color.lens, depth_scale)


# -- depth of a camera of its own ------------------------------------------------------------------


def _write_registered(
    work: Path,
    recordings: Mapping[str, Recording],
    calibrated: Mapping[str, DepthCamera],
    sizes: Mapping[str, tuple[int, int]],
    depth_scale: float,
) -> list[str]:
    """Depth as the color camera would have measured it, in the same unit."""
    notes = []
    for name, recording in recordings.items():
        camera = calibrated[name]
        if camera.depth is None or camera.T_color_depth is None:
            raise CalibrationError(
                "the depth camera is not described",
                where=f"camera {name}",
                expected="depth and depth_to_color in the calibration",
                remedy="--depth-is aligned, if depth lies over the color images already",
            )
        rays = _rays(camera, name)
        shares, lost = [], 0
        for index, path in track(recording.depth.items(), f"registering {name}", len(recording.depth)):
            raw = read_uint16(path)
            check_same_size(path, (raw.shape[1], raw.shape[0]), (rays.shape[1], rays.shape[0]))
            found = register_depth(
                raw / depth_scale, rays, camera.T_color_depth, camera.color.K, camera.color.lens, sizes[name]
            )
            stored = np.rint(found * depth_scale)
            lost += int((stored > 65535).sum())
            target = work / "depth" / name / f"{index:06d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.where(stored > 65535, 0, stored).astype(np.uint16)).save(target)
            shares.append(float((found > 0).mean()))
        moved = 1000 * float(np.linalg.norm(camera.T_color_depth[:3, 3]))
        notes.append(
            f"{name}: depth is drawn into the color camera {moved:.0f} mm away: "
            f"{100 * np.mean(shares or 0):.0f} % of its pixels have depth"
        )
        if lost:
            notes.append(f"{name}: {lost} pixels are too far for 16 bits at this depth scale: left out")
    return notes


def _rays(camera: DepthCamera, name: str) -> Float[np.ndarray, "h w 2"]:
    """x / z and y / z of the depth camera's pixels."""
    assert camera.depth is not None
    view = camera.depth
    if view.size is None:
        raise CalibrationError("a depth camera does not say its size", where=f"camera {name}")
    width, height = view.size
    rows, columns = np.mgrid[:height, :width] + 0.5
    points = np.stack(
        [(columns - view.K[0, 2]) / view.K[0, 0], (rows - view.K[1, 2]) / view.K[1, 1]], axis=-1
    )
    return points if view.lens is None else undistort(view.lens, points)
