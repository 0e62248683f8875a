"""OpenCap: a session's folder of phones' videos, with a pickled calibration for each.

    Videos/Cam0/cameraIntrinsicsExtrinsics.pickle              (VideoData/Session0/Cam0 in its validation data)
    Videos/Cam0/InputMedia/TRIAL/TRIAL_sync.mp4, TRIAL.mov     (Cam0/TRIAL/TRIAL.avi)

The pickle holds intrinsicMat, distortion, imageSize (height, width), rotation and translation, as utilsChecker.py of
opencap-core makes them with OpenCV: x = R X + t of a world that is the checkerboard as it stood, in millimetres, whose
axes are the board's columns and rows and say nothing of gravity. K is of the picture as it is shown (rotateIntrinsics),
its first pixel's centre at (0, 0). The file is read without running what a pickle may hold.

The phones run free; OpenCap writes TRIAL_sync videos once it has aligned them, and those are taken where they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from simulacra.recon.importers.footage import (
    VIDEO_ENDINGS,
    inside,
    make_session,
    natural,
    session_names,
    video_footage,
)
from simulacra.recon.importers.foreign_text import numbers
from simulacra.recon.importers.one_by_one import footage_of, read_each, say_unmatched
from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.recon.importers.placing import METRES, place
from simulacra.recon.importers.recorder_options import OpencapOptions
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera
from simulacra.render.runtime.errors import CalibrationError, InputError

PARAMETERS = "cameraIntrinsicsExtrinsics.pickle"
PLACES = ("Videos/Cam*", "VideoData/*/Cam*", "Cam*")
# What is recorded to calibrate, and not to be reconstructed unless it is asked for.
AUXILIARY = re.compile(r"calibration|extrinsics?|intrinsics?|neutral|static\d*", re.IGNORECASE)


def looks_like(folder: Path) -> str | None:
    """Why a folder is an OpenCap session, or None."""
    found = next((path for place in PLACES for path in sorted(folder.glob(f"{place}/{PARAMETERS}"))), None)
    return str(found.relative_to(folder)) if found is not None else None


def import_opencap(src: Path, session: Path, options: OpencapOptions) -> Session:
    """Makes a session of one trial. Videos are linked or copied, never encoded again.

    Args:
        src: the session's folder.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing, or there are several trials and none is named.
        CalibrationError: no camera that can be.
        RunError: ``session`` exists already, or the disk is full.
    """
    folders = _find_cameras(src)
    trial, videos = _find_trial(src, folders, options.trial)
    notes = [
        f"trial {trial}",
        *say_unmatched([n for n in folders if n not in videos], "cameras have no video of it"),
    ]
    footage = video_footage(videos)
    files = {name: inside(src, _relative(folder / PARAMETERS, src)) for name, folder in folders.items()}
    calibrated, faults = read_each(
        videos, lambda name: read_parameters(files[name], footage.sizes[name], name)
    )
    footage = footage_of(footage, calibrated)
    if not any("sync" in path.stem.lower() for path in videos.values()):
        notes.append("no video's name says that it was synchronised: phones run free")
    cameras, T_world_source, said = place(
        list(calibrated.values()), scale=METRES["mm"], world_up=options.world_up, floor=options.floor
    )
    return make_session(
        session, cameras, footage, importer="opencap", arguments={"src": src.name, **asdict(options)},
        notes=[*notes, *faults, *said], T_world_source=T_world_source, source=src, fps=options.fps,
    )  # fmt: skip


def _relative(path: Path, src: Path) -> str:
    return path.relative_to(src).as_posix()


def _find_cameras(src: Path) -> dict[str, Path]:
    """The cameras' folders by their names."""
    for pattern in PLACES:
        found = sorted(
            (path for path in src.glob(pattern) if path.is_dir()), key=lambda path: natural(path.name)
        )
        if found:
            owners = {path.parent for path in found}
            if len(owners) > 1:
                names = ", ".join(sorted(_relative(path, src) for path in owners))
                raise InputError(
                    "there are several sessions",
                    where=src,
                    found=names[:200],
                    remedy="name one of them as SRC",
                )
            return dict(zip(session_names(path.name for path in found).values(), found))
    raise InputError("there are no cameras", where=src, expected=f"Videos/Cam0/{PARAMETERS}")


def _find_trial(src: Path, folders: Mapping[str, Path], named: str | None) -> tuple[str, dict[str, Path]]:
    """The name of the trial, and each camera's video of it.

    Raises:
        InputError: there is none, or there are several and none is named.
    """
    trials: dict[str, dict[str, Path]] = {}
    for name, folder in folders.items():
        for owner in (folder / "InputMedia", folder):
            for inner in sorted(owner.iterdir()) if owner.is_dir() else ():
                video = _video_of(inner) if inner.is_dir() else None
                if video is not None:
                    trials.setdefault(inner.name, {}).setdefault(name, inside(src, _relative(video, src)))
    wanted = [named] if named else [trial for trial in trials if not AUXILIARY.fullmatch(trial)]
    if len(wanted) != 1 or wanted[0] not in trials:
        what = "there are several trials" if len(wanted) > 1 else "there is no such trial"
        raise InputError(
            what if wanted else "there is no trial", where=src, expected=named,
            found=", ".join(sorted(trials, key=natural))[:400] or None,
            remedy="name one: --trial NAME" if trials else None,
        )  # fmt: skip
    return wanted[0], trials[wanted[0]]


def _video_of(folder: Path) -> Path | None:
    """The synchronised video of a trial's folder, or its only one, or the one of the folder's name."""
    videos = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_ENDINGS]
    synchronised = [path for path in videos if "sync" in path.stem.lower()]
    of_its_name = [path for path in videos if path.stem == folder.name]
    return next((chosen[0] for chosen in (synchronised, of_its_name, videos) if len(chosen) == 1), None)


def read_parameters(path: Path, size: tuple[int, int], name: str) -> SessionCamera:
    """A camera in the board's world, millimetres.

    Args:
        path: the pickle.
        size: width and height of the camera's video.
        name: of the camera in the session.

    Raises:
        InputError: missing, or no dictionary of arrays.
        CalibrationError: something is missing in it or cannot be, or it is of another image.
    """
    found = read_pickled_arrays(path)
    K = numbers(_plain(found.get("intrinsicMat")), (3, 3), "intrinsicMat", path)
    K[:2, 2] += 0.5
    height, width = numbers(_flat(found.get("imageSize", size[::-1])), (2,), "imageSize", path).tolist()
    centred = all(0.3 * side < at < 0.7 * side for side, at in zip(size, K[:2, 2]))
    # OpenCap itself takes K as it is, whatever the size beside it.
    if (width, height) != size and not centred:
        raise CalibrationError(
            "a calibration is of another image than the video", where=path, expected=f"{size[0]}x{size[1]}",
            found=f"{width:g}x{height:g}, a principal point of ({K[0, 2]:.0f}, {K[1, 2]:.0f})",
        )  # fmt: skip
    viewmat = np.eye(4)
    viewmat[:3, :3] = numbers(_plain(found.get("rotation")), (3, 3), "rotation", path)
    viewmat[:3, 3] = numbers(_flat(found.get("translation")), (3,), "translation", path)
    distortion = numbers(_flat(found.get("distortion", [])), (None,), "distortion", path)
    if distortion.size not in (0, 4, 5, 8, 12):
        raise CalibrationError(
            "distortion is not OpenCV's", where=path, expected="5 numbers", found=distortion.size
        )
    lens = Lens("opencv", tuple(distortion.tolist())) if distortion.any() else None
    check_camera(name, K, viewmat, *size, path)
    return SessionCamera(name, *size, K, viewmat, lens)


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _flat(value: object) -> object:
    """A row or a column as a list."""
    return value.ravel().tolist() if isinstance(value, np.ndarray) else value
