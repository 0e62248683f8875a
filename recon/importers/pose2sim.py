"""Pose2Sim: ``calibration/Calib*.toml`` with a table a camera, and ``videos/``.

A table has ``size`` in pixels, ``matrix`` with the first pixel's centre at (0, 0), ``distortions`` k1 k2 p1 p2 [k3 ...]
(k1 to k4 where ``fisheye`` is true), and ``rotation`` (a vector) and ``translation`` from world to camera in metres,
OpenCV's axes. Its world is z-up: Pose2Sim turns its results from z-up to y-up when it writes them. The same tables in
other units or of another world (Anipose, FreeMoCap) have to say so.

What Pose2Sim converts from Qualisys has lens coefficients divided by 64, which makes them next to nothing; that is
in the file, and taken as it is.

Pose2Sim itself gives cameras to videos by their order. Here a video belongs to a camera by its name, without regard
to case, signs between letters, or the ``int_`` and ``_img`` of calibration folders; by their order only if asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.importers.footage import (
    SIZE_TOLERANCE,
    VIDEO_ENDINGS,
    check_calibrated_size,
    inside,
    make_session,
    natural,
    session_names,
    video_footage,
)
from simulacra.recon.importers.foreign_text import image_size, mapping, numbers, read_toml
from simulacra.recon.importers.opencv_yaml import rotation_of
from simulacra.recon.importers.options import Match, Pose2simOptions
from simulacra.recon.importers.placing import METRES, place
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera
from simulacra.render.runtime.errors import CalibrationError, InputError


def import_pose2sim(src: Path, session: Path, options: Pose2simOptions) -> Session:
    """Makes a session of a Pose2Sim capture. Videos are linked or copied, never encoded again.

    Args:
        src: the folder with ``calibration`` and ``videos``.
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
    calibration = _find_calibration(src)
    calibrated = read_pose2sim(calibration)
    videos = _match_videos(src / "videos", list(calibrated), options.match)
    names = session_names(calibrated)
    footage = video_footage({names[label]: path for label, path in videos.items()})
    found, notes = [], []
    for label, camera in calibrated.items():
        width, height = footage.sizes[names[label]]
        size = (camera.width, camera.height)
        notes += check_calibrated_size(camera.name, size, (width, height), calibration, SIZE_TOLERANCE)
        found.append(replace(camera, name=names[label], width=width, height=height))
    cameras, T_world_source, said = place(
        found, scale=METRES[options.units], world_up=options.world_up, floor=options.floor, footage=footage
    )
    for camera in cameras:
        check_camera(camera.name, camera.K, camera.viewmat, camera.width, camera.height, calibration)
    return make_session(
        session, cameras, footage, importer="pose2sim",
        arguments={"src": src.name, **asdict(options)},
        notes=notes + said, T_world_source=T_world_source, source=src, fps=options.fps,
    )  # fmt: skip


def read_pose2sim(path: Path) -> dict[str, SessionCamera]:
    """Cameras by the names of their tables, in the file's order, world and units.

    Raises:
        InputError: missing, or not TOML.
        CalibrationError: no camera, or one that lacks something or cannot be.
    """
    tables = {
        key: entry for key, entry in read_toml(path).items() if isinstance(entry, dict) and "matrix" in entry
    }
    if not tables:
        raise CalibrationError(
            "a calibration has no camera", where=path, expected="a table with a matrix a camera"
        )
    return {
        key: _read_camera(key, mapping(entry, key, path), f"{path}, {key}") for key, entry in tables.items()
    }


def _read_camera(name: str, entry: Mapping[str, Any], where: str) -> SessionCamera:
    width, height = numbers(entry.get("size"), (2,), "size", where).tolist()
    size = image_size(width, height, where)
    K = numbers(entry["matrix"], (3, 3), "matrix", where)
    K[:2, 2] += 0.5
    distortion = tuple(numbers(entry.get("distortions"), (None,), "distortions", where).tolist())
    fisheye = entry.get("fisheye", False)
    if not isinstance(fisheye, bool) or len(distortion) not in ((4,) if fisheye else (4, 5, 8, 12)):
        raise CalibrationError(
            "lens coefficients are not OpenCV's",
            where=where,
            expected="4 of a fisheye; 4, 5, 8 or 12 otherwise",
            found=f"{len(distortion)}, fisheye {fisheye}"[:80],
        )
    viewmat = np.eye(4)
    rotation = entry.get("rotation")
    turned = isinstance(rotation, list) and bool(rotation) and isinstance(rotation[0], list)
    given = numbers(rotation, (3, 3) if turned else (3,), "rotation", where)
    viewmat[:3, :3] = given if turned else rotation_of(given, where)
    viewmat[:3, 3] = numbers(entry.get("translation"), (3,), "translation", where)
    check_camera(name, K, viewmat, *size, where)
    # A fisheye without coefficients still bends; the standard model without is none.
    lens = Lens("opencv_fisheye" if fisheye else "opencv", distortion) if fisheye or any(distortion) else None
    return SessionCamera(name, *size, K, viewmat, lens)


def _find_calibration(src: Path) -> Path:
    found = sorted({*src.glob("calibration/*.toml"), *src.glob("*.toml")})
    found = [path for path in found if "config" not in path.name.lower()]
    if len(found) != 1:
        raise InputError(
            "a Pose2Sim capture needs one calibration",
            where=src,
            expected="calibration/Calib.toml",
            found=", ".join(path.name for path in found)[:200] or "none",
        )
    return inside(src, found[0].relative_to(src).as_posix())


def _match_videos(folder: Path, labels: Sequence[str], match: Match) -> dict[str, Path]:
    """The video of every camera.

    Raises:
        InputError: not as many videos as cameras, or names that do not say which is whose.
    """
    found = (
        [path for path in folder.iterdir() if path.suffix.lower() in VIDEO_ENDINGS] if folder.is_dir() else []
    )
    videos = sorted(found, key=lambda path: natural(path.name))
    if match == "order":
        if len(videos) != len(labels):
            raise InputError(
                "there are not as many videos as cameras",
                where=folder,
                expected=len(labels),
                found=len(videos),
            )
        return {label: inside(folder, path.name) for label, path in zip(labels, videos)}
    of_name: dict[str, list[Path]] = {}
    for path in videos:
        of_name.setdefault(_plain(path.stem), []).append(path)
    matched = {label: of_name.get(_plain(label), []) for label in labels}
    if any(len(paths) != 1 for paths in matched.values()) or len({_plain(label) for label in labels}) < len(
        labels
    ):
        raise InputError(
            "the names of videos and cameras do not say which belong together",
            where=folder,
            expected=", ".join(labels)[:200],
            found=", ".join(path.name for path in videos)[:200] or "no video",
            remedy="name them alike, or say that they are in one order: --match order",
        )
    return {label: inside(folder, paths[0].name) for label, paths in matched.items()}


def _plain(name: str) -> str:
    """A camera's name without what different programs put around and between its letters."""
    plain = re.sub(r"[^a-z0-9]", "", re.sub(r"^int_|_(img|cam|video)$", "", name.lower()))
    return re.sub(r"0+(?=\d)", "", plain)
