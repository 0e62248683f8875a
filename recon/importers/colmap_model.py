"""COLMAP's cameras and images, text and binary, in our conventions but for the world and its unit.

Checked against COLMAP 4.2.1's own files. Its pixels are ours (the first one's centre at (0.5, 0.5)), its cameras have
OpenCV's axes, and an image's quaternion (w first) and translation take world to camera. A camera model's parameters
begin with one or two focal lengths and the principal point; what follows is the lens. Points are not read.

    cameras.txt   CAMERA_ID MODEL WIDTH HEIGHT PARAMS...
    images.txt    IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, and a line of points, which may be empty
    .bin          the same, little-endian, each file beginning with its number of entries
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.foreign_text import image_size, numbers
from simulacra.recon.session import Lens, LensModel, check_camera, check_lens
from simulacra.render.runtime.errors import CalibrationError, InputError

# Files of millions of points are skipped over, not held; a line of text is held.
LONGEST_LINE = 1 << 26
LONGEST_NAME = 4096
MOST_ENTRIES = 1_000_000


@dataclass(frozen=True)
class Model:
    """A camera model: its number in binary files, how many focal lengths and parameters it has, and what lens it is.

    ``coefficients`` makes the lens' coefficients of the parameters after the principal point.
    """

    number: int
    focals: int
    count: int
    lens: LensModel | None
    coefficients: Callable[[tuple[float, ...]], tuple[float, ...]] = tuple


def _pad_to(count: int) -> Callable[[tuple[float, ...]], tuple[float, ...]]:
    return lambda rest: rest + (0.0,) * (count - len(rest))


MODELS = {
    "SIMPLE_PINHOLE": Model(0, 1, 3, None),
    "PINHOLE": Model(1, 2, 4, None),
    "SIMPLE_RADIAL": Model(2, 1, 4, "opencv", _pad_to(4)),
    "RADIAL": Model(3, 1, 5, "opencv", _pad_to(4)),
    "OPENCV": Model(4, 2, 8, "opencv"),
    "OPENCV_FISHEYE": Model(5, 2, 8, "opencv_fisheye"),
    "FULL_OPENCV": Model(6, 2, 12, "opencv"),
    "FOV": Model(7, 2, 5, "fov"),
    "SIMPLE_RADIAL_FISHEYE": Model(8, 1, 4, "opencv_fisheye", _pad_to(4)),
    "RADIAL_FISHEYE": Model(9, 1, 5, "opencv_fisheye", _pad_to(4)),
    "THIN_PRISM_FISHEYE": Model(10, 2, 12, "thin_prism_fisheye"),
    "RAD_TAN_THIN_PRISM_FISHEYE": Model(11, 2, 16, "rad_tan_thin_prism_fisheye"),
    "SIMPLE_DIVISION": Model(12, 1, 4, "division"),
    "DIVISION": Model(13, 2, 5, "division"),
    "SIMPLE_FISHEYE": Model(14, 1, 3, "opencv_fisheye", _pad_to(4)),
    "FISHEYE": Model(15, 2, 4, "opencv_fisheye", _pad_to(4)),
    "EUCM": Model(16, 2, 6, "eucm"),
}
NAMES = {model.number: name for name, model in MODELS.items()}


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics, in our conventions."""

    width: int
    height: int
    K: Float[np.ndarray, "3 3"]
    lens: Lens | None


@dataclass(frozen=True)
class ColmapImage:
    """One registered image: its name under the folder of images, its camera, its world-to-camera matrix."""

    name: str
    camera_id: int
    viewmat: Float[np.ndarray, "4 4"]


def read_model(folder: Path) -> tuple[dict[int, ColmapCamera], list[ColmapImage]]:
    """Cameras by number, and images in the order of their names; binary files first, as COLMAP itself does.

    Raises:
        InputError: a file is missing or damaged.
        CalibrationError: a camera or a pose that cannot be, or an unknown camera model.
    """
    for ending, read_cameras, read_images in (
        (".bin", _binary_cameras, _binary_images),
        (".txt", _text_cameras, _text_images),
    ):
        paths = folder / f"cameras{ending}", folder / f"images{ending}"
        if all(path.is_file() for path in paths):
            cameras, images = read_cameras(paths[0]), list(read_images(paths[1]))
            if ending == ".txt":
                _check_stated(paths[0], "Number of cameras", len(cameras))
                _check_stated(paths[1], "Number of images", len(images))
            break
    else:
        raise InputError(
            "a COLMAP model is missing", where=folder, expected="cameras and images, .bin or .txt"
        )
    names = [image.name for image in images]
    if not images or len(set(names)) != len(names):
        raise InputError(
            "a model's images need names of their own", where=paths[1], found=f"{len(names)} images"
        )
    for image in images:
        if image.camera_id not in cameras:
            raise CalibrationError(
                "an image has a camera that is not there",
                where=f"{paths[1]}, {image.name}",
                found=image.camera_id,
            )
    return cameras, sorted(images, key=lambda image: image.name)


def make_camera(
    model: str, width: object, height: object, parameters: list[object], where: str
) -> ColmapCamera:
    """A camera out of what a file says.

    Raises:
        CalibrationError: a model that is not known or not a perspective one, or parameters that cannot be.
    """
    if model not in MODELS:
        raise CalibrationError(
            "a camera model is not supported", where=where, expected=", ".join(MODELS), found=model[:40]
        )
    known = MODELS[model]
    values = numbers(parameters, (known.count,), "the camera's parameters", where)
    size = image_size(width, height, where)
    fx, fy = values[0], values[known.focals - 1]
    K = np.array([[fx, 0, values[known.focals]], [0, fy, values[known.focals + 1]], [0, 0, 1.0]])
    rest = tuple(values[known.focals + 2 :].tolist())
    lens = None
    # Without coefficients the standard model is none; a fisheye bends all the same.
    if known.lens is not None and not (known.lens == "opencv" and not any(rest)):
        lens = Lens(known.lens, known.coefficients(rest))
        check_lens(lens, where, K)
    check_camera("of the model", K, np.eye(4), *size, where)
    return ColmapCamera(*size, K, lens)


def make_viewmat(quat: list[object], translation: list[object], where: str) -> Float[np.ndarray, "4 4"]:
    """World to camera out of a unit quaternion (w x y z) and a translation.

    Raises:
        CalibrationError: not finite numbers, or no rotation.
    """
    q, t = numbers(quat, (4,), "a quaternion", where), numbers(translation, (3,), "a translation", where)
    if not abs(np.linalg.norm(q) - 1) < 1e-3:
        raise CalibrationError("a quaternion is not of length 1", where=where, found=q.tolist())
    w, x, y, z = q / np.linalg.norm(q)
    viewmat = np.eye(4)
    viewmat[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    viewmat[:3, 3] = t
    return viewmat


# -- text ------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, comments left out, empty ones kept."""
    try:
        with path.open(encoding="utf-8") as stream:
            number = 0
            while line := stream.readline(LONGEST_LINE):
                number += 1
                if not line.startswith("#"):
                    yield number, line.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("a model cannot be read", where=path, found=error) from error


def _check_stated(path: Path, what: str, count: int) -> None:
    """COLMAP's count in a comment at the top, against what was read; files by hand have none."""
    with path.open(encoding="utf-8") as stream:
        head = "".join(stream.readline(LONGEST_LINE) for _ in range(8))
    stated = re.search(rf"^#\s*{what}:\s*(\d{{1,12}})", head, re.MULTILINE)
    if stated and int(stated[1]) != count:
        raise InputError(
            "a model is not of as many entries as it says: cut off, or changed by hand", where=path,
            expected=int(stated[1]), found=count, remedy="export it again, or take the comment out",
        )  # fmt: skip


def _text_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for number, line in _lines(path):
        if not line:
            continue
        where = f"{path}, line {number}"
        words = line.split()
        if len(words) < 5 or (key := _integer(words[0], where)) in cameras:
            raise InputError("a model's camera is not complete, or there twice", where=where, found=line[:80])
        cameras[key] = make_camera(words[1], words[2], words[3], list(words[4:]), where)
    return cameras


def _text_images(path: Path) -> Iterator[ColmapImage]:
    lines = _lines(path)
    for number, line in lines:
        if not line:
            continue
        where = f"{path}, line {number}"
        words = line.split(maxsplit=9)
        if len(words) != 10:
            raise InputError(
                "a model's image is not complete",
                where=where,
                expected="IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME",
                found=line[:80],
            )
        viewmat = make_viewmat(list(words[1:5]), list(words[5:8]), where)
        yield ColmapImage(words[9], _integer(words[8], where), viewmat)
        next(lines, None)


def _integer(word: str, where: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 12):
        raise InputError("a number of a camera is not one", where=where, found=word[:40])
    return int(word)


# -- binary ----------------------------------------------------------------------------------------


def _binary_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    with _open_model_file(path) as stream:
        for entry in range(_count(stream, path)):
            where = f"{path}, camera {entry}"
            key, number, width, height = _unpack(stream, "<iiQQ", path)
            name = NAMES.get(number, f"number {number}")
            count = MODELS[name].count if name in MODELS else 0
            if key in cameras:
                raise InputError("a model's camera is there twice", where=where, found=key)
            cameras[key] = make_camera(name, width, height, list(_unpack(stream, f"<{count}d", path)), where)
    return cameras


def _binary_images(path: Path) -> Iterator[ColmapImage]:
    with _open_model_file(path) as stream:
        size = path.stat().st_size
        for _ in range(_count(stream, path)):
            _, *pose, camera_id = _unpack(stream, "<i7di", path)
            name = _name(stream, path)
            yield ColmapImage(name, camera_id, make_viewmat(pose[:4], pose[4:], f"{path}, {name}"))
            (points,) = _unpack(stream, "<Q", path)
            if points * 24 > size - stream.tell():
                raise InputError("a model is cut off or damaged", where=f"{path}, {name}")
            stream.seek(points * 24, 1)


def _open_model_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError("a model cannot be read", where=path, found=error) from error


def _unpack(stream: BinaryIO, layout: str, path: Path) -> tuple[Any, ...]:
    content = stream.read(struct.calcsize(layout))
    if len(content) < struct.calcsize(layout):
        raise InputError("a model is cut off", where=path, remedy="copy it again from the source")
    return struct.unpack(layout, content)


def _count(stream: BinaryIO, path: Path) -> int:
    count = int(_unpack(stream, "<Q", path)[0])
    if count > MOST_ENTRIES:
        raise InputError("a model announces more entries than can be", where=path, found=count)
    return count


def _name(stream: BinaryIO, path: Path) -> str:
    name = bytearray()
    while (letter := stream.read(1)) != b"\0":
        name += letter
        if not letter or len(name) > LONGEST_NAME:
            raise InputError("a model has an image's name without an end", where=path)
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("an image's name is not text", where=path, found=bytes(name[:40])) from error
