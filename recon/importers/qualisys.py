"""Qualisys video: a folder with ``videos/NAME.mp4`` and one ``*.qca.txt`` calibration.

What is foreign about it ends here. Intrinsics are in 1/64 pixel with the first pixel centre at 0; lengths are in
millimetres; ``r_ij`` is written column by column and takes the camera's axes, which look backwards with y up, to a
world with z up. Lens coefficients are OpenCV's k1 k2 p1 p2 k3.

Joints measured another way come as a .trc file, y-up: world (x, y, z) = TRC (z, x, y). They belong to the frames of
their times, not of their numbers: Pose2Sim's first row has number 1 and time 1/60 s, which is the second video frame
(measured on its demo: the joints follow the detections best one frame later than their rows, in every camera).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.building import at_rate, copy_file, new_session_folder, upright, write_session
from simulacra.recon.importers.finding import find_videos, folder_named
from simulacra.recon.importers.footage import (
    SIZE_TOLERANCE,
    check_calibrated_size,
    video_footage,
    visible,
)
from simulacra.recon.importers.foreign_text import read_text, read_xml, say_unused, unused_parts
from simulacra.recon.importers.options import QualisysOptions
from simulacra.recon.runs.files import write_arrays
from simulacra.recon.session import Frame, Lens, Session, SessionCamera, check_camera, load_session
from simulacra.render.runtime.errors import CalibrationError, InputError

# What a camera's element has to have.
PARTS = ("transform", "intrinsic", "fov_video")
# Elements and attributes that are used; those of <calibration> and <results> tell how it was made.
KNOWN = {
    "calibration", "cameras", "camera", "camera.serial", "camera.viewrotation", *PARTS,
    *(f"calibration.{key}" for key in (
        "created", "longArmEnd", "longArmMiddle", "maximumFrames", "qtm-version", "shortArmEnd", "source", "type",
        "wandLength",
    )),
    "results", "results.min-max-diff", "results.std-dev",
    *(f"transform.{key}" for key in ("x", "y", "z", *(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)))),
    *(f"fov_video.{key}" for key in ("left", "top", "right", "bottom")),
    *(f"intrinsic.{key}" for key in (
        "focalLengthU", "focalLengthV", "centerPointU", "centerPointV", "skew", "radialDistortion1",
        "radialDistortion2", "radialDistortion3", "tangentalDistortion1", "tangentalDistortion2",
    )),
}  # fmt: skip
REFERENCE_FILE = "reference/joints.npz"
# Intrinsics are whole numbers of 1/64 pixel.
SUBPIXELS = 64
# Of a joint from the origin, in any unit.
FARTHEST = 1e9
# The camera looks along -z with y up; OpenCV's along +z with y down: a half turn about x.
HALF_TURN = np.diag([1.0, -1.0, -1.0])
# Rows of world (z up) out of columns of a .trc (y up).
WORLD_FROM_TRC = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


@dataclass(frozen=True)
class QcaCamera:
    """One calibrated camera, in metres and pixels of our conventions, its world still z-up."""

    name: str
    width: int
    height: int
    K: Float[np.ndarray, "3 3"]
    viewmat: Float[np.ndarray, "4 4"]
    distortion: tuple[float, ...]


def import_qualisys(src: Path, session: Path, options: QualisysOptions) -> Session:
    """Makes a session of a Qualisys video capture. Videos are linked or copied, never encoded again.

    Args:
        src: the folder with videos and a calibration.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing or unreadable.
        CalibrationError: a calibration that cannot be, or one of another image size.
        RunError: ``session`` exists already, or the disk is full.
    """
    reference = options.reference
    calibration = _find_calibration(src)
    calibrated, left_out = read_calibrated(calibration)
    found = find_videos(src, {camera.name: (camera.name,) for camera in calibrated}, strict=False)
    videos, notes = found.files, [*left_out, *found.notes]
    footage = video_footage(videos)
    T_world_source = upright("+z")
    cameras = []
    for camera in calibrated:
        if camera.name in videos:
            size, where = footage.sizes[camera.name], f"{videos[camera.name]}, calibrated in {calibration}"
            calibrated_size = (camera.width, camera.height)
            notes += check_calibrated_size(camera.name, calibrated_size, size, where, SIZE_TOLERANCE)
            cameras.append(_session_camera(camera, size, T_world_source, calibration))
    notes += footage.notes
    joints = read_trc(reference) if reference is not None else None
    with new_session_folder(session) as folder:
        for target, path in footage.files.items():
            copy_file(path, folder / target, src)
        frames = at_rate(footage.frames, options.fps or footage.rate, src)
        if joints is not None and reference is not None:
            notes.append(_write_reference(folder, joints, frames, T_world_source, reference))
        write_session(
            folder, cameras, frames, importer="qualisys",
            arguments={"src": src.name, "reference": reference.name if reference else None, "fps": options.fps},
            notes=notes, T_world_source=T_world_source, source=src, reference=REFERENCE_FILE if joints else None,
        )  # fmt: skip
    return load_session(session)


def read_qca(path: Path) -> tuple[QcaCamera, ...]:
    """The calibrated cameras of a .qca.txt.

    Raises:
        InputError: unreadable, not XML, or XML with a document type (a calibration has none, an attack has).
        CalibrationError: an attribute is missing or not a number, or a camera that cannot be.
    """
    return read_calibrated(path)[0]


def read_calibrated(path: Path) -> tuple[tuple[QcaCamera, ...], list[str]]:
    """The cameras of a .qca.txt that are calibrated for video, and what was left out.

    Raises:
        InputError: as `read_qca`.
        CalibrationError: as `read_qca`.
    """
    root = read_xml(path)
    elements = root.findall("cameras/camera")
    if not elements:
        raise InputError("a calibration has no camera", where=path, expected="<cameras><camera ...>")
    lacks = [[tag for tag in PARTS if element.find(tag) is None] for element in elements]
    cameras = tuple(_read_camera(element, path) for element, missing in zip(elements, lacks) if not missing)
    notes = [
        f"{element.get('serial', 'a camera without a serial')} has no <{'>, <'.join(missing)}>: left out"
        for element, missing in zip(elements, lacks)
        if missing
    ]
    turned = [
        e.get("serial", "")[:40] for e in elements if e.get("viewrotation", "0").strip() not in ("", "0")
    ]
    if turned:
        notes.append(f"{', '.join(turned)}: turned in QTM (viewrotation); videos are taken as they are")
    notes += say_unused(unused_parts(root, KNOWN), path)
    if not cameras:
        raise CalibrationError(
            "no camera of a calibration is complete", where=path, found="; ".join(notes)[:300]
        )
    names = [camera.name for camera in cameras]
    if len(set(names)) != len(names):
        raise CalibrationError("two cameras have one serial", where=path, found=", ".join(names))
    return cameras, notes


def read_trc(path: Path) -> tuple[tuple[str, ...], Float[np.ndarray, "t"], Float[np.ndarray, "t k 3"]]:
    """Marker names, times in seconds and y-up positions in metres, NaN where absent.

    Raises:
        InputError: missing, or not a .trc in metres, centimetres or millimetres.
    """
    lines = read_text(path, "a reference").splitlines()
    if len(lines) < 6 or not lines[0].startswith("PathFileType"):
        raise InputError("a reference is not a .trc file", where=path, expected="a line PathFileType first")
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    units = header.get("Units", "").strip().lower()
    scale = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}.get(units)
    if scale is None:
        raise InputError("a reference is in unknown units", where=path, expected="m, cm or mm", found=units)
    names = tuple(name.strip() for name in lines[3].split("\t")[2:] if name.strip())
    rows = [_read_trc_row(line, len(names), path, 6 + i) for i, line in enumerate(lines[5:]) if line.strip()]
    if not rows:
        raise InputError("a reference has no frame", where=path)
    _check_counts(header, {"NumFrames": len(rows), "NumMarkers": len(names)}, path)
    joints = np.array([row[1] for row in rows]).reshape(len(rows), len(names), 3)
    times = np.array([row[0] for row in rows])
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise InputError("the times of a reference do not rise", where=path)
    if (np.abs(joints) > FARTHEST).any():
        raise InputError("a reference has positions that cannot be", where=path)
    return names, times, joints * scale


def _check_counts(header: Mapping[str, str], read: Mapping[str, int], path: Path) -> None:
    """What a file says that it has, against what was read."""
    for key, count in read.items():
        stated = header.get(key, "").strip()
        if stated and stated != str(count):
            raise InputError(
                f"a reference is not of as many as its {key} says: cut off, or changed by hand", where=path,
                expected=stated[:40], found=count, remedy="export it again",
            )  # fmt: skip


def _read_trc_row(line: str, count: int, path: Path, number: int) -> tuple[float, list[float]]:
    cells = line.split("\t")
    try:
        values = [float(cell) if cell.strip() else math.nan for cell in cells[2 : 2 + 3 * count]]
        return float(cells[1]), values + [math.nan] * (3 * count - len(values))
    except (ValueError, IndexError) as error:
        raise InputError(
            "a reference has a line that is not numbers", where=f"{path}, line {number}", found=error
        ) from error


# -- calibration -----------------------------------------------------------------------------------


def _find_calibration(src: Path) -> Path:
    if not src.is_dir():
        raise InputError("there is no such capture folder", where=src)
    places = [place for place in (src, folder_named(src, ("calibration", "calib"))) if place is not None]
    found = [path for place in places for path in visible(place) if path.name.lower().endswith(".qca.txt")]
    if len(found) != 1:
        raise InputError(
            "a Qualisys capture needs one calibration",
            where=src,
            expected="calibration/NAME.qca.txt",
            found=", ".join(path.name for path in found) or "none",
        )
    return found[0]


def _read_camera(element: ElementTree.Element, path: Path) -> QcaCamera:
    name = element.get("serial", "").strip()
    if not name:
        raise CalibrationError("a camera has no serial", where=path)
    transform = _numbers(element, "transform", path, name)
    intrinsic = _numbers(element, "intrinsic", path, name)
    view = _numbers(element, "fov_video", path, name)
    try:
        # The field of view is given by its first and last pixel; it moves the origin if it is a window.
        width = round(view["right"] - view["left"]) + 1
        height = round(view["bottom"] - view["top"]) + 1
        K = np.array(
            [
                [intrinsic["focalLengthU"] / SUBPIXELS, intrinsic.get("skew", 0.0) / SUBPIXELS,
                 intrinsic["centerPointU"] / SUBPIXELS - view["left"] + 0.5],
                [0.0, intrinsic["focalLengthV"] / SUBPIXELS,
                 intrinsic["centerPointV"] / SUBPIXELS - view["top"] + 0.5],
                [0.0, 0.0, 1.0],
            ]
        )  # fmt: skip
        distortion = tuple(intrinsic[key] for key in ("radialDistortion1", "radialDistortion2"))
        distortion += tuple(intrinsic[key] for key in ("tangentalDistortion1", "tangentalDistortion2"))
        distortion += (intrinsic.get("radialDistortion3", 0.0),)
        viewmat = _viewmat(transform)
    except (KeyError, ValueError, OverflowError) as error:
        raise CalibrationError(
            "a camera's calibration is not complete", where=f"{path}, camera {name}", expected=error
        ) from error
    if width <= 0 or height <= 0 or not np.isfinite(distortion).all():
        raise CalibrationError(
            "a camera's image or lens cannot be",
            where=f"{path}, camera {name}",
            found=f"{width}x{height}, lens {distortion}",
        )
    check_camera(name, K, viewmat, width, height, path)
    return QcaCamera(name, width, height, K, viewmat, distortion)


def _numbers(element: ElementTree.Element, tag: str, path: Path, camera: str) -> Mapping[str, float]:
    child = element.find(tag)
    if child is None:
        raise CalibrationError(f"a camera has no <{tag}>", where=f"{path}, camera {camera}")
    try:
        return {key: float(value) for key, value in child.attrib.items() if key != "model"}
    except ValueError as error:
        raise CalibrationError(
            f"<{tag}> holds something other than numbers", where=f"{path}, camera {camera}", found=error
        ) from error


def _viewmat(transform: Mapping[str, float]) -> Float[np.ndarray, "4 4"]:
    """World to camera in metres, OpenCV axes, out of the camera-to-world transform of the file."""
    R_world_camera = np.array([[transform[f"r{j}{i}"] for j in (1, 2, 3)] for i in (1, 2, 3)])
    centre = np.array([transform[axis] for axis in "xyz"]) / 1000
    # Not numbers, or so huge that products of them are not; what is merely wrong is said by the camera's check.
    if not (np.abs(R_world_camera).max() < 1e6 and np.abs(centre).max() < 1e9):
        raise ValueError("a rotation and a position")
    viewmat = np.eye(4)
    viewmat[:3, :3] = HALF_TURN @ R_world_camera.T
    viewmat[:3, 3] = -viewmat[:3, :3] @ centre
    return viewmat


# -- videos ----------------------------------------------------------------------------------------


def _session_camera(
    camera: QcaCamera, size: tuple[int, int], T_world_source: Float[np.ndarray, "4 4"], calibration: Path
) -> SessionCamera:
    viewmat = camera.viewmat @ np.linalg.inv(T_world_source)
    check_camera(camera.name, camera.K, viewmat, *size, calibration)
    lens = Lens("opencv", camera.distortion) if any(camera.distortion) else None
    return SessionCamera(camera.name, *size, camera.K, viewmat, lens)


def _write_reference(
    folder: Path,
    reference: tuple[tuple[str, ...], Float[np.ndarray, "t"], Float[np.ndarray, "t k 3"]],
    frames: Sequence[Frame],
    T_world_source: Float[np.ndarray, "4 4"],
    path: Path,
) -> str:
    """Stores the joints at the session's frames in our world, and says what that was."""
    names, times, joints = reference
    stamps = [[s.time for s in frame.sources.values() if s.time is not None] for frame in frames]
    if not all(stamps):
        raise InputError(
            "a reference is matched by times, and the videos carry none", where=path, remedy="--fps RATE"
        )
    frame_times = np.array([min(found) for found in stamps])
    nearest = np.abs(times[None] - frame_times[:, None]).argmin(axis=1)
    interval = min((float(np.median(np.diff(t))) for t in (times, frame_times) if len(t) > 1), default=1.0)
    matched = np.abs(times[nearest] - frame_times) < 0.5 * interval
    if not matched.any():
        raise InputError(
            "no time of the reference is one of the video",
            where=path,
            expected=f"{frame_times[0]:.3f} to {frame_times[-1]:.3f} s",
            found=f"{times[0]:.3f} to {times[-1]:.3f} s",
        )
    R_world_trc = T_world_source[:3, :3] @ WORLD_FROM_TRC
    indices = np.array([frame.index for frame in frames], dtype=np.int64)[matched]
    write_arrays(
        folder / REFERENCE_FILE,
        names=np.array(names),
        frames=indices,
        joints=joints[nearest[matched]] @ R_world_trc.T,
    )
    return (
        f"reference: {len(names)} joints in {len(indices)} of {len(frames)} frames, by their times; "
        f"its first is our frame {indices[0]}"
    )
