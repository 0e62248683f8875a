"""CMU Panoptic Studio: ``calibration_SEQUENCE.json`` and the HD or VGA cameras' videos or pictures.

    calibration_171204_pose1.json   cameras: name type resolution panel node K distCoef R t
    hdVideos/hd_00_NN.mp4           or hdImgs/00_NN/00_NN_FRAME.jpg; vgaVideos/*/vga_PP_NN.mp4, vgaImgs/PP_NN/

The studio's toolbox (README.md, python/panutils.py) gives the meaning: x = R X + t, then OpenCV's distortion k1 k2 p1
p2 k3, then K. Lengths are centimetres, y points down, and the floor is at y = 0 (the toolbox' issue 88; ankles of its
published skeletons are at y = -8). OpenCV's pixels have their first centre at (0, 0), so that half a pixel is added.

Its HD cameras run at 29.97 pictures a second and its VGA cameras at 25 (scripts/hdImgsExtractor.sh and its sister):
extracted pictures carry no times, and get those of their numbers. The Kinects of the dome are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.importers.footage import (
    VIDEO_ENDINGS,
    Footage,
    image_footage,
    inside,
    list_images,
    make_session,
    match_moments,
    session_names,
    video_footage,
)
from simulacra.recon.importers.foreign_text import image_size, mapping, numbers, read_foreign_json
from simulacra.recon.importers.one_by_one import of_calibrated_size, read_each, say_unmatched
from simulacra.recon.importers.options import Media
from simulacra.recon.importers.placing import METRES, place
from simulacra.recon.importers.recorder_options import DomeCameras, PanopticOptions
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera
from simulacra.render.runtime.errors import CalibrationError, InputError

RATES: Mapping[DomeCameras, float] = {"hd": 30000 / 1001, "vga": 25.0}
CALIBRATION = "calibration_*.json"


def looks_like(folder: Path) -> str | None:
    """Why a folder is of the Panoptic Studio, or None."""
    found = sorted(folder.glob(CALIBRATION))
    media = [name for name in ("hdVideos", "hdImgs", "vgaVideos", "vgaImgs") if (folder / name).is_dir()]
    return f"{found[0].name} and {media[0]}/" if found and media else None


def import_panoptic(src: Path, session: Path, options: PanopticOptions) -> Session:
    """Makes a session of a sequence of the dome. Files are linked or copied, never encoded again.

    Args:
        src: the folder of the calibration.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing, unreadable or names what is not there.
        CalibrationError: no camera that can be.
        RunError: ``session`` exists already, or the disk is full.
    """
    path = _find_calibration(src)
    entries, notes = _entries(path, options.cameras)
    media, found = _find_recordings(src, options.cameras, options.media)
    labels = [label for label in entries if label in found]
    if not labels:
        raise InputError(
            "no calibrated camera has a recording", where=src,
            expected=", ".join(list(entries)[:6]), found=", ".join(list(found)[:6]) or "no recording",
        )  # fmt: skip
    notes += say_unmatched([n for n in entries if n not in found], "calibrated cameras have no recording")
    notes += say_unmatched([n for n in found if n not in entries], "recordings have no calibration")
    calibrated, faults = read_each(labels, lambda label: _camera(entries[label], f"{path}, camera {label}"))
    names = session_names(calibrated)
    footage = _footage(media, {name: found[label] for label, name in names.items()})
    renamed = [replace(camera, name=names[label]) for label, camera in calibrated.items()]
    sized, footage, misfits = of_calibrated_size(renamed, footage, path)
    cameras, T_world_source, said = place(
        sized, scale=METRES[options.units], world_up=options.world_up, floor=options.floor
    )
    # Extracted pictures carry no times, and one picture has no rate.
    rate = options.fps or (RATES[options.cameras] if media == "images" and len(footage.frames) > 1 else None)
    return make_session(
        session, cameras, footage, importer="panoptic", arguments={"src": src.name, **asdict(options)},
        notes=[*notes, *faults, *misfits, *said], T_world_source=T_world_source, source=src, fps=rate,
    )  # fmt: skip


def _find_calibration(src: Path) -> Path:
    found = sorted(src.glob(CALIBRATION)) if src.is_dir() else []
    if len(found) != 1:
        raise InputError(
            "a Panoptic sequence needs one calibration", where=src, expected="calibration_SEQUENCE.json",
            found=", ".join(path.name for path in found)[:200] or "none",
        )  # fmt: skip
    return inside(src, found[0].name)


def _entries(path: Path, kind: DomeCameras) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """The entries of one kind of cameras by their names, and how many of other kinds there are."""
    cameras = mapping(read_foreign_json(path), "a calibration", path).get("cameras")
    if not isinstance(cameras, list):
        raise CalibrationError("a calibration has no cameras", where=path, expected="a list `cameras`")
    entries: dict[str, Mapping[str, Any]] = {}
    others: dict[str, int] = {}
    for number, value in enumerate(cameras):
        entry = mapping(value, "a camera", f"{path}, camera {number}")
        name = entry.get("name")
        if not isinstance(name, str) or name in entries:
            raise CalibrationError(
                "a camera has no name of its own", where=f"{path}, camera {number}", found=name
            )
        if entry.get("type", kind) == kind:
            entries[name] = entry
        else:
            others[str(entry["type"])[:40]] = others.get(str(entry["type"])[:40], 0) + 1
    if not entries:
        raise CalibrationError(
            f"a calibration has no {kind} cameras", where=path,
            found=", ".join(f"{count} {other}" for other, count in others.items()) or "no camera",
        )  # fmt: skip
    return entries, [
        f"{count} {other} cameras of the calibration are not asked for" for other, count in others.items()
    ]


def _camera(entry: Mapping[str, Any], where: str) -> SessionCamera:
    """A camera in the dome's world and units."""
    K = numbers(entry.get("K"), (3, 3), "K", where)
    K[:2, 2] += 0.5
    width, height = numbers(entry.get("resolution"), (2,), "resolution", where).tolist()
    distortion = numbers(_flat(entry.get("distCoef", [])), (None,), "distCoef", where)
    viewmat = np.eye(4)
    viewmat[:3, :3] = numbers(entry.get("R"), (3, 3), "R", where)
    # A column in the dome's own files, a row in others of the kind.
    viewmat[:3, 3] = numbers(_flat(entry.get("t")), (3,), "t", where)
    size = image_size(width, height, where)
    if distortion.size and distortion.size not in (4, 5, 8, 12):
        raise CalibrationError(
            "distCoef is not OpenCV's", where=where, expected="5 numbers", found=distortion.size
        )
    lens = Lens("opencv", tuple(distortion.tolist())) if distortion.any() else None
    check_camera(str(entry["name"]), K, viewmat, *size, where)
    return SessionCamera(str(entry["name"]), *size, K, viewmat, lens)


def _flat(value: object) -> object:
    """A column or a row as a list."""
    if not isinstance(value, list):
        return value
    return [item for part in value for item in (part if isinstance(part, list) else [part])]


# -- recordings ------------------------------------------------------------------------------------


def _find_recordings(
    src: Path, kind: DomeCameras, media: Media | None
) -> tuple[Media, dict[str, list[Path]]]:
    """Videos or pictures by the names of their cameras.

    Raises:
        InputError: none, or both and ``media`` not given.
    """
    videos = _find_videos(src, kind)
    folders = [p for p in sorted((src / f"{kind}Imgs").glob("*")) if p.is_dir()]
    images = {folder.name: list_images(folder) for folder in folders}
    images = {name: paths for name, paths in images.items() if paths}
    there: list[Media] = [one for one, found in (("images", images), ("videos", videos)) if found]  # type: ignore[misc]
    if media is None and len(there) == 2:
        raise InputError(
            "a sequence has both images and videos", where=src,
            remedy="say which: --media images, or --media videos",
        )  # fmt: skip
    if not there or media not in (None, *there):
        raise InputError(
            "a sequence has no recordings", where=src, found=f"{kind} {there[0]}" if there else None,
            expected=f"{kind}Videos/{kind}_00_00.mp4 or {kind}Imgs/00_00/FRAME.jpg",
        )  # fmt: skip
    chosen = media or there[0]
    found = images if chosen == "images" else videos
    return chosen, {
        name: [inside(src, path.relative_to(src).as_posix()) for path in paths]
        for name, paths in found.items()
    }


def _find_videos(src: Path, kind: DomeCameras) -> dict[str, list[Path]]:
    videos: dict[str, list[Path]] = {}
    for path in sorted((src / f"{kind}Videos").rglob("*")):
        named = re.fullmatch(rf"(?:{kind}_)?(\d+_\d+)", path.stem.lower())
        if named and path.suffix.lower() in VIDEO_ENDINGS:
            videos.setdefault(named[1], []).append(path)
    twice = [name for name, paths in videos.items() if len(paths) > 1]
    if twice:
        raise InputError(
            "a camera has several videos", where=src, found=f"{twice[0]}: {len(videos[twice[0]])}"
        )
    return videos


def _footage(media: Media, found: Mapping[str, list[Path]]) -> Footage:
    if media == "videos":
        return video_footage({name: paths[0] for name, paths in found.items()})
    return image_footage(match_moments(found))
