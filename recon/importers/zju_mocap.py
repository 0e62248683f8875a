"""ZJU-MoCap, and captures that EasyMocap prepared for Neural Body: ``annots.npy``, pictures and masks by camera.

    annots.npy                     cams: K D R T, a list of a matrix a camera each; ims: of each moment the pictures
    Camera_B1/000000.jpg           as ims names them, in the order of cams
    mask_cihp/Camera_B1/000000.png labels of the person's parts, 0 elsewhere; or mask/

Neural Body (lib/datasets/light_stage, tools/custom/README.md) reads it so: x = R X + T with T in millimetres, OpenCV's
distortion D (k1 k2 p1 p2 k3) and K, whose first pixel's centre is at (0, 0), so that half a pixel is added. A mask's
person is whatever is not 0. The file is a pickle, and is read without running what a pickle may hold.

EasyMocap's own intri.yml and extri.yml are read by `opencv_yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.building import at_rate, new_session_folder, write_session
from simulacra.recon.importers.footage import (
    Footage,
    check_same_size,
    copy_files,
    image_footage,
    inside,
    session_names,
)
from simulacra.recon.importers.foreign_text import mapping, numbers
from simulacra.recon.importers.one_by_one import footage_of, read_each, say_unmatched
from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.recon.importers.placing import METRES, place
from simulacra.recon.importers.recorder_options import ZjuMocapOptions
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera, load_session
from simulacra.render.image import open_image, write_image
from simulacra.render.runtime.errors import CalibrationError, InputError

ANNOTATIONS = "annots.npy"
MASK_FOLDERS = ("mask_cihp", "mask")
# Of 23 cameras and 1,400 moments, with the key points that some have: 20 MB, 70,000 texts.
MOST_BYTES = 64 << 20
MOST_ITEMS = 1_000_000


@dataclass(frozen=True)
class Annotations:
    """What annots.npy holds.

    Attributes:
        cameras: K, D, R and T of each, as the file has them.
        pictures: of each camera by the moment's index, relative to the capture.
        uneven: moments that have another number of pictures than there are cameras.
    """

    cameras: tuple[Mapping[str, Any], ...]
    pictures: tuple[Mapping[int, str], ...]
    uneven: int


def looks_like(folder: Path) -> str | None:
    """Why a folder is of ZJU-MoCap, or None."""
    return ANNOTATIONS if (folder / ANNOTATIONS).is_file() else None


def import_zju_mocap(src: Path, session: Path, options: ZjuMocapOptions) -> Session:
    """Makes a session of a capture with annots.npy. Pictures are linked or copied, masks become black and white.

    Args:
        src: the folder of annots.npy.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing, unreadable or names what is not there.
        CalibrationError: no camera that can be.
        RunError: ``session`` exists already, or the disk is full.
    """
    found = read_annotations(src / ANNOTATIONS)
    notes = [f"{found.uneven} moments list fewer or more pictures than cameras"] if found.uneven else []
    labels = _labels(found)
    images, lost = _find_pictures(src, labels, found)
    notes += lost + say_unmatched(
        [n for n in labels if n not in images], "calibrated cameras have no picture"
    )
    if not images:
        raise InputError("the pictures that a capture names are missing", where=src, expected=_example(found))
    footage = image_footage(images)
    indices = {label: i for i, label in enumerate(labels)}
    where = src / ANNOTATIONS
    calibrated, faults = read_each(
        images, lambda label: _camera(found.cameras[indices[label]], label, footage.sizes[label], where)
    )
    if faults:
        footage = footage_of(footage, calibrated)
    placed, T, said = place(
        list(calibrated.values()), scale=METRES[options.units], world_up=options.world_up, floor=options.floor
    )
    masks = _find_masks(src, options.mask, {label: images[label] for label in calibrated})
    frames = at_rate(footage.frames, options.fps, src)
    with new_session_folder(session) as work:
        copy_files(footage, work)
        notes += _write_masks(work, masks, footage)
        write_session(
            work, placed, frames, importer="zju-mocap", arguments={"src": src.name, **asdict(options)},
            notes=[*notes, *faults, *said, *footage.notes], T_world_source=T, source=src,
        )  # fmt: skip
    return load_session(session)


def read_annotations(path: Path) -> Annotations:
    """The cameras and the names of their pictures.

    Raises:
        InputError: missing, damaged, or of something else.
        CalibrationError: no cameras, or lists of different lengths.
    """
    loaded = read_pickled_arrays(path, MOST_BYTES, MOST_ITEMS)
    cams = mapping(loaded.get("cams"), "cams", path)
    lists = {key: cams[key] for key in ("K", "D", "R", "T") if _is_list(cams.get(key))}
    counts = {key: len(values) for key, values in lists.items()}
    if not {"K", "R", "T"} <= set(counts) or len(set(counts.values())) != 1 or not counts["K"]:
        raise CalibrationError(
            "cams are not lists of one length",
            where=path,
            expected="K, D, R and T of every camera",
            found=counts,
        )
    cameras = tuple({key: values[i] for key, values in lists.items()} for i in range(counts["K"]))
    pictures: tuple[dict[int, str], ...] = tuple({} for _ in cameras)
    uneven = 0
    if not _is_list(loaded.get("ims")):
        raise InputError("a capture names no pictures", where=path, expected="ims, a list of moments")
    for index, moment in enumerate(loaded["ims"]):
        names = mapping(moment, f"ims {index}", path).get("ims", [])
        if not _is_list(names):
            raise InputError("the pictures of a moment are no list", where=path, found=f"ims {index}")
        uneven += len(names) != len(cameras)
        for found, name in zip(pictures, names):
            found[index] = str(name)
    return Annotations(cameras, pictures, uneven)


def _is_list(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _labels(found: Annotations) -> list[str]:
    """The cameras' names: of the folders that their pictures are in, or numbers where those are not their own."""
    folders = [PurePosixPath(next(iter(one.values()), "")).parent.name for one in found.pictures]
    own = all(folders) and len(set(folders)) == len(folders)
    return list(session_names(folders if own else (f"{i:02d}" for i in range(len(folders)))).values())


def _example(found: Annotations) -> str | None:
    return next((name[:200] for one in found.pictures for name in one.values()), None)


def _find_pictures(
    src: Path, labels: list[str], found: Annotations
) -> tuple[dict[str, dict[int, Path]], list[str]]:
    """The picture files that are there, of cameras that have any, and how many are not."""
    images, notes = {}, []
    for label, names in zip(labels, found.pictures):
        paths = {index: _picture(src, name) for index, name in names.items()}
        there = {index: path for index, path in paths.items() if path is not None}
        if there:
            images[label] = there
            if len(there) < len(paths):
                notes.append(f"{label}: {len(paths) - len(there)} of {len(paths)} pictures are not there")
    return images, notes


def _picture(src: Path, name: str) -> Path | None:
    """In the capture's folder, or in its `images`."""
    return next((path for at in (name, f"images/{name}") if (path := inside(src, at)).is_file()), None)


def _camera(entry: Mapping[str, Any], label: str, size: tuple[int, int], path: Path) -> SessionCamera:
    """A camera in the calibration's world and units."""
    where = f"{path}, camera {label}"
    K = numbers(entry["K"], (3, 3), "K", where).copy()
    K[:2, 2] += 0.5
    viewmat = np.eye(4)
    viewmat[:3, :3] = numbers(entry["R"], (3, 3), "R", where)
    viewmat[:3, 3] = _vector(entry["T"], "T", where, (3,))
    distortion = _vector(entry.get("D", []), "D", where, (0, 4, 5, 8, 12))
    lens = Lens("opencv", tuple(distortion.tolist())) if distortion.any() else None
    check_camera(label, K, viewmat, *size, path)
    return SessionCamera(label, *size, K, viewmat, lens)


def _vector(value: object, what: str, where: str, sizes: tuple[int, ...]) -> Float[np.ndarray, "n"]:
    """A row, a column or a list of so many numbers."""
    array = np.asarray(value) if _is_list(value) else np.zeros((0, 0, 0))
    vector = numbers(array.ravel().tolist(), (None,), what, where)
    if array.ndim > 2 or vector.size not in sizes:
        raise CalibrationError(
            f"{what} is not of its length", where=where, expected=f"{sizes[-1]} numbers", found=array.shape
        )
    return vector


# -- masks -----------------------------------------------------------------------------------------


def _find_masks(
    src: Path, named: str | None, images: Mapping[str, Mapping[int, Path]]
) -> dict[str, dict[int, Path]]:
    """Mask files of the pictures, which have their names in a folder of their own."""
    folders = (named,) if named else MASK_FOLDERS
    folder = next((path for name in folders if (path := inside(src, name)).is_dir()), None)
    if folder is None:
        if named:
            raise InputError("the folder of masks is missing", where=src / named)
        return {}
    masks: dict[str, dict[int, Path]] = {}
    for label, found in images.items():
        for index, path in found.items():
            relative = path.relative_to(src).as_posix().removeprefix("images/")
            mask = inside(folder, str(PurePosixPath(relative).with_suffix(".png")))
            if mask.is_file():
                masks.setdefault(label, {})[index] = mask
    return masks


def _write_masks(work: Path, masks: Mapping[str, Mapping[int, Path]], footage: Footage) -> list[str]:
    """Black and white masks; how many pictures are without."""
    pairs = [(label, index, path) for label, found in masks.items() for index, path in found.items()]
    for label, index, path in track(pairs, "reading masks", len(pairs)):
        pixels = np.asarray(open_image(path))
        person = pixels != 0 if pixels.ndim == 2 else pixels[..., :3].any(axis=-1)
        check_same_size(path, (person.shape[1], person.shape[0]), footage.sizes[label])
        write_image(work / f"masks/{label}/{index:06d}.png", np.asarray(person, np.float32))
    pictures = sum(len(frame.sources) for frame in footage.frames)
    return (
        [f"{pictures - len(pairs)} of {pictures} pictures have no mask"]
        if pairs and len(pairs) < pictures
        else []
    )
