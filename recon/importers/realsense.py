"""RealSense: folders of color and depth images, and a JSON with what librealsense says of the two streams.

    color/000000.png  depth/000000.png  intrinsics.json, or calibration.json, ...     of one device, or in a folder each

There is no file of librealsense's own: everybody writes its records down by their names, nested as they like. They are
found by those names (rs_types.h): fx fy ppx ppy width height model coeffs of a stream whose key says color or depth,
rotation (columns first) and translation (metres) from depth to color, depth_scale or depth_units (metres a unit).
rotation_row_major, or three rows, is a matrix as it stands. color_to_depth is turned round. Devices of a rig may be
in one file under the names of their folders, with world_to_color (four rows, metres).

The first pixel's centre is at (0, 0) (rs2_deproject_pixel_to_point), so that half a pixel is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.color_depth import make_depth_session
from simulacra.recon.importers.color_depth_files import Recording, find_recordings
from simulacra.recon.importers.depth_camera_files import DepthCamera, DepthCameraIntrinsics, read_intrinsics
from simulacra.recon.importers.foreign_text import number, numbers
from simulacra.recon.importers.one_by_one import read_each
from simulacra.recon.importers.options import ColorDepthOptions, DepthIs, Folders
from simulacra.recon.importers.recorder_json import find_json, image_size_of, json_files
from simulacra.recon.importers.recorder_options import RealsenseOptions
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CalibrationError, InputError

PRINCIPAL = (("ppx", "ppy"), ("cx", "cy"))
SCALES = ("depth_scale", "depth_units", "depth_scale_m")
# Tables in tables, of a file that somebody wrote by hand.
DEEPEST = 5
NAMES = "fx fy ppx ppy width height of color and depth, as librealsense names them"


@dataclass(frozen=True)
class Device:
    """What a file says of one device.

    Attributes:
        view: its cameras.
        depth_is: whether depth lies over the color image, where file and sizes say it.
        depth_scale: depth units in a metre, where it says it.
    """

    view: DepthCamera
    depth_is: DepthIs | None
    depth_scale: float | None


def looks_like(folder: Path) -> str | None:
    """Why a folder is of a RealSense's images, or of the folders of several, or None."""
    if found := _calibration_beside(folder, folder):
        return f"ppx in {found.relative_to(folder)}, beside color and depth images"
    inner = sorted(path for path in folder.glob("*") if path.is_dir())[:50]
    owned = [found for place in inner if (found := _calibration_beside(place, folder))]
    return f"ppx in {owned[0].relative_to(folder)}, and {len(owned)} cameras" if len(owned) > 1 else None


def _calibration_beside(place: Path, folder: Path) -> Path | None:
    """The file of a lens beside color and depth, or in the folder around them."""
    if not any((place / name).is_dir() for name in ("color", "rgb")) or not (place / "depth").is_dir():
        return None
    files = (*json_files(place), *(json_files(folder) if folder != place else ()))
    return next((path for path, value in files if any("ppx" in entry for _, entry in _tables(value))), None)


def import_realsense(src: Path, session: Path, options: RealsenseOptions) -> Session:
    """Makes a session of color and depth images of RealSense cameras.

    Args:
        src: the folder of the color and depth folders, or of the devices' folders that have them.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: files missing, damaged, or what belongs together or where depth lies cannot be told.
        CalibrationError: no calibration, one of another size, or such as cannot be.
        RunError: ``session`` exists already, or the disk is full.
    """
    folders = Folders(mask=options.mask)
    recordings, notes = find_recordings(src, folders, None)
    devices, faults = read_each(
        recordings, lambda name: _read_device(src, recordings[name], options.calibration)
    )
    depth_is = options.depth_is or _one(
        [device.depth_is for device in devices.values()], "whether depth lies over the color images", src,
        "say it: --depth-is aligned, or --depth-is separate",
    )  # fmt: skip
    depth_scale = options.depth_scale or _one(
        [device.depth_scale for device in devices.values()], "the unit of depth", src,
        "say it: --depth-scale 1000 for millimetres, as all but an L515 (4000) have them",
    )  # fmt: skip
    asked = ColorDepthOptions(
        depth_scale=depth_scale, depth_is=depth_is, world_up=options.world_up, floor=options.floor, fps=options.fps,
        mask_label=options.mask_label, folders=folders,
    )  # fmt: skip
    return make_depth_session(
        src, session, {name: recordings[name] for name in devices},
        {name: device.view for name, device in devices.items()}, asked, notes=[*notes, *faults], importer="realsense",
    )  # fmt: skip


def _one(values: list[Any], what: str, src: Path, remedy: str) -> Any:
    """What all devices say.

    Raises:
        InputError: one says nothing, or they differ.
    """
    if None in values or len(set(values)) != 1:
        found = ", ".join(map(str, dict.fromkeys(values)))
        raise InputError(
            f"the files do not say {what}", where=src, found=found.replace("None", "nothing"), remedy=remedy
        )
    return values[0]


# -- a file ----------------------------------------------------------------------------------------


def _read_device(src: Path, recording: Recording, named: str | None) -> Device:
    where, value = _device_files(src, recording.folder, named)
    sizes = tuple(image_size_of(paths, recording.folder) for paths in (recording.color, recording.depth))
    return read_device(value, sizes[0], sizes[1], where)


def _device_files(src: Path, folder: Path, named: str | None) -> tuple[Path, object]:
    """What the JSON files beside a device's images say of it, by their names where it is in several.

    Raises:
        CalibrationError: none says anything.
    """
    for place in dict.fromkeys((folder, src)):
        found = [find_json([folder, src], named, _says, NAMES)] if named else json_files(place)
        # A rig's file has each device's part under the name of its folder, or is itself called so.
        parts = [(path, one.get(folder.name, one) if isinstance(one, dict) else one) for path, one in found]
        parts = [part for part in parts if part[0].stem == folder.name] or parts
        if any(_says(value) for _, value in parts):
            together = {path.stem: value for path, value in parts}
            return (parts[0][0], parts[0][1]) if len(parts) == 1 else (place, together)
    raise CalibrationError("a camera has no calibration", where=folder, expected=NAMES)


def _says(value: object) -> bool:
    return any(_stream_of(keys, entry) for keys, entry in _tables(value))


def read_device(
    value: object, color_size: tuple[int, int], depth_size: tuple[int, int], where: object
) -> Device:
    """What a file, or its part of one device, says.

    Args:
        value: the file's contents.
        color_size: width and height of the color images.
        depth_size: of the depth images.
        where: the file.

    Raises:
        CalibrationError: no color stream of the images' size, or numbers that cannot be.
    """
    tables = list(_tables(value))
    streams: dict[str, list[Mapping[str, Any]]] = {"color": [], "depth": [], "any": []}
    for keys, entry in tables:
        if kind := _stream_of(keys, entry):
            streams[kind].append(entry)
    color = _fitting(streams["color"] or streams["any"], color_size, where)
    if color is None:
        found = [f"{entry['width']}x{entry['height']}" for entries in streams.values() for entry in entries]
        raise CalibrationError(
            "no color stream of the images' size", where=where, expected=f"{color_size[0]}x{color_size[1]}",
            found=", ".join(found)[:120] or "none",
        )  # fmt: skip
    depth = _fitting(streams["depth"], depth_size, where)
    T = _depth_to_color(tables, where)
    viewmat = next((entry["world_to_color"] for _, entry in tables if "world_to_color" in entry), None)
    placed = None if viewmat is None else _rigid(numbers(viewmat, (4, 4), "world_to_color", where), where)
    scales = [entry[key] for _, entry in tables for key in SCALES if key in entry]
    return Device(
        DepthCamera(color, depth, T, placed),
        _depth_is(color, depth, color_size, depth_size),
        _units_in_metre(number(scales[0], "depth_scale", where), where) if scales else None,
    )


def _tables(value: object, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every table of the file with the keys that lead to it, in small letters."""
    if isinstance(value, dict) and len(keys) <= DEEPEST:
        yield keys, value
        for key, inner in value.items():
            yield from _tables(inner, (*keys, str(key).lower()))


def _stream_of(keys: tuple[str, ...], entry: Mapping[str, Any]) -> str | None:
    """Which stream's intrinsics a table is, if it is any's."""
    if not {"fx", "fy", "width", "height"} <= set(entry) or not any(
        set(pair) <= set(entry) for pair in PRINCIPAL
    ):
        return None
    words = " ".join(keys)
    if "depth" in words:
        return "depth"
    return "color" if any(word in words for word in ("color", "colour", "rgb")) or not keys else "any"


def _fitting(
    entries: list[Mapping[str, Any]], size: tuple[int, int], where: object
) -> DepthCameraIntrinsics | None:
    """The stream of the images' size; a file may have several resolutions.

    Raises:
        CalibrationError: two of them are, and differ.
    """
    found = [_intrinsics(entry, where) for entry in entries if (entry["width"], entry["height"]) == size]
    if any(not np.allclose(one.K, found[0].K) for one in found):
        raise CalibrationError(
            "several streams of the images' size differ", where=where, found=f"{len(found)} of {size[0]}x{size[1]}",
            remedy="name one file: --calibration FILE",
        )  # fmt: skip
    return found[0] if found else None


def _intrinsics(entry: Mapping[str, Any], where: object) -> DepthCameraIntrinsics:
    x, y = next(pair for pair in PRINCIPAL if set(pair) <= set(entry))
    plain = {
        **{key: entry[key] for key in ("width", "height", "fx", "fy")}, "ppx": entry[x], "ppy": entry[y],
        "model": entry.get("model", ""), "coeffs": entry.get("coeffs", [0.0] * 5),
    }  # fmt: skip
    return read_intrinsics(plain, None, where)


def _depth_is(
    color: DepthCameraIntrinsics,
    depth: DepthCameraIntrinsics | None,
    color_size: tuple[int, int],
    depth_size: tuple[int, int],
) -> DepthIs | None:
    """By the sizes of the images; of one size they are aligned if depth has no intrinsics of its own."""
    if color_size != depth_size:
        return "separate"
    return "aligned" if depth is None or np.allclose(depth.K, color.K, atol=1e-3) else None


def _depth_to_color(
    tables: list[tuple[tuple[str, ...], Mapping[str, Any]]], where: object
) -> Float[np.ndarray, "4 4"] | None:
    """The color camera out of the depth camera, metres, if the file has it."""
    for keys, entry in tables:
        rotation = entry.get("rotation", entry.get("rotation_row_major"))
        translation = entry.get("translation", entry.get("translation_m"))
        words = " ".join(keys).replace("2", "_to_").replace("rgb", "color")
        if rotation is None or translation is None or not keys or "imu" in words or "infra" in words:
            continue
        nested = isinstance(rotation, list) and bool(rotation) and isinstance(rotation[0], list)
        R = numbers(rotation, (3, 3) if nested else (9,), "rotation", where).reshape(3, 3)
        T = np.eye(4)
        T[:3, :3] = R if nested or "rotation" not in entry else R.T
        T[:3, 3] = numbers(translation, (3,), "translation", where)
        return np.linalg.inv(_rigid(T, where)) if "color_to_depth" in words else _rigid(T, where)
    return None


def _rigid(T: Float[np.ndarray, "4 4"], where: object) -> Float[np.ndarray, "4 4"]:
    R = T[:3, :3]
    if np.abs(R).max() > 2 or np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise CalibrationError("a transform is not rigid", where=where, found=T.round(4).tolist())
    return T


def _units_in_metre(scale: float, where: object) -> float:
    """librealsense's metres in a unit; or units in a metre, where it is over one."""
    units = 1 / scale if 0 < scale < 1 else scale
    if not 1 <= units <= 1e6:
        raise CalibrationError(
            "depth_scale cannot be", where=where, expected="0.001, of millimetres", found=scale
        )
    return round(units, 6)
