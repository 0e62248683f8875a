"""Caliscope: a folder with ``camera_array.toml`` and one recording: ``cam_N.mp4`` (or ``port_N.mp4``), timestamps.csv.

The calibration is OpenCV's: ``matrix`` with the first pixel's centre at (0, 0), ``distortions`` k1 k2 p1 p2 k3 (k1 to
k4 where ``fisheye`` is true), and ``rotation`` (a matrix, or a rotation vector in newer versions) and ``translation``
from world to camera in metres. Caliscope's world is the calibration board as it was held or laid in one frame, so that
its axes say nothing of gravity: up is measured from the cameras' horizons unless it is given. Nor does it say where the
floor is.

timestamps.csv (frame_time_history.csv in older versions) decides what was recorded together: one row a frame of a
camera, with a ``sync_index`` that frames of one moment share. A camera without a row of a sync_index missed it. Frame
k of a video is the row with the k-th time of its camera, as Caliscope itself reads them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from simulacra.recon.importers.building import (
    copy_file,
    new_session_folder,
    write_session,
)
from simulacra.recon.importers.finding import find_videos
from simulacra.recon.importers.footage import Footage, check_calibrated_size
from simulacra.recon.importers.foreign_text import read_toml, say_unused
from simulacra.recon.importers.options import CaliscopeOptions
from simulacra.recon.importers.placing import place
from simulacra.recon.runs.progress import track
from simulacra.recon.session import (
    Frame,
    Lens,
    LensModel,
    Session,
    SessionCamera,
    Source,
    check_camera,
    load_session,
)
from simulacra.recon.session.video import VideoFacts, probe_video
from simulacra.render.runtime.errors import CalibrationError, InputError

CALIBRATION_FILE = "camera_array.toml"
TIMESTAMP_FILES = ("timestamps.csv", "frame_time_history.csv")
# What a camera's table has to have.
NEEDED = ("size", "matrix", "distortions", "rotation", "translation")
# Recordings lie at most this deep: calibration/extrinsic, recordings/NAME.
DEEPEST = 3


@dataclass(frozen=True)
class Stamp:
    """One frame of one camera."""

    sync_index: int
    number: int
    time: float


def import_caliscope(src: Path, session: Path, options: CaliscopeOptions) -> Session:
    """Makes a session of a Caliscope recording. Videos are linked or copied, never encoded again.

    Args:
        src: the project's folder.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing, unreadable or says something else than the others.
        CalibrationError: a camera that cannot be, or one of another image size.
        RunError: ``session`` exists already, or the disk is full.
    """
    calibration = src / CALIBRATION_FILE
    calibrated, notes = read_camera_array(calibration)
    folder = _find_recording(src, options.recording)
    stamps = read_timestamps(_timestamp_file(folder))
    videos, left_out = _match_videos(folder, calibrated, stamps)
    notes += left_out
    facts = {n: probe_video(path) for n, path in track(videos.items(), "reading videos", len(videos))}
    for name in videos:
        _check_video(calibrated[name], facts[name], stamps[name], videos[name], calibration)
    files = {name: f"videos/{name}{path.suffix.lower()}" for name, path in videos.items()}
    frames = _frames(files, {name: stamps[name] for name in videos})
    cameras, T_world_source, said = place(
        [calibrated[name] for name in videos],
        scale=1.0,
        world_up=options.world_up or "cameras",
        floor=options.floor,
        footage=Footage({}, tuple(frames), {files[name]: path for name, path in videos.items()}),
    )
    notes += said
    notes += _missing_notes(frames, list(videos))
    with new_session_folder(session) as work:
        for name, path in videos.items():
            copy_file(path, work / files[name], src)
        write_session(
            work, cameras, frames, importer="caliscope",
            arguments={"src": src.name, **asdict(options)},
            notes=notes, T_world_source=T_world_source, source=src,
        )  # fmt: skip
    return load_session(session)


# -- calibration -----------------------------------------------------------------------------------


def read_camera_array(path: Path) -> tuple[dict[str, SessionCamera], list[str]]:
    """Cameras by name (``cam_N``) in Caliscope's world, and what was left out.

    Raises:
        InputError: missing, or not TOML.
        CalibrationError: an entry that is missing, not a number, or cannot be.
    """
    described = read_toml(path)
    entries = described.get("cameras")
    if not isinstance(entries, dict) or not entries:
        raise InputError("a calibration has no camera", where=path, expected="[cameras.N] tables")
    cameras: dict[str, SessionCamera] = {}
    notes: list[str] = []
    unused: set[str] = set()
    for key, entry in entries.items():
        name = f"cam_{key}"
        where = f"{path}, camera {key}"
        if not isinstance(entry, dict):
            raise CalibrationError("a camera is not a table", where=where, found=type(entry).__name__)
        if entry.get("ignore"):
            notes.append(f"{name} is marked to be ignored in the calibration: left out")
            continue
        lacks = [part for part in NEEDED if entry.get(part) is None]
        if lacks:
            notes.append(f"{name} has no {', '.join(lacks)}: it is not calibrated, and left out")
            continue
        cameras[name] = _read_camera(name, entry, where)
        unused |= set(entry) - {*NEEDED, "ignore", "fisheye", "rotation_count", "cam_id", "port"}
        if entry.get("rotation_count"):
            notes.append(f"{name} was shown turned by {entry['rotation_count']} quarters; its images are not")
    if not cameras:
        raise InputError("every camera of a calibration is ignored", where=path, found="; ".join(notes)[:300])
    return cameras, notes + say_unused(unused, path)


def _read_camera(name: str, entry: Mapping[str, Any], where: str) -> SessionCamera:
    width, height = (round(side) for side in _numbers(entry, "size", (2,), where))
    K = _numbers(entry, "matrix", (3, 3), where)
    K[:2, 2] += 0.5
    distortion = np.atleast_1d(_numbers(entry, "distortions", None, where)).ravel()
    fisheye = bool(entry.get("fisheye"))
    if len(distortion) not in ((4,) if fisheye else (4, 5, 8)):
        raise CalibrationError(
            "lens coefficients are not OpenCV's",
            where=where,
            expected="4 numbers of a fisheye" if fisheye else "4, 5 or 8 numbers",
            found=len(distortion),
        )
    rotation = _numbers(entry, "rotation", None, where)
    if rotation.shape != (3, 3) and rotation.size == 3:
        rotation = cv2.Rodrigues(rotation.reshape(3, 1))[0]
    if rotation.shape != (3, 3):
        raise CalibrationError(
            "a rotation is neither a matrix nor a vector", where=where, found=rotation.shape
        )
    viewmat = np.eye(4)
    viewmat[:3, :3] = rotation
    viewmat[:3, 3] = _numbers(entry, "translation", (3,), where)
    if width <= 0 or height <= 0:
        raise CalibrationError("an image size cannot be", where=where, found=f"{width}x{height}")
    check_camera(name, K, viewmat, width, height, where)
    # A fisheye without coefficients still bends.
    model: LensModel = "opencv_fisheye" if fisheye else "opencv"
    lens = Lens(model, tuple(distortion.tolist())) if fisheye or distortion.any() else None
    return SessionCamera(name, width, height, K, viewmat, lens)


def _numbers(entry: Mapping[str, Any], key: str, shape: tuple[int, ...] | None, where: str) -> np.ndarray:
    """A finite array out of the file; of any shape where none is asked for."""
    if entry.get(key) is None:
        raise CalibrationError(f"a camera has no {key}: it is not calibrated", where=where)
    try:
        array = np.asarray(entry[key], dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise CalibrationError(f"{key} is not numbers", where=where, found=error) from error
    array = array.squeeze() if shape == (3,) else array
    if (shape is not None and array.shape != shape) or not np.isfinite(array).all():
        raise CalibrationError(
            f"{key} is not finite numbers of its shape",
            where=where,
            expected=shape,
            found=str(entry[key])[:120],
        )
    return array


# -- recording -------------------------------------------------------------------------------------


def _find_recording(src: Path, recording: str | None) -> Path:
    """The one folder that holds timestamps."""
    if recording is not None:
        folder = (src / recording).resolve()
        if not folder.is_relative_to(src.resolve()):
            raise InputError("the recording is not in the capture's folder", where=src, found=recording)
        return folder
    patterns = ["*/" * depth + name for depth in range(DEEPEST) for name in TIMESTAMP_FILES]
    found = sorted({path.parent for pattern in patterns for path in src.glob(pattern)})
    if len(found) != 1:
        raise InputError(
            "there is no recording" if not found else "there is more than one recording",
            where=src,
            expected=f"one folder with {TIMESTAMP_FILES[0]} and cam_N.mp4",
            found=", ".join(path.relative_to(src).as_posix() for path in found) or "none",
            remedy="name one of them" if found else None,
        )
    return found[0]


def _timestamp_file(folder: Path) -> Path:
    for name in TIMESTAMP_FILES:
        if (folder / name).is_file():
            return folder / name
    raise InputError("a recording has no timestamps", where=folder / TIMESTAMP_FILES[0])


def read_timestamps(path: Path) -> dict[str, tuple[Stamp, ...]]:
    """The frames of each camera (``cam_N``), in the order of time, which is their order in the video.

    Raises:
        InputError: unreadable, without the columns, or a camera with two frames of one moment.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            columns = set(reader.fieldnames or ())
            key = "cam_id" if "cam_id" in columns else "port"
            if not {key, "sync_index", "frame_time"} <= columns:
                raise InputError(
                    "timestamps lack a column",
                    where=path,
                    expected="sync_index, cam_id (or port), frame_time",
                    found=", ".join(sorted(columns)) or "nothing",
                )
            found = defaultdict(list)
            for row in reader:
                number, sync, time = int(row[key]), int(row["sync_index"]), float(row["frame_time"])
                if sync < 0 or not np.isfinite(time):
                    raise ValueError(f"line {reader.line_num}: sync_index {sync}, frame_time {time}")
                found[f"cam_{number}"].append((time, sync))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise InputError("timestamps cannot be read", where=path, found=error) from error
    if not found:
        raise InputError("timestamps have no row", where=path)
    for name, rows in found.items():
        rows.sort()
        moments = [sync for _, sync in rows]
        if moments != sorted(set(moments)):
            raise InputError(
                "a camera's frames are out of order or double",
                where=f"{path}, {name}",
                expected="one rising sync_index a frame",
            )
    return {
        name: tuple(Stamp(sync, number, time) for number, (time, sync) in enumerate(rows))
        for name, rows in sorted(found.items())
    }


def _match_videos(
    folder: Path, cameras: Mapping[str, SessionCamera], stamps: Mapping[str, Sequence[Stamp]]
) -> tuple[dict[str, Path], list[str]]:
    """The video of each calibrated camera that recorded anything, and what was left out."""
    recorded = {name: (name, name.replace("cam_", "port_")) for name in cameras if name in stamps}
    if not recorded:
        raise InputError("no calibrated camera recorded anything", where=folder)
    found = find_videos(folder, recorded, strict=False)
    notes = [f"{name} is calibrated and recorded nothing" for name in cameras if name not in stamps]
    notes += [f"{name} recorded and is not calibrated: left out" for name in stamps if name not in cameras]
    return found.files, [*found.notes, *notes]


def _check_video(
    camera: SessionCamera, facts: VideoFacts, stamps: Sequence[Stamp], video: Path, calibration: Path
) -> None:
    sizes, where = (
        ((camera.width, camera.height), (facts.width, facts.height)),
        f"{video}, calibrated in {calibration}",
    )
    check_calibrated_size(camera.name, *sizes, where)
    if facts.frames != len(stamps):
        raise InputError(
            "a video and its timestamps differ in length: which frame is which cannot be known",
            where=video,
            expected=f"{len(stamps)} frames",
            found=f"{facts.frames} frames",
            remedy="copy the recording again from the source",
        )


def _frames(files: Mapping[str, str], stamps: Mapping[str, Sequence[Stamp]]) -> list[Frame]:
    """One frame a sync_index, numbered from 0, with the cameras that have it; the first time is 0."""
    start = min(rows[0].time for rows in stamps.values())
    moments: dict[int, dict[str, Source]] = defaultdict(dict)
    for name, rows in stamps.items():
        for row in rows:
            moments[row.sync_index][name] = Source(files[name], row.number, row.time - start)
    return [Frame(index, moments[sync]) for index, sync in enumerate(sorted(moments))]


def _missing_notes(frames: Sequence[Frame], names: Sequence[str]) -> list[str]:
    missed = {name: sum(name not in frame.sources for frame in frames) for name in names}
    return [f"{name} missed {count} of {len(frames)} frames" for name, count in missed.items() if count]
