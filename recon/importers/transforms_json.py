"""``transforms.json`` of instant-ngp, nerfstudio and VHAP: frames, their cameras and what they name.

A frame's ``transform_matrix`` takes its camera to the world; the camera looks along -z with y up (OpenGL). Intrinsics
(``fl_x fl_y cx cy w h``, ``camera_model``, ``k1 k2 k3 k4 p1 p2``) stand at the top for all frames, or in each. Its
pixels are ours. ``OPENCV`` and ``PERSPECTIVE`` are OpenCV's lens, with a k4 of r^8 that nerfstudio has beside it;
``OPENCV_FISHEYE``, and instant-ngp's ``is_fisheye``, are OpenCV's fisheye module, and with p1 or p2 COLMAP's thin
prism one. ``camera_angle_x`` (radians) is the focal length where there is no ``fl_x``, and the picture's own size
counts where none is given, as in Blender's synthetic scenes. ``applied_transform`` says what was done to an earlier
world: the poses are of the world after it, and it is not undone.

VHAP and GaussianAvatars say ``timestep_index`` and ``camera_index`` of every frame, have the mask as ``fg_mask_path``,
and intrinsics in each frame that go before those at the top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.importers.finding import file_named
from simulacra.recon.importers.footage import IMAGE_ENDINGS, inside
from simulacra.recon.importers.foreign_text import (
    image_size,
    mapping,
    number,
    numbers,
    read_foreign_json,
    say_unused,
)
from simulacra.recon.session import Lens, SessionCamera, check_camera, check_lens
from simulacra.render.image import open_image
from simulacra.render.runtime.errors import CalibrationError, InputError

INTRINSICS = (
    "camera_model", "is_fisheye", "fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y",
    "k1", "k2", "k3", "k4", "p1", "p2",
)  # fmt: skip
PERSPECTIVE = ("OPENCV", "PERSPECTIVE", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
FISHEYE = "OPENCV_FISHEYE"
# Lenses of instant-ngp that a session has no model for: to pass them over would be another lens.
OTHER_LENSES = ("ftheta_p0", "latlong", "equirectangular", "orthographic")
FILES = ("file_path", "mask_path", "fg_mask_path", "depth_file_path")
USED_AT_TOP = {
    *INTRINSICS, "frames", "applied_transform", "depth_unit_scale_factor", "camera_indices", "timestep_indices",
}  # fmt: skip
USED_IN_FRAME = {
    *INTRINSICS, *FILES, "transform_matrix", "time", "timestep_index", "timestep_id", "camera_index", "camera_id",
}  # fmt: skip
# OpenGL's camera axes out of OpenCV's, and the other way round.
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class TransformsFrame:
    """One frame of the file: a picture, the camera that took it (still without a name), and when.

    Attributes:
        file: the picture, as it is below the file's folder.
        camera: in the file's world and unit.
        time: seconds, where the file says it.
        mask: its file.
        depth: its file.
        timestep: VHAP's number of the moment.
        index: VHAP's number of the camera.
        label: what VHAP calls the camera.
    """

    file: str
    camera: SessionCamera
    time: float | None
    mask: str | None
    depth: str | None
    timestep: int | None = None
    index: int | None = None
    label: str | None = None

    @property
    def key(self) -> object:
        """The same for shots of one camera: by its number, or by its pose where it stood still."""
        one = self.camera
        pose = (one.K.tobytes(), one.viewmat.tobytes(), one.lens, one.width, one.height)
        return pose if self.index is None else self.index

    @property
    def moment(self) -> float | None:
        """What differs between moments: the number of it, or the time."""
        return self.time if self.timestep is None else self.timestep


def read_transforms(path: Path) -> tuple[Mapping[str, Any], list[TransformsFrame], list[str]]:
    """The whole file, its frames, and what was left out or not used.

    Raises:
        InputError: unreadable, without a usable frame, or with one picture twice.
        CalibrationError: a camera that cannot be.
    """
    described = mapping(read_foreign_json(path), "the file", path)
    frames = described.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError("a data set has no frames", where=path, expected='"frames": [...]')
    shots, left, unused = [], [], set(described) - USED_AT_TOP
    for k, entry in enumerate(frames):
        where = f"{path}, frame {k}"
        frame = mapping(entry, "a frame", path)
        unused |= {f"frames.{key}" for key in set(frame) - USED_IN_FRAME}
        found = _read_frame(described, frame, path.parent, where)
        if isinstance(found, TransformsFrame):
            shots.append(found)
        else:
            left.append(found)
    if not shots:
        raise InputError("no frame of a data set can be used", where=path, found=left[0])
    twice = [file for file, count in Counter(shot.file for shot in shots).items() if count > 1]
    if twice:
        raise InputError("an image is there twice", where=path, found=twice[0])
    notes = [f"{len(shots)} of {len(frames)} frames of the file"]
    if left:
        notes.append(f"{len(left)} frames are left out: {left[0]}" + (" and on" if len(left) > 1 else ""))
    if "applied_transform" in described:
        notes.append("the file's applied_transform was done to an earlier world and is not undone")
    return described, shots, notes + say_unused(unused, path)


def _read_frame(
    described: Mapping[str, Any], frame: Mapping[str, Any], root: Path, where: str
) -> TransformsFrame | str:
    """A frame, or in words what it lacks."""
    files = {key: frame.get(key) for key in FILES}
    name = files["file_path"]
    if not isinstance(name, str) or not all(isinstance(file, str | None) for file in files.values()):
        raise InputError("a frame does not name its files", where=where, found=str(files)[:120])
    picture = _find_picture(root, name)
    if picture is None:
        return f"the image {name[:80]} is missing"
    numbered = frame.get("timestep_index") is not None or frame.get("camera_index") is not None
    values = _intrinsics(described, frame, where, own=numbered)
    if values.get("w") is None or values.get("h") is None:
        values["w"], values["h"] = open_image(inside(root, picture)).size
    _fill_in(values, where)
    lacks = [key for key in ("fl_x", "transform_matrix") if {**frame, **values}.get(key) is None]
    if lacks:
        return f"{name[:80]} has no {' and no '.join(lacks)}"
    camera = _camera(values, frame["transform_matrix"], f"{where}, {name[:80]}")
    time = None if frame.get("time") is None else number(frame["time"], "time", where)
    timestep, index = (_whole(frame.get(key), key, where) for key in ("timestep_index", "camera_index"))
    label = None if index is None else str(frame.get("camera_id", index))[:80]
    mask = files["mask_path"] if files["fg_mask_path"] is None else files["fg_mask_path"]
    return TransformsFrame(picture, camera, time, mask, files["depth_file_path"], timestep, index, label)


def _find_picture(root: Path, name: str) -> str | None:
    """The picture's name below the file's folder; Blender's scenes leave the ending out."""
    path = inside(root, name)
    if path.is_file():
        return name
    found = (
        file_named(path.parent, path.name, IMAGE_ENDINGS)
        if path.suffix.lower() not in IMAGE_ENDINGS
        else None
    )
    return (
        None
        if found is None
        else inside(root, found.relative_to(root).as_posix()).relative_to(root).as_posix()
    )


def _intrinsics(
    described: Mapping[str, Any], frame: Mapping[str, Any], where: str, *, own: bool
) -> dict[str, Any]:
    """Of a frame, or else of all.

    Args:
        own: the frame's go before those at the top.

    Raises:
        CalibrationError: they differ, and nothing says which count; or a lens that no session has.
    """
    for key in INTRINSICS:
        if not own and key in frame and key in described and frame[key] != described[key]:
            raise CalibrationError(
                "intrinsics stand at the top and in a frame, and differ",
                where=where,
                expected=f"{key} {str(described[key])[:40]}",
                found=str(frame[key])[:40],
                remedy="take out those that do not count: instant-ngp takes the frame's, nerfstudio those at the top",
            )
    given = {**described, **frame}
    other = [key for key in OTHER_LENSES if given.get(key)]
    if other:
        raise CalibrationError(
            "a lens is not supported",
            where=where,
            expected=", ".join((*PERSPECTIVE, FISHEYE)),
            found=other[0],
        )
    # Of the two that say the focal length the one goes along with the frame's or the top's other values.
    if own and "camera_angle_x" in frame and "fl_x" not in frame:
        given = {**described, "fl_x": None, "fl_y": None, **frame}
    return {key: given[key] for key in INTRINSICS if given.get(key) is not None}


def _fill_in(values: dict[str, Any], where: str) -> None:
    """What is not said and follows: focal lengths of angles of view, and the principal point in the middle."""
    for focal, angle, side in (("fl_x", "camera_angle_x", "w"), ("fl_y", "camera_angle_y", "h")):
        if focal not in values and angle in values:
            values[focal] = _focal(values[angle], values[side], angle, where)
    if "fl_x" in values:
        values.setdefault("fl_y", values["fl_x"])
    for centre, side in (("cx", "w"), ("cy", "h")):
        values.setdefault(centre, number(values[side], side, where) / 2)


def _focal(angle: object, side: object, what: str, where: str) -> float:
    radians = number(angle, what, where)
    if not 0 < radians < np.pi:
        raise CalibrationError("an angle of view cannot be", where=where, expected="radians", found=radians)
    return number(side, "the size", where) / 2 / float(np.tan(radians / 2))


def _whole(value: object, what: str, where: str) -> int | None:
    if value is None:
        return None
    found = number(value, what, where)
    if found != round(found) or abs(found) > 1e9:
        raise InputError(f"{what} is not a whole number", where=where, found=found)
    return round(found)


def same_camera(one: SessionCamera, other: SessionCamera) -> bool:
    """Whether two cameras are one that stood still, to the digits that such files have."""
    size = (one.width, one.height) == (other.width, other.height)
    return (
        size
        and one.lens == other.lens
        and np.allclose(one.K, other.K)
        and np.allclose(one.viewmat, other.viewmat)
    )


def _camera(values: Mapping[str, Any], transform: object, where: str) -> SessionCamera:
    """A camera of the file's world and unit."""
    width, height = image_size(values["w"], values["h"], where)
    fx, fy, cx, cy = (number(values[key], key, where) for key in ("fl_x", "fl_y", "cx", "cy"))
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    lens = _lens(values, where)
    if lens is not None:
        check_lens(lens, where)
    rows = len(transform) if isinstance(transform, list) else 4
    c2w = np.eye(4)
    c2w[: min(rows, 4)] = numbers(transform, (3 if rows == 3 else 4, 4), "transform_matrix", where)
    viewmat = np.eye(4)
    viewmat[:3, :3] = FLIP[:3, :3] @ c2w[:3, :3].T
    viewmat[:3, 3] = -viewmat[:3, :3] @ c2w[:3, 3]
    if not np.allclose(c2w[3], [0, 0, 0, 1]):
        raise CalibrationError("a transform's last row is not 0 0 0 1", where=where, found=c2w[3].tolist())
    check_camera("of the file", K, viewmat, width, height, where)
    # Of a rotation in few digits the transpose is not the inverse: the inverse comes back from an export as it was.
    viewmat[:] = np.linalg.inv(c2w @ FLIP)
    viewmat[3] = (0, 0, 0, 1)
    return SessionCamera("", width, height, K, viewmat, lens)


def _lens(values: Mapping[str, Any], where: str) -> Lens | None:
    model = _model(values, where)
    k1, k2, k3, k4, p1, p2 = (
        number(values.get(key, 0.0), key, where) for key in ("k1", "k2", "k3", "k4", "p1", "p2")
    )
    if model == FISHEYE:
        if p1 or p2:
            return Lens("thin_prism_fisheye", (k1, k2, p1, p2, k3, k4, 0.0, 0.0))
        return Lens("opencv_fisheye", (k1, k2, k3, k4))
    if model not in PERSPECTIVE:
        raise CalibrationError(
            "a camera model is not supported", where=where, expected=", ".join((*PERSPECTIVE, FISHEYE)),
            found=str(model)[:40],
        )  # fmt: skip
    if k4:
        return Lens("brown", (k1, k2, k3, k4, p1, p2, 0.0))
    plain = (k1, k2, p1, p2, k3) if k3 else (k1, k2, p1, p2)
    return Lens("opencv", plain) if any(plain) else None


def _model(values: Mapping[str, Any], where: str) -> object:
    """The camera model, which instant-ngp says by ``is_fisheye``.

    Raises:
        CalibrationError: ``is_fisheye`` beside a model that is none, or neither true nor false.
    """
    model, fisheye = values.get("camera_model"), values.get("is_fisheye", False)
    if fisheye not in (True, False):
        raise CalibrationError("is_fisheye is neither true nor false", where=where, found=str(fisheye)[:40])
    if fisheye and model not in (None, FISHEYE):
        raise CalibrationError(
            "is_fisheye and camera_model say two things", where=where, expected=FISHEYE, found=str(model)[:40],
            remedy="take out the one that is not so",
        )  # fmt: skip
    return FISHEYE if fisheye else model or "PERSPECTIVE"
