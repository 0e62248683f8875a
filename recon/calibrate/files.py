"""Calibrations on disk: ours as JSON with everything known of it, and TOML tables that Pose2Sim and others read.

calibration.json    cameras in the project's conventions, standard errors, what is weak
held_out.npz        corners and rigs of half of the moments, by which a calibration is judged before it is applied
calibration.toml    [camera] tables: size, matrix (first pixel's centre at (0, 0)), distortions, rotation, translation
                    (world z-up, metres), fisheye
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate.judged import (
    HELD_OUT_FILE,
    held_out_arrays,
    hold_out,
    judge_cameras,
    read_held_out,
    refuse_worse,
)
from simulacra.recon.calibrate.report import describe_calibration
from simulacra.recon.calibrate.solve import RigCalibration
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.importers.building import copy_file, new_session_folder
from simulacra.recon.importers.foreign_text import image_size, mapping, numbers, read_foreign_json
from simulacra.recon.preflight.samples import PersonDetector
from simulacra.recon.runs.files import disk_errors, write_arrays, write_json, write_text
from simulacra.recon.session import (
    SESSION_FILE,
    Lens,
    Session,
    SessionCamera,
    check_camera,
    describe_session,
    load_session,
)
from simulacra.render.runtime.errors import CalibrationError
from simulacra.render.runtime.whole_files import sync

CALIBRATION_FILE = "calibration.json"
TOML_FILE = "calibration.toml"
SCHEMA = 1
# World (y up) out of a z-up one: x stays, z becomes y.
_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def write_calibration(folder: Path, calibrations: Sequence[RigCalibration]) -> Path:
    """Writes the files; half of the moments are held out once more for what the calibration is judged by.

    Args:
        calibrations: one rig, or lone cameras (whose poses mean nothing and go into the JSON only).

    Raises:
        RunError: the disk is full or the place cannot be written.
    """
    rig = calibrations[0] if len(calibrations) == 1 and calibrations[0].linked else None
    described = [describe_calibration(each) for each in calibrations]
    board = calibrations[0].board
    content = {
        "schema": SCHEMA,
        "units": "metres",
        "posed": rig is not None,
        "board": {name: getattr(board, name) for name in board.__dataclass_fields__},
        **(described[0] if rig else {"cameras": [each["cameras"][0] for each in described]}),
    }
    if rig is None:
        content["weak"] = [text for each in described for text in each["weak"]]
        content["notes"] = [text for each in described for text in each["notes"]]
    held = hold_out(rig) if rig is not None else None
    with disk_errors(folder):
        write_json(folder / CALIBRATION_FILE, content)
        # That of an earlier calibration must not judge this one.
        (folder / HELD_OUT_FILE).unlink(missing_ok=True)
        if held is not None:
            write_arrays(folder / HELD_OUT_FILE, **held_out_arrays(held))
        if rig is not None:
            write_text(folder / TOML_FILE, _toml(rig))
        sync(folder)
    return folder / CALIBRATION_FILE


def read_calibration(path: Path) -> tuple[tuple[SessionCamera, ...], bool]:
    """The cameras of a calibration.json, and whether their poses mean anything.

    Raises:
        InputError: missing, or not JSON.
        CalibrationError: an entry that is missing or wrong, or a camera that cannot be.
    """
    content = mapping(read_foreign_json(path), "a calibration", path)
    if content.get("schema") != SCHEMA or content.get("units") != "metres":
        raise CalibrationError(
            "a calibration is not one of ours",
            where=path,
            expected=f"schema {SCHEMA}, units metres",
            found=f"{str(content.get('schema'))[:20]}, {str(content.get('units'))[:20]}",
        )
    entries = content.get("cameras")
    if not isinstance(entries, list) or not entries:
        raise CalibrationError("a calibration has no camera", where=path, expected="a list: cameras")
    cameras = tuple(_camera(mapping(entry, "a camera", path), path) for entry in entries)
    names = [camera.name for camera in cameras]
    if len(set(names)) != len(names):
        raise CalibrationError("two cameras have one name", where=path, found=", ".join(names))
    return cameras, content.get("posed") is True


def apply_calibration(
    session: Session,
    calibration: Path,
    out: Path,
    *,
    keep_world: bool = True,
    force: bool = False,
    detector: PersonDetector | None = None,
) -> Session:
    """A new session of the same files with calibrated cameras; the old one stays as it is.

    Args:
        keep_world: lay the calibrated rig over the session's own rigidly, so that floor and up remain; otherwise the
            calibration's world is taken.
        force: take the cameras though they explain boards that were left out, or the person, worse than the session's.
        detector: who finds the person in a few frames; the landmark network if None.

    Raises:
        CalibrationError: a camera of the session is not in the calibration, was calibrated at another size, or was
            calibrated alone and has no pose; or the cameras are worse than the session's.
        InputError: what the calibration is judged by is damaged.
        RunError: there is something at ``out`` already.
    """
    found, posed = read_calibration(calibration)
    by_name = {camera.name: camera for camera in found}
    for camera in session.cameras:
        _check_fits(camera, by_name, calibration)
    chosen = [by_name[camera.name] for camera in session.cameras]
    if not posed:
        chosen = [replace(new, viewmat=old.viewmat) for new, old in zip(chosen, session.cameras, strict=True)]
    elif keep_world:
        T = laid_over(
            np.stack([camera.viewmat for camera in chosen]),
            np.stack([camera.viewmat for camera in session.cameras]),
        )
        chosen = [replace(camera, viewmat=camera.viewmat @ np.linalg.inv(T)) for camera in chosen]
    chosen = [
        replace(new, depth_scale=old.depth_scale) for new, old in zip(chosen, session.cameras, strict=True)
    ]
    if not force:
        beside = calibration.with_name(HELD_OUT_FILE)  # of `calibration.json` alone, whatever else lies there
        held = read_held_out(beside) if calibration.name == CALIBRATION_FILE else None
        refuse_worse(judge_cameras(session, chosen, held, detector))
    what = "intrinsics" if not posed else "intrinsics and poses"
    notes = [
        *session.notes,
        f"{what} are of {calibration.name}" + (", laid over the session's rig" * posed * keep_world),
    ]
    return session_with_cameras(session, chosen, out, notes)


def session_with_cameras(
    session: Session, cameras: Sequence[SessionCamera], out: Path, notes: Sequence[str]
) -> Session:
    """A new session of the same files with other cameras and notes; the old one stays as it is.

    Raises:
        RunError: there is something at ``out`` already.
    """
    text = describe_session(
        cameras, session.frames, notes=notes, about=session.about, reference=session.reference
    )
    files = [path for path in sorted(session.root.rglob("*")) if path.is_file() and path.name != SESSION_FILE]
    with new_session_folder(out) as work:
        for path in files:
            copy_file(path, work / path.relative_to(session.root))
        (work / SESSION_FILE).write_text(text, "utf-8")
        load_session(work)
    return load_session(out)


def _check_fits(camera: SessionCamera, by_name: dict[str, SessionCamera], calibration: Path) -> None:
    new = by_name.get(camera.name)
    if new is None:
        raise CalibrationError(
            "a camera of the session is not calibrated",
            where=f"{calibration}, camera {camera.name}",
            found=", ".join(by_name),
            remedy="name the recording's videos or folders as the session names its cameras",
        )
    if (new.width, new.height) != (camera.width, camera.height):
        raise CalibrationError(
            "a camera was calibrated at another image size",
            where=f"{calibration}, camera {camera.name}",
            expected=f"{camera.width}x{camera.height}",
            found=f"{new.width}x{new.height}",
        )


def _camera(entry: Any, path: Path) -> SessionCamera:
    name = entry.get("name")
    if not isinstance(name, str) or not name or len(name) > 100:
        raise CalibrationError("a camera has no name", where=path, found=str(name)[:80])
    where = f"{path}, camera {name}"
    width, height = image_size(entry.get("width"), entry.get("height"), where)
    K = numbers(entry.get("K"), (3, 3), "K", where)
    viewmat = numbers(entry.get("viewmat"), (4, 4), "viewmat", where)
    distortion = numbers(entry.get("distortion"), (5,), "distortion", where)
    check_camera(name, K, viewmat, width, height, path)
    lens = Lens("opencv", tuple(distortion.tolist())) if distortion.any() else None
    return SessionCamera(name, width, height, K, viewmat, lens)


def _toml(calibration: RigCalibration) -> str:
    """Pose2Sim's tables."""
    lines = []
    for camera, name in enumerate(calibration.cameras):
        fx, fy, cx, cy, *lens = calibration.bundle.rig.intrinsics[camera].tolist()
        viewmat = calibration.bundle.rig.viewmats[camera] @ _Z_UP
        turn = Rotation.from_matrix(viewmat[:3, :3]).as_rotvec().tolist()
        width, height = calibration.sizes[camera]
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        lines += [
            f'["{quoted}"]',
            f'name = "{quoted}"',
            f"size = [{float(width)}, {float(height)}]",
            f"matrix = [[{fx}, 0.0, {cx - 0.5}], [0.0, {fy}, {cy - 0.5}], [0.0, 0.0, 1.0]]",
            f"distortions = {lens}",
            f"rotation = {turn}",
            f"translation = {viewmat[:3, 3].tolist()}",
            "fisheye = false",
            "",
        ]
    return "\n".join(lines)
