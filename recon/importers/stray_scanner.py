"""Stray Scanner: a folder with ``rgb.mp4``, ``odometry.csv``, ``camera_matrix.csv``, ``depth/`` and ``confidence/``.

    camera_matrix.csv   K, three rows
    odometry.csv        timestamp, frame, x, y, z, qx, qy, qz, qw, a row a frame
    depth/000000.png    16 bit millimetres, 256x192; .npy in older versions
    confidence/000000.png   0, 1, 2

The app's docs/format.md names the fields. Its OdometryEncoder.swift multiplies ARKit's camera by half a turn about x
before it writes the quaternion: the camera's axes are OpenCV's, and the pose is camera to world, with gravity along
-y. K counts from the corner, as ARKit's does. A row may have fx, fy, cx, cy of its own frame (apps that follow the
format).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.arkit_poses import poses_of
from simulacra.recon.importers.depth_arrays import DEPTH_ENDINGS
from simulacra.recon.importers.footage import IMAGE_ENDINGS, inside
from simulacra.recon.importers.foreign_text import numbers, read_text
from simulacra.recon.importers.phone_recording import PhoneRecording, make_phone_session, numbered_files
from simulacra.recon.importers.recorder_options import StrayScannerOptions
from simulacra.recon.session import Session
from simulacra.recon.session.video import decode_video
from simulacra.render.runtime.errors import CalibrationError, InputError

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
OWN_K = ("fx", "fy", "cx", "cy")


def looks_like(folder: Path) -> str | None:
    """Why a folder is of Stray Scanner, or None."""
    named = all((folder / name).is_file() for name in ("odometry.csv", "camera_matrix.csv"))
    return "odometry.csv and camera_matrix.csv" if named else None


def import_stray_scanner(src: Path, session: Path, options: StrayScannerOptions) -> Session:
    """Makes a session of a Stray Scanner recording.

    Args:
        src: the recording's folder.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing or damaged, or the phone moved and nobody said that the person did not.
        CalibrationError: no intrinsics or poses that can be.
        RunError: ``session`` exists already, or the disk is full.
    """
    return make_phone_session(src, session, read_scan(src), options, options.world_up, "stray-scanner")


def read_scan(folder: Path) -> PhoneRecording:
    """What a recording's folder holds.

    Raises:
        InputError: a file is missing or damaged.
        CalibrationError: no intrinsics or poses that can be.
    """
    path = folder / "odometry.csv"
    table = _read_odometry(path)
    count = len(table["x"])
    columns = np.stack([table[name] for name in POSE], axis=1)
    poses = poses_of(columns[:, 3:], columns[:, :3], path, flip=False)
    video = inside(folder, "rgb.mp4")
    frames, size = _probe(video)
    taken = min(frames, count)
    notes = [] if frames == count else [f"{frames} frames in the video and {count} poses: {taken} are taken"]
    K = _read_matrix(folder / "camera_matrix.csv")
    Ks = np.tile(K, (taken, 1, 1))
    if all(name in table for name in OWN_K):
        for name, (i, j) in zip(OWN_K, ((0, 0), (1, 1), (0, 2), (1, 2))):
            Ks[:, i, j] = table[name][:taken]
    stamps = table.get("timestamp")
    return PhoneRecording(
        pictures={}, video=video, size=size, Ks=Ks, poses=poses[:taken],
        times=None if stamps is None else stamps[:taken] - stamps[0],
        depth=numbered_files(folder / "depth", DEPTH_ENDINGS),
        confidence=numbered_files(folder / "confidence", IMAGE_ENDINGS), notes=tuple(notes),
    )  # fmt: skip


def _probe(video: Path) -> tuple[int, tuple[int, int]]:
    """How many frames, and their size as stored: the intrinsics are of that, however the video asks to be shown."""
    count, size = 0, (0, 0)
    for frame in decode_video(video, may_turn=True):
        count, size = count + 1, (frame.width, frame.height)
    if not count:
        raise InputError("a video has no frame", where=video)
    return count, size


def _rows(text: str) -> list[list[str]]:
    """Lines of words between commas; the app quotes nothing."""
    return [[word.strip() for word in line.split(",")] for line in text.splitlines() if line.strip()]


def _read_matrix(path: Path) -> Float[np.ndarray, "3 3"]:
    rows = _rows(read_text(path))
    try:
        return numbers([[float(word) for word in row] for row in rows], (3, 3), "the camera matrix", path)
    except ValueError as error:
        raise CalibrationError(
            "the camera matrix is not numbers", where=path, found=str(error)[:120]
        ) from error


def _read_odometry(path: Path) -> dict[str, Float[np.ndarray, "n"]]:
    """Columns by their names in small letters."""
    rows = _rows(read_text(path, "odometry"))
    names = [name.lower() for name in rows[0]] if rows else []
    missing = [name for name in POSE if name not in names]
    if missing or len(rows) < 2 or any(len(row) != len(names) for row in rows):
        raise CalibrationError(
            "odometry is no table of poses", where=path, expected=f"columns {', '.join(POSE)}",
            found=f"{len(rows)} rows, {', '.join(names)[:80]}",
        )  # fmt: skip
    table = {}
    for name, *column in zip(names, *rows[1:]):
        try:
            table[name] = numbers([float(word) for word in column], (None,), name, path)
        except ValueError as error:
            raise CalibrationError(
                "odometry has a word that is no number", where=path, found=error
            ) from error
    return table
