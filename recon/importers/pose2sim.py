"""Pose2Sim: ``calibration/Calib*.toml`` with a table a camera, and ``videos/``.

A table has ``size`` in pixels, ``matrix`` with the first pixel's centre at (0, 0), ``distortions`` k1 k2 p1 p2 [k3 ...]
(k1 to k4 where ``fisheye`` is true), and ``rotation`` (a vector) and ``translation`` from world to camera in metres,
OpenCV's axes. Its world is z-up: Pose2Sim turns its results from z-up to y-up when it writes them. The same tables in
other units or of another world (Anipose, FreeMoCap) have to say so, and are refused where it shows.

What Pose2Sim converts from Qualisys has lens coefficients divided by 64, which makes them next to nothing; that is
in the file, and taken as it is.

Pose2Sim itself gives cameras to videos by their order. Here a video belongs to a camera by the name of its table or the
``name`` in it (`finding`); by their order only if asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.importers.building import nearest_axis
from simulacra.recon.importers.finding import (
    CameraFiles,
    find_videos,
    folder_named,
    list_videos,
    video_folder,
)
from simulacra.recon.importers.footage import (
    SIZE_TOLERANCE,
    check_calibrated_size,
    inside,
    make_session,
    session_names,
    video_footage,
    visible,
)
from simulacra.recon.importers.foreign_text import image_size, numbers, read_toml, say_unused
from simulacra.recon.importers.opencv_yaml import rotation_of
from simulacra.recon.importers.options import LengthUnit, Match, Pose2simOptions, Up
from simulacra.recon.importers.placing import METRES, place
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera
from simulacra.render.runtime.errors import CalibrationError, InputError

# What a camera's table has to have.
NEEDED = frozenset({"size", "matrix", "distortions", "rotation", "translation"})
# From the origin, metres: a table that says more is in another unit.
FARTHEST = 100.0
# Degrees: cameras whose upright leans more than this from +z are not of a z-up world, or lie on their side.
MOST_LEAN = 45.0


@dataclass(frozen=True)
class Pose2simTable:
    """One camera of a calibration.

    Attributes:
        names: what it is called: its table, and the ``name`` in it, which Anipose and FreeMoCap call their videos by.
        camera: in the file's world and units.
    """

    names: tuple[str, ...]
    camera: SessionCamera


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
    calibration = _find_calibration(src)
    tables, notes = read_tables(calibration)
    videos = _match_videos(src, tables, options.match)
    names = session_names(videos.files)
    footage = video_footage({names[label]: path for label, path in videos.files.items()})
    found = []
    for label, name in names.items():
        camera, (width, height) = tables[label].camera, footage.sizes[name]
        size = (camera.width, camera.height)
        notes += check_calibrated_size(camera.name, size, (width, height), calibration, SIZE_TOLERANCE)
        found.append(replace(camera, name=name, width=width, height=height))
    units = options.units or _check_metres(found, calibration)
    cameras, T_world_source, said = place(
        found,
        scale=METRES[units],
        world_up=options.world_up or _check_z_up(found, calibration),
        floor=options.floor,
        footage=footage,
    )
    for camera in cameras:
        check_camera(camera.name, camera.K, camera.viewmat, camera.width, camera.height, calibration)
    return make_session(
        session, cameras, footage, importer="pose2sim",
        arguments={"src": src.name, **asdict(options)},
        notes=[*videos.notes, *notes, *said], T_world_source=T_world_source, source=src, fps=options.fps,
    )  # fmt: skip


def read_pose2sim(path: Path) -> dict[str, SessionCamera]:
    """Cameras by the names of their tables, in the file's order, world and units.

    Raises:
        InputError: missing, or not TOML.
        CalibrationError: no camera, or one that cannot be.
    """
    return {label: table.camera for label, table in read_tables(path)[0].items()}


def read_tables(path: Path) -> tuple[dict[str, Pose2simTable], list[str]]:
    """The cameras by the names of their tables, and what was left out or rounded.

    Raises:
        InputError: missing, or not TOML.
        CalibrationError: no camera, or one that cannot be.
    """
    entries = {
        key: entry
        for key, entry in read_toml(path).items()
        if isinstance(entry, dict) and not NEEDED.isdisjoint(entry)
    }
    tables: dict[str, Pose2simTable] = {}
    notes: list[str] = []
    unused: set[str] = set()
    for key, entry in entries.items():
        lacks = sorted(NEEDED - {name for name, value in entry.items() if value is not None})
        if lacks:
            notes.append(f"{key} has no {', '.join(lacks)} in {path.name}: left out")
            continue
        unused |= set(entry) - NEEDED - {"name", "fisheye"}
        camera = _read_camera(key, entry, f"{path}, {key}")
        if [camera.width, camera.height] != entry["size"]:
            notes.append(f"{key}: its size of {entry['size']} is rounded")
        tables[key] = Pose2simTable(tuple(dict.fromkeys((key, str(entry.get("name", key))))), camera)
    if not tables:
        raise CalibrationError(
            "a calibration has no camera",
            where=path,
            expected=f"a table with {', '.join(sorted(NEEDED))} a camera",
            found="; ".join(notes) or None,
        )
    return tables, notes + say_unused(unused, path)


def _read_camera(name: str, entry: Mapping[str, Any], where: str) -> SessionCamera:
    width, height = numbers(entry["size"], (2,), "size", where).tolist()
    size = image_size(width, height, where)
    K = numbers(entry["matrix"], (3, 3), "matrix", where)
    K[:2, 2] += 0.5
    distortion = tuple(numbers(entry["distortions"], (None,), "distortions", where).tolist())
    fisheye = entry.get("fisheye", False)
    if not isinstance(fisheye, bool) or len(distortion) not in ((4,) if fisheye else (4, 5, 8, 12)):
        raise CalibrationError(
            "lens coefficients are not OpenCV's",
            where=where,
            expected="4 of a fisheye; 4, 5, 8 or 12 otherwise",
            found=f"{len(distortion)}, fisheye {fisheye}"[:80],
        )
    viewmat = np.eye(4)
    rotation = entry["rotation"]
    turned = isinstance(rotation, list) and bool(rotation) and isinstance(rotation[0], list)
    given = numbers(rotation, (3, 3) if turned else (3,), "rotation", where)
    viewmat[:3, :3] = given if turned else rotation_of(given, where)
    viewmat[:3, 3] = numbers(entry["translation"], (3,), "translation", where)
    check_camera(name, K, viewmat, *size, where)
    # A fisheye without coefficients still bends; the standard model without is none.
    lens = Lens("opencv_fisheye" if fisheye else "opencv", distortion) if fisheye or any(distortion) else None
    return SessionCamera(name, *size, K, viewmat, lens)


def _find_calibration(src: Path) -> Path:
    """The one TOML file with camera tables, in ``calibration`` or the capture's folder."""
    inner = folder_named(src, ("calibration", "calib"))
    places = [place for place in (inner, src) if place is not None]
    found = [path for place in places for path in visible(place) if path.suffix.lower() == ".toml"]
    if len(found) > 1:
        found = [path for path in found if is_camera_table(path)] or found
    if len(found) != 1:
        raise InputError(
            "a Pose2Sim capture needs one calibration",
            where=src,
            expected="calibration/Calib.toml",
            found=", ".join(path.name for path in found)[:200] or "none",
        )
    return inside(src, found[0].relative_to(src).as_posix())


def is_camera_table(path: Path) -> bool:
    """Whether a TOML file speaks of cameras, by its words: Pose2Sim's settings lie beside its calibration."""
    try:
        text = path.read_text("utf-8-sig")[: 1 << 20]
    except (OSError, UnicodeDecodeError):
        return False
    return all(re.search(rf"^\s*{word}\s*=", text, re.MULTILINE) for word in ("matrix", "translation"))


# -- its world -------------------------------------------------------------------------------------


def _check_metres(cameras: Sequence[SessionCamera], where: Path) -> LengthUnit:
    """Pose2Sim's unit, unless it cannot be.

    Raises:
        CalibrationError: cameras farther away than any that films a person.
    """
    distance = float(np.median([np.linalg.norm(camera.viewmat[:3, 3]) for camera in cameras]))
    if distance > FARTHEST:
        raise CalibrationError(
            "the translations of a calibration cannot be metres",
            where=where,
            found=f"cameras {distance:.0f} from the origin",
            remedy="say the unit: --units mm, as Anipose and FreeMoCap mostly have it, or cm",
        )
    return "m"


def _check_z_up(cameras: Sequence[SessionCamera], where: Path) -> Up:
    """Pose2Sim's up, unless the cameras' own, which their pictures have on the whole, is another.

    Raises:
        CalibrationError: they do.
    """
    mean = -np.mean([camera.viewmat[1, :3] for camera in cameras], axis=0)
    up = mean / max(float(np.linalg.norm(mean)), 1e-9)
    if up[2] < np.cos(np.radians(MOST_LEAN)):
        axis, angle = nearest_axis(up)
        raise CalibrationError(
            "Pose2Sim's worlds are z-up, and these cameras stand upright in another",
            where=where,
            found=f"up within {angle:.0f} degrees of {axis}",
            remedy=f"--world-up cameras, or {axis}, for a table of another program; --world-up +z for cameras that lie "
            "on their side",
        )
    return "+z"


# -- videos ----------------------------------------------------------------------------------------


def _match_videos(src: Path, cameras: Mapping[str, Pose2simTable], match: Match) -> CameraFiles:
    """The video of every camera that has one.

    Raises:
        InputError: by order, not as many videos as cameras; or names that do not say which is whose.
    """
    if match == "names":
        names = {label: camera.names for label, camera in cameras.items()}
        alike = "name them alike, or say that they are in one order: --match order"
        return find_videos(src, names, remedy=alike)
    folder = video_folder(src)
    videos = list_videos(folder)
    if len(videos) != len(cameras):
        raise InputError(
            "there are not as many videos as cameras", where=folder, expected=len(cameras),
            found=f"{len(videos)}: {', '.join(path.name for path in videos)}"[:200],
        )  # fmt: skip
    pairs = dict(zip(cameras, videos))
    said = ", ".join(f"{label} {path.name}" for label, path in pairs.items())
    return CameraFiles(
        {label: inside(src, path.relative_to(src).as_posix()) for label, path in pairs.items()},
        (f"videos belong to cameras by their order, as asked: {said}"[:400],),
    )
