"""Record3D's export "EXR + RGB": ``metadata.json``, ``rgb/0.jpg`` and on, ``depth/0.exr`` and on.

    metadata.json    w h K fps poses [frameTimestamps perFrameIntrinsicCoeffs dw dh]
    rgb/             pictures of w x h, or of another size of their shape
    depth/           metres in the channel R (EXR) or in numpy's arrays, or millimetres in PNG; a smaller map

The app's author says in its library's issues: K is column by column (issue 33, and nerfstudio's reader), poses are
qx qy qz qw tx ty tz and camera to world (27, 33, 36) with ARKit's camera axes, depth is float metres (53, 67). Poses
begin at zero: gravity is not in the file (27), so that up is the first camera's own. Recordings of the selfie camera
have no poses, all are zero: the phone is taken to have stood.

The app's own .r3d is a ZIP with depth compressed by LZFSE: export it again as EXR + RGB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.arkit_poses import poses_of
from simulacra.recon.importers.depth_arrays import DEPTH_ENDINGS
from simulacra.recon.importers.footage import IMAGE_ENDINGS
from simulacra.recon.importers.foreign_text import image_size, mapping, number, numbers, read_foreign_json
from simulacra.recon.importers.phone_recording import PhoneRecording, make_phone_session, numbered_files
from simulacra.recon.importers.recorder_options import Record3dOptions
from simulacra.recon.session import Session
from simulacra.render.image import open_image
from simulacra.render.runtime.errors import CalibrationError, InputError

METADATA = "metadata.json"
CONFIDENCE_FOLDERS = ("confidence", "conf")


def looks_like(folder: Path) -> str | None:
    """Why a folder is a Record3D export, or None."""
    place = _folder(folder)
    named = place is not None and (place / "rgb").is_dir() and (place / "depth").is_dir()
    return f"{METADATA} beside rgb/ and depth/" if named else None


def _folder(src: Path) -> Path | None:
    """The folder of the metadata: the export has one more around it."""
    return next((place for place in (src, src / "EXR_RGBD") if (place / METADATA).is_file()), None)


def import_record3d(src: Path, session: Path, options: Record3dOptions) -> Session:
    """Makes a session of a Record3D export.

    Args:
        src: the folder of metadata.json, or the one around it.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing or damaged, or the phone moved and nobody said that the person did not.
        CalibrationError: no intrinsics or poses that can be.
        MissingExtraError: depth is EXR, and OpenEXR is not installed.
        RunError: ``session`` exists already, or the disk is full.
    """
    place = _folder(src)
    if place is None:
        zipped = sorted(src.glob("*.r3d")) if src.is_dir() else [src]
        raise InputError(
            "a Record3D export is missing", where=src, expected=METADATA,
            found=zipped[0].name if zipped else None, remedy="export it from the app as EXR + RGB",
        )  # fmt: skip
    return make_phone_session(place, session, read_export(place), options, options.world_up, "record3d")


def read_export(folder: Path) -> PhoneRecording:
    """What an export holds.

    Raises:
        InputError: a file is missing or damaged.
        CalibrationError: no intrinsics or poses that can be.
    """
    path = folder / METADATA
    data = mapping(read_foreign_json(path), "the metadata", path)
    seven = numbers(data.get("poses"), (None, 7), "poses", path)
    poses = poses_of(seven[:, :4], seven[:, 4:], path, flip=True)
    pictures = numbered_files(folder / "rgb", IMAGE_ENDINGS)
    there = {n: picture for n, picture in pictures.items() if n < len(poses)}
    if not there:
        raise InputError(
            "no picture has a pose", where=folder / "rgb", expected=f"{len(poses)} pictures, 0.jpg and on"
        )
    sizes = {open_image(picture).size for picture in list(there.values())[:: max(len(there) // 8, 1)]}
    if len(sizes) > 1:
        raise InputError("pictures are of different sizes", where=folder / "rgb", found=sizes)
    size = sizes.pop()
    counts = f"{len(pictures)} pictures and {len(poses)} poses: {len(there)} are taken"
    notes = [] if len(pictures) == len(poses) else [counts]
    places = [folder / name for name in CONFIDENCE_FOLDERS if (folder / name).is_dir()]
    return PhoneRecording(
        pictures=there, video=None, size=size, Ks=_intrinsics(data, len(poses), size, path), poses=poses,
        times=_times(data, len(poses), path), depth=numbered_files(folder / "depth", DEPTH_ENDINGS),
        confidence=numbered_files(places[0], IMAGE_ENDINGS) if places else {}, notes=tuple(notes),
    )  # fmt: skip


def _intrinsics(
    data: Mapping[str, Any], count: int, size: tuple[int, int], path: Path
) -> Float[np.ndarray, "n 3 3"]:
    """K of every frame in pixels of the pictures, which may be of another size than K is."""
    of = image_size(data.get("w"), data.get("h"), path)
    if abs(of[0] * size[1] / (of[1] * size[0]) - 1) > 0.01:
        raise CalibrationError(
            "K is of another image than the pictures", where=path, expected=f"{size[0]}x{size[1]}",
            found=f"{of[0]}x{of[1]}",
        )  # fmt: skip
    given = data.get("perFrameIntrinsicCoeffs")
    if given:
        four = numbers(given, (None, 4), "perFrameIntrinsicCoeffs", path)
        if len(four) < count:
            raise CalibrationError(
                "some frames have no intrinsics", where=path, expected=count, found=len(four)
            )
    else:
        K = numbers(data.get("K"), (9,), "K", path).reshape(3, 3).T
        four = np.tile([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], (count, 1))
    across, down = size[0] / of[0], size[1] / of[1]
    Ks = np.tile(np.eye(3), (count, 1, 1))
    Ks[:, 0, 0], Ks[:, 1, 1] = four[:count, 0] * across, four[:count, 1] * down
    Ks[:, 0, 2], Ks[:, 1, 2] = four[:count, 2] * across, four[:count, 3] * down
    return Ks


def _times(data: Mapping[str, Any], count: int, path: Path) -> Float[np.ndarray, "n"] | None:
    """Seconds after the first frame: of stamps, or by the rate."""
    if data.get("frameTimestamps"):
        stamps = numbers(data["frameTimestamps"], (None,), "frameTimestamps", path)
        if len(stamps) >= count:
            return np.asarray(stamps[:count] - stamps[0])
    if data.get("fps"):
        rate = number(data["fps"], "fps", path)
        if rate > 0:
            return np.arange(count) / rate
    return None
