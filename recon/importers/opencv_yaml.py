"""OpenCV's YAML as EasyMocap and EasyVolcap use it: ``intri.yml`` and ``extri.yml``, with images or videos by camera.

    intri.yml   names, K_CAM 3x3, dist_CAM (k1 k2 p1 p2 [k3 ...]), maybe W_CAM and H_CAM
    extri.yml   names, R_CAM (a rotation vector) and Rot_CAM (the same as a matrix), or one of them, and T_CAM
    images/CAM/FRAME.jpg, or videos/CAM.mp4

The transform is from world to camera with OpenCV's axes. K counts pixels from the centre of the first one, so half a
pixel is added. Lengths are in the unit of whoever made the file: EasyMocap says metres, boards are often measured in
millimetres, and nothing in the file tells, so the unit is asked for. Nor do the files say where up and the floor are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.finding import find_footage
from simulacra.recon.importers.footage import check_calibrated_size, make_session, session_names
from simulacra.recon.importers.foreign_text import image_size, mapping, numbers, read_yaml, say_unused
from simulacra.recon.importers.options import OpencvYamlOptions
from simulacra.recon.importers.placing import METRES, place
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera
from simulacra.render.runtime.errors import CalibrationError, InputError

# A rotation vector and a matrix of one camera, written with six digits each.
SAME_ROTATION = 1e-3


def import_opencv_yaml(src: Path, session: Path, options: OpencvYamlOptions) -> Session:
    """Makes a session of a capture that was calibrated for EasyMocap. Files are linked or copied, never encoded again.

    Args:
        src: the folder of intri.yml and extri.yml.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing, unreadable or names what is not there.
        CalibrationError: a camera that cannot be, or one of another image size.
        RunError: ``session`` exists already, or the disk is full.
    """
    if options.units not in METRES:
        raise InputError(
            "the units of the calibration are not known", expected=", ".join(METRES), found=options.units
        )
    intri = mapping(read_yaml(src / "intri.yml"), "the calibration", src / "intri.yml")
    extri = mapping(read_yaml(src / "extri.yml"), "the calibration", src / "extri.yml")
    labels, notes = _labels(intri, extri, src)
    names = session_names(labels)
    footage = find_footage(src, names, options.media)
    recorded = {label: name for label, name in names.items() if name in footage.sizes}
    found = [_camera(label, name, intri, extri, footage.sizes[name], src) for label, name in recorded.items()]
    cameras, T_world_source, said = place(
        found, scale=METRES[options.units], world_up=options.world_up, floor=options.floor, footage=footage
    )
    for camera in cameras:
        check_camera(camera.name, camera.K, camera.viewmat, camera.width, camera.height, src)
    return make_session(
        session, cameras, footage,
        importer="opencv-yaml", arguments={"src": src.name, **asdict(options)},
        notes=notes + said, T_world_source=T_world_source, source=src, fps=options.fps,
    )  # fmt: skip


def _labels(intri: Mapping[str, Any], extri: Mapping[str, Any], src: Path) -> tuple[list[str], list[str]]:
    """Cameras that both files have, in the order of their list of names, and what was left out."""
    listed = intri.get("names", extri.get("names"))
    if listed is None:
        listed = [key.removeprefix("K_") for key in intri if key.startswith("K_")]
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise CalibrationError(
            "the list of camera names is not one", where=src / "intri.yml", found=str(listed)[:120]
        )
    if len(set(listed)) != len(listed):
        raise CalibrationError("two cameras have one name", where=src / "intri.yml", found=str(listed)[:120])
    needs = {"K": intri, "T": extri}
    lacks = {
        name: [f"{key}_{name}" for key, file in needs.items() if f"{key}_{name}" not in file]
        for name in listed
    }
    placed = [name for name in listed if not lacks[name]]
    if not placed:
        raise CalibrationError(
            "no camera has intrinsics and a place",
            where=src,
            expected="K_CAM in intri.yml, T_CAM in extri.yml",
            found=f"names {', '.join(listed)[:120] or 'none'}",
        )
    notes = [
        f"{name} has no {' and no '.join(missing)}: left out" for name, missing in lacks.items() if missing
    ]
    unlisted = sorted({key[2:] for key in intri if key.startswith("K_")} - set(listed))
    if unlisted:
        notes.append(
            f"not in the file's list of {len(listed)} names, and left out: {', '.join(unlisted)[:200]}"
        )
    known = {
        f"{key}_{name}"
        for name in (*listed, *unlisted)
        for key in ("K", "dist", "D", "W", "H", "R", "Rot", "T")
    }
    for file, name in ((intri, "intri.yml"), (extri, "extri.yml")):
        notes += say_unused(set(file) - known - {"names"}, src / name)
    return placed, notes


def _camera(
    label: str,
    name: str,
    intri: Mapping[str, Any],
    extri: Mapping[str, Any],
    size: tuple[int, int],
    src: Path,
) -> SessionCamera:
    """A camera in the calibration's world and units."""
    where = f"{src / 'intri.yml'}, camera {label}"
    K = _matrix(intri, f"K_{label}", (3, 3), where)
    K[:2, 2] += 0.5
    if f"W_{label}" in intri and f"H_{label}" in intri:
        calibrated = image_size(intri[f"W_{label}"], intri[f"H_{label}"], where)
        check_calibrated_size(label, calibrated, size, src / "intri.yml")
    elif not (0.2 * size[0] < K[0, 2] < 0.8 * size[0] and 0.2 * size[1] < K[1, 2] < 0.8 * size[1]):
        raise CalibrationError(
            "the principal point is far from the middle, and the file does not say the image size",
            where=where,
            expected=f"about ({size[0] / 2:.0f}, {size[1] / 2:.0f})",
            found=f"({K[0, 2]:.0f}, {K[1, 2]:.0f})",
            remedy="calibrate at the size of the recording, or add W_CAM and H_CAM where this is right",
        )
    key = f"dist_{label}" if f"dist_{label}" in intri else f"D_{label}"
    distortion = _matrix(intri, key, None, where).ravel() if key in intri else np.zeros(0)
    lens = Lens("opencv", tuple(distortion.tolist())) if distortion.any() else None
    where = f"{src / 'extri.yml'}, camera {label}"
    viewmat = np.eye(4)
    viewmat[:3, :3] = _rotation(label, extri, where)
    viewmat[:3, 3] = _matrix(extri, f"T_{label}", None, where).reshape(-1)[:3]
    return SessionCamera(name, *size, K, viewmat, lens)


def _rotation(label: str, extri: Mapping[str, Any], where: str) -> Float[np.ndarray, "3 3"]:
    """Of the vector, which EasyMocap reads; a matrix beside it has to say the same."""
    matrix = _matrix(extri, f"Rot_{label}", (3, 3), where) if f"Rot_{label}" in extri else None
    if f"R_{label}" not in extri:
        if matrix is None:
            raise CalibrationError(f"a camera has neither R_{label} nor Rot_{label}", where=where)
        return matrix
    given = _matrix(extri, f"R_{label}", None, where)
    rotation = given if given.shape == (3, 3) else rotation_of(given.ravel(), where)
    if matrix is not None and np.abs(matrix - rotation).max() > SAME_ROTATION:
        raise CalibrationError(
            "a camera's rotation vector and matrix differ",
            where=where,
            expected=rotation.round(4).tolist(),
            found=matrix.round(4).tolist(),
        )
    return rotation


def rotation_of(vector: Float[np.ndarray, "n"], where: object) -> Float[np.ndarray, "3 3"]:
    """The matrix of a rotation vector, radians.

    Raises:
        CalibrationError: not three numbers, or more turns than anybody writes.
    """
    if vector.shape != (3,) or not np.abs(vector).max() < 100:
        raise CalibrationError(
            "a rotation vector is not three angles", where=where, found=vector.tolist()[:12]
        )
    return cv2.Rodrigues(vector.reshape(3, 1))[0]


def _matrix(entries: Mapping[str, Any], key: str, shape: tuple[int, int] | None, where: str) -> np.ndarray:
    """A matrix as OpenCV writes it, of a shape or, where none is asked for, of 3 to 12 numbers."""
    if key not in entries:
        raise CalibrationError(f"{key} is missing", where=where)
    entry = mapping(entries[key], key, where)
    data = numbers(entry.get("data"), (None,), key, where)
    stored = image_size(entry.get("rows"), entry.get("cols"), f"{where}, {key}")
    if data.size != stored[0] * stored[1] or (shape or stored) != stored or not 3 <= data.size <= 12:
        raise CalibrationError(
            f"{key} is not of its shape",
            where=where,
            expected=shape or "3 to 12 numbers",
            found=f"{stored}, {data.size} numbers",
        )
    return data.reshape(stored)
