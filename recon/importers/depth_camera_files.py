"""Calibrations of depth cameras: Open3D's and librealsense's JSON, or plain numbers.

Three layouts, known by their keys:

    Open3D       width height intrinsic_matrix (nine numbers, column by column); or intrinsic (that) and extrinsic
                 (sixteen numbers, column by column, world to camera)
    RealSense    width height fx fy ppx ppy model coeffs
    plain        width height fx fy cx cy, and distortion (OpenCV's 4, 5, 8 or 12 coefficients) if there is any

`color` (or `colour`) and `depth` with one of these each, and `depth_to_color` with a `rotation` (nine numbers, column
by column, as librealsense writes it) and a `translation`, describe two cameras. `world_to_color` (four rows of four)
places a camera among others. Open3D and librealsense have the first pixel's centre at (0, 0); plain numbers do not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.foreign_text import (
    image_size,
    mapping,
    number,
    numbers,
    read_foreign_json,
    say_unused,
)
from simulacra.recon.importers.inverse_brown import invert_brown
from simulacra.recon.importers.options import LengthUnit, PixelCentre
from simulacra.recon.importers.placing import METRES
from simulacra.recon.session import Lens
from simulacra.recon.session.lens import check_lens
from simulacra.render.runtime.errors import CalibrationError

# Keys that are used, or say nothing of the camera (Open3D's class and version).
KNOWN = {
    "width", "height", "fx", "fy", "cx", "cy", "ppx", "ppy", "model", "coeffs", "distortion", "intrinsic_matrix",
    "intrinsic", "extrinsic", "color", "colour", "depth", "depth_to_color", "rotation", "translation",
    "world_to_color", "class_name", "version_major", "version_minor",
}  # fmt: skip


@dataclass(frozen=True)
class DepthCameraIntrinsics:
    """One camera's intrinsics: K with the first pixel's centre at (0.5, 0.5), and its lens.

    Attributes:
        K: pixels.
        lens: None where there is none.
        size: width and height that K is of; None where the numbers came without.
    """

    K: Float[np.ndarray, "3 3"]
    lens: Lens | None
    size: tuple[int, int] | None


@dataclass(frozen=True)
class DepthCamera:
    """A color camera, and the depth camera beside it where depth is of its own.

    Attributes:
        color: of the color camera.
        depth: of the depth camera; None where depth lies over the color image.
        T_color_depth: color camera out of depth camera, metres.
        viewmat: world to color camera, metres; None where the file does not place it.
        notes: which of the file's keys are not used.
    """

    color: DepthCameraIntrinsics
    depth: DepthCameraIntrinsics | None = None
    T_color_depth: Float[np.ndarray, "4 4"] | None = None
    viewmat: Float[np.ndarray, "4 4"] | None = None
    notes: tuple[str, ...] = ()


def plain_intrinsics(
    fx: float, fy: float, cx: float, cy: float, pixel_centre: PixelCentre | None, where: object
) -> DepthCameraIntrinsics:
    """Intrinsics given as numbers.

    Raises:
        CalibrationError: not said where pixel centres are, or focal lengths that are not positive.
    """
    return DepthCameraIntrinsics(_matrix(fx, fy, cx, cy, _half(pixel_centre, where), where), None, None)


def read_depth_camera(path: Path, pixel_centre: PixelCentre | None, units: LengthUnit | None) -> DepthCamera:
    """A calibration file.

    Args:
        pixel_centre: needed by plain numbers; for the other layouts it overrules what they are known for.
        units: of translations; needed where there are any but librealsense's, which are metres.

    Raises:
        InputError: unreadable, or not JSON.
        CalibrationError: none of the layouts, or numbers that cannot be.
    """
    described = mapping(read_foreign_json(path), "a calibration", path)
    inner = [(f"{key}.{k}", k) for key, value in described.items() if isinstance(value, dict) for k in value]
    unused = [name for name, key in [*((k, k) for k in described), *inner] if key not in KNOWN]
    return replace(_read(described, pixel_centre, units, path), notes=tuple(say_unused(unused, path)))


def _read(
    described: Mapping[str, Any], pixel_centre: PixelCentre | None, units: LengthUnit | None, path: Path
) -> DepthCamera:
    """Any of the layouts."""
    if "extrinsic" in described or "intrinsic" in described:
        matrix = numbers(described.get("extrinsic"), (16,), "extrinsic", path).reshape(4, 4).T
        view = read_intrinsics(described.get("intrinsic"), pixel_centre, path)
        return DepthCamera(view, viewmat=_metric(matrix, units, path))
    color = described.get("color", described.get("colour"))
    if color is None:
        return DepthCamera(read_intrinsics(described, pixel_centre, path))
    depth, viewmat, T = None, None, None
    if "world_to_color" in described:
        viewmat = _metric(numbers(described["world_to_color"], (4, 4), "world_to_color", path), units, path)
    if "depth" in described:
        depth = read_intrinsics(described["depth"], pixel_centre, path)
    if "depth_to_color" in described:
        realsense = isinstance(color, dict) and "ppx" in color
        T = _read_rigid(described["depth_to_color"], units or ("m" if realsense else None), path)
    return DepthCamera(read_intrinsics(color, pixel_centre, path), depth, T, viewmat)


def read_intrinsics(value: object, pixel_centre: PixelCentre | None, where: object) -> DepthCameraIntrinsics:
    """One camera's intrinsics in any of the layouts.

    Raises:
        CalibrationError: none of them, or numbers that cannot be.
    """
    entry = mapping(value, "a camera", where)
    size = image_size(entry.get("width"), entry.get("height"), where)
    if "intrinsic_matrix" in entry:
        fx, _, _, _, fy, _, cx, cy, _ = _open3d_matrix(entry["intrinsic_matrix"], where)
        return DepthCameraIntrinsics(
            _matrix(fx, fy, cx, cy, _half(pixel_centre or "0", where), where), None, size
        )
    names = ("fx", "fy", "ppx", "ppy") if "ppx" in entry else ("fx", "fy", "cx", "cy")
    fx, fy, cx, cy = (number(entry.get(name), name, where) for name in names)
    if "ppx" in entry:
        half = _half(pixel_centre or "0", where)
        K = _matrix(fx, fy, cx, cy, half, where)
        return DepthCameraIntrinsics(K, _realsense_lens(entry, K, size, where), size)
    lens = None
    if entry.get("distortion") is not None:
        coefficients = numbers(entry["distortion"], (None,), "distortion", where)
        lens = Lens("opencv", tuple(coefficients.tolist())) if coefficients.any() else None
    if lens is not None:
        check_lens(lens, where)
    return DepthCameraIntrinsics(_matrix(fx, fy, cx, cy, _half(pixel_centre, where), where), lens, size)


def _open3d_matrix(value: object, where: object) -> list[float]:
    matrix = numbers(value, (9,), "intrinsic_matrix", where)
    if np.abs(matrix[[1, 2, 3, 5]]).max() > 1e-9 or matrix[8] != 1:
        raise CalibrationError(
            "intrinsic_matrix is not written column by column",
            where=where,
            expected="fx 0 0, 0 fy 0, cx cy 1, as Open3D writes it",
            found=matrix.tolist(),
            remedy="write its columns one after another",
        )
    return [float(entry) for entry in matrix]


def _realsense_lens(
    entry: Mapping[str, Any], K: Float[np.ndarray, "3 3"], size: tuple[int, int], where: object
) -> Lens | None:
    """librealsense names its models; zero coefficients are no lens, whatever the name."""
    coefficients = numbers(entry.get("coeffs"), (5,), "coeffs", where)
    if not coefficients.any():
        return None
    model = str(entry.get("model", "")).lower().replace(" ", "_").removeprefix("distortion.")
    if model == "inverse_brown_conrady":
        return invert_brown(tuple(coefficients.tolist()), K, size, where)
    if model != "brown_conrady":
        raise CalibrationError(
            "a RealSense lens model is not supported",
            where=where,
            expected="brown_conrady, inverse_brown_conrady, or coefficients that are zero",
            found=f"{model or 'no model'} with {coefficients.tolist()}",
            remedy="record rectified streams, or calibrate the camera with OpenCV",
        )
    return Lens("opencv", tuple(coefficients.tolist()))


def _half(pixel_centre: PixelCentre | None, where: object) -> float:
    if pixel_centre is None:
        raise CalibrationError(
            "where the first pixel's centre is has to be said: cx, cy alone do not",
            where=where,
            remedy="--pixel-centre 0 as in OpenCV and most camera software, or 0.5",
        )
    return 0.5 if pixel_centre == "0" else 0.0


def _matrix(
    fx: float, fy: float, cx: float, cy: float, half: float, where: object
) -> Float[np.ndarray, "3 3"]:
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise CalibrationError(
            "intrinsics cannot be",
            where=where,
            expected="fx and fy over 0, in pixels",
            found=f"fx {fx}, fy {fy}, cx {cx}, cy {cy}",
        )
    return np.array([[fx, 0, cx + half], [0, fy, cy + half], [0, 0, 1.0]])


def _metric(T: Float[np.ndarray, "4 4"], units: LengthUnit | None, where: object) -> Float[np.ndarray, "4 4"]:
    """A rigid transform with its translation in metres."""
    if units is None:
        raise CalibrationError(
            "a calibration does not say the unit of its translations",
            where=where,
            remedy="--units m, cm or mm",
        )
    R = T[:3, :3]
    rigid = np.abs(R).max() < 2 and np.abs(R @ R.T - np.eye(3)).max() < 1e-3 and np.linalg.det(R) > 0
    if not rigid or not np.allclose(T[3], [0, 0, 0, 1]):
        raise CalibrationError(
            "a transform is not rigid: its rotation is scaled, mirrored or written the other way",
            where=where,
            found=T.round(4).tolist(),
        )
    metric = T.copy()
    metric[:3, 3] *= METRES[units]
    return metric


def _read_rigid(value: object, units: LengthUnit | None, where: object) -> Float[np.ndarray, "4 4"]:
    entry = mapping(value, "depth_to_color", where)
    T = np.eye(4)
    T[:3, :3] = numbers(entry.get("rotation"), (9,), "rotation", where).reshape(3, 3).T
    T[:3, 3] = numbers(entry.get("translation"), (3,), "translation", where)
    metric = _metric(T, units, where)
    if np.linalg.norm(metric[:3, 3]) > 0.5:
        raise CalibrationError(
            "a depth camera is half a metre and more from its color camera: the unit is another",
            where=where,
            found=f"{np.linalg.norm(metric[:3, 3]):.3g} m",
            remedy="--units m, cm or mm",
        )
    return metric
