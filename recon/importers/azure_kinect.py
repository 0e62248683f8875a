"""Azure Kinect: folders of color and depth images with the calibration that the device itself gives.

    color/00000.jpg  depth/00000.png  calibration.json     of one device, in SRC or in a folder for each

The device's JSON (`k4a_device_get_raw_calibration`; in a recording the attachment calibration.json) holds
CalibrationInformation.Cameras: cx cy fx fy as shares of an image that is cropped and scaled by the mode, k1 to k6, and
the pose of the color camera in the depth camera's, metres. Microsoft's Azure-Kinect-Sensor-SDK says how they are meant:
src/transformation/mode_specific_calibration.c (sizes and crops of the modes), intrinsic_transformation.c (OpenCV's
rational model; cx and cy shifted by half a pixel, which takes them to OpenCV's pixels), extrinsic_transformation.c.

Open3D's recorder (azure_kinect_mkv_reader) writes an intrinsic.json instead, and depth that lies over the color image.
Depth is in millimetres in both. Depth of the color image's size lies over it: no mode of the depth camera has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.importers.color_depth import make_depth_session
from simulacra.recon.importers.color_depth_files import Recording, find_recordings
from simulacra.recon.importers.depth_camera_files import DepthCamera, DepthCameraIntrinsics, read_intrinsics
from simulacra.recon.importers.foreign_text import mapping, numbers
from simulacra.recon.importers.one_by_one import read_each
from simulacra.recon.importers.options import ColorDepthOptions, Folders
from simulacra.recon.importers.recorder_json import find_json, image_size_of, json_files
from simulacra.recon.importers.recorder_options import AzureKinectOptions
from simulacra.recon.session import Lens, Session, check_lens
from simulacra.render.runtime.errors import CalibrationError, InputError

MILLIMETRES = 1000.0
# The calibrated image's size, and what of it is cut off at its left and top, for an image of each size.
COLOR_MODES = {
    (1280, 720): ((1280, 960), (0, 120)), (1920, 1080): ((1920, 1440), (0, 180)),
    (2560, 1440): ((2560, 1920), (0, 240)), (2048, 1536): ((2048, 1536), (0, 0)),
    (3840, 2160): ((3840, 2880), (0, 360)), (4096, 3072): ((4096, 3072), (0, 0)),
}  # fmt: skip
DEPTH_MODES = {
    (320, 288): ((512, 512), (96, 90)), (640, 576): ((1024, 1024), (192, 180)),
    (512, 512): ((512, 512), (0, 0)), (1024, 1024): ((1024, 1024), (0, 0)),
}  # fmt: skip
MODEL = "CALIBRATION_LensDistortionModelBrownConrady"
COLOR, DEPTH = "CALIBRATION_CameraPurposePhotoVideo", "CALIBRATION_CameraPurposeDepth"


def looks_like(folder: Path) -> str | None:
    """Why a folder is of an Azure Kinect's images, or of the folders of several, or None."""
    if found := _calibration_beside(folder):
        return f"{found.relative_to(folder)} beside color and depth images"
    inner = sorted(path for path in folder.glob("*") if path.is_dir())[:50]
    owned = [found for place in inner if (found := _calibration_beside(place))]
    return f"{owned[0].relative_to(folder)}, and {len(owned)} cameras" if len(owned) > 1 else None


def _calibration_beside(place: Path) -> Path | None:
    if not any((place / name).is_dir() for name in ("color", "rgb")) or not (place / "depth").is_dir():
        return None
    return next((path for path, value in json_files(place) if _fits(value)), None)


def import_azure_kinect(src: Path, session: Path, options: AzureKinectOptions) -> Session:
    """Makes a session of color and depth images of Azure Kinects.

    Args:
        src: the folder of the color and depth folders, or of the devices' folders that have them.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: files missing, damaged, or which belong together cannot be told.
        CalibrationError: no calibration, of another mode than the images, or of several devices.
        RunError: ``session`` exists already, or the disk is full.
    """
    folders = Folders(mask=options.mask)
    recordings, notes = find_recordings(src, folders, None)
    calibrated, faults = read_each(
        recordings, lambda name: _read_device(src, recordings[name], options.calibration)
    )
    sizes = {_is_aligned(recordings[name]) for name in calibrated}
    if len(sizes) > 1:
        raise InputError("some devices' depth is of the color images' size and others' is not", where=src)
    aligned = sizes.pop()
    asked = ColorDepthOptions(
        depth_scale=MILLIMETRES, depth_is="aligned" if aligned else "separate", world_up=options.world_up,
        floor=options.floor, fps=options.fps, mask_label=options.mask_label, folders=folders,
    )  # fmt: skip
    return make_depth_session(
        src, session, {name: recordings[name] for name in calibrated}, calibrated, asked,
        notes=[*notes, *faults], importer="azure-kinect",
    )  # fmt: skip


def _is_aligned(recording: Recording) -> bool:
    return image_size_of(recording.color, recording.folder) == image_size_of(
        recording.depth, recording.folder
    )


def _fits(value: object) -> bool:
    return isinstance(value, dict) and ("CalibrationInformation" in value or "depth_mode" in value)


def _read_device(src: Path, recording: Recording, named: str | None) -> DepthCamera:
    path, value = find_json(
        [recording.folder, src],
        named,
        _fits,
        "CalibrationInformation, or Open3D's intrinsic_matrix and depth_mode",
    )
    entry = mapping(value, "a calibration", path)
    if "CalibrationInformation" not in entry:
        return DepthCamera(read_intrinsics(entry, None, path))
    depth_size = image_size_of(recording.depth, recording.folder)
    color_size = image_size_of(recording.color, recording.folder)
    return read_raw_calibration(entry, color_size, None if depth_size == color_size else depth_size, path)


def read_raw_calibration(
    value: Mapping[str, Any],
    color_size: tuple[int, int],
    depth_size: tuple[int, int] | None,
    where: object,
) -> DepthCamera:
    """A device's color camera, and its depth camera beside it unless depth lies over the color image.

    Args:
        value: the device's JSON.
        color_size: width and height of its color images, which tell the mode.
        depth_size: of its depth images; None where they lie over the color images.
        where: the file.

    Raises:
        CalibrationError: a camera is missing, of a lens that no such device has, or an image of no mode's size.
    """
    information = mapping(value.get("CalibrationInformation"), "CalibrationInformation", where)
    cameras = information.get("Cameras")
    entries = {
        str(entry.get("Purpose")): entry
        for entry in (cameras if isinstance(cameras, list) else []) if isinstance(entry, dict)
    }  # fmt: skip
    missing = [purpose for purpose in (COLOR, DEPTH) if purpose not in entries]
    if missing:
        raise CalibrationError("a camera of the device is missing", where=where, expected=missing[0])
    color = _intrinsics(entries[COLOR], color_size, COLOR_MODES, f"{where}, color camera")
    if depth_size is None:
        return DepthCamera(color)
    depth = _intrinsics(entries[DEPTH], depth_size, DEPTH_MODES, f"{where}, depth camera")
    T_color, T_depth = (_pose(entries[purpose], where) for purpose in (COLOR, DEPTH))
    return DepthCamera(color, depth, T_color @ np.linalg.inv(T_depth))


def _intrinsics(
    entry: Mapping[str, Any],
    size: tuple[int, int],
    modes: Mapping[tuple[int, int], tuple[tuple[int, int], tuple[int, int]]],
    where: str,
) -> DepthCameraIntrinsics:
    """K and lens of the mode whose images are of that size."""
    if size not in modes:
        raise CalibrationError(
            "images are of no size that the camera has", where=where,
            expected=", ".join(f"{w}x{h}" for w, h in modes), found=f"{size[0]}x{size[1]}",
            remedy="export them unscaled, or import color-depth with a K of your own",
        )  # fmt: skip
    described = mapping(entry.get("Intrinsics"), "Intrinsics", where)
    if described.get("ModelType") != MODEL:
        raise CalibrationError(
            "a lens is of another model", where=where, expected=MODEL, found=described.get("ModelType")
        )
    parameters = numbers(described.get("ModelParameters"), (None,), "ModelParameters", where)
    if len(parameters) < 14 or parameters[10:12].any():
        raise CalibrationError(
            "ModelParameters are not those of the device", where=where,
            expected="cx cy fx fy k1 to k6, 0 0, p2 p1", found=parameters.tolist()[:14],
        )  # fmt: skip
    cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, _, _, p2, p1 = parameters[:14].tolist()
    (width, height), (left, top) = modes[size]
    # The SDK takes half a pixel off to come to OpenCV's pixels; ours begin at the corner.
    K = np.array([[fx * width, 0, cx * width - left], [0, fy * height, cy * height - top], [0, 0, 1.0]])
    if not (K[0, 0] > 0 and K[1, 1] > 0):
        raise CalibrationError("intrinsics cannot be", where=where, found=f"fx {fx}, fy {fy}")
    coefficients = (k1, k2, p1, p2, k3, k4, k5, k6)
    lens = Lens("opencv", coefficients) if any(coefficients) else None
    if lens is not None:
        check_lens(lens, where)
    return DepthCameraIntrinsics(K, lens, size)


def _pose(entry: Mapping[str, Any], where: object) -> np.ndarray:
    """The camera out of the device's own frame, metres: rows of R first."""
    Rt = mapping(entry.get("Rt"), "Rt", where)
    T = np.eye(4)
    T[:3, :3] = numbers(Rt.get("Rotation"), (9,), "Rotation", where).reshape(3, 3)
    T[:3, 3] = numbers(Rt.get("Translation"), (3,), "Translation", where)
    if np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max() > 1e-3 or np.abs(T[:3, 3]).max() > 0.5:
        raise CalibrationError(
            "a camera's pose in the device cannot be", where=where, found=T.round(4).tolist()
        )
    return T
