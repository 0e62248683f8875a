"""A ring of RGB-D cameras: COLOR, DEPTH, MASK and PARAM, each with a folder a frame and a file a camera.

    COLOR/FRAME/CAM.jpg|png   DEPTH/FRAME/CAM.png (uint16)   MASK/FRAME/CAM.png   PARAM/FRAME/CAM.npy

PARAM holds a pickled dictionary: ``K`` 3x3 in pixels with (0, 0) at the first pixel's centre, and ``RT`` 3x4, world
to camera in metres. Such rigs are mounted on their side and their images turned upright afterwards, with the turn in
K: it is moved into the camera's axes here, which leaves a pinhole K. Depth is aligned to color.

The floor is not in the masked images: it is where the lowest measured points of the person are, in the first frame that
shows the person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from simulacra.recon.importers.building import (
    at_rate,
    copy_file,
    new_session_folder,
    write_session,
)
from simulacra.recon.importers.finding import file_named, folder_named, say_contents
from simulacra.recon.importers.footage import IMAGE_ENDINGS, Footage, copy_mask, natural, visible
from simulacra.recon.importers.foreign_text import say_unused
from simulacra.recon.importers.options import RgbdRigOptions
from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.recon.importers.placing import upright_with_pictures
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Frame, Session, SessionCamera, Source, check_camera, load_session
from simulacra.render.camera import Cameras
from simulacra.render.image import read_image, read_mask, read_uint16
from simulacra.render.runtime.errors import CalibrationError, InputError

# Share of the person's measured points that may lie below the floor: flying pixels.
BELOW_FLOOR = 0.0005
# Measured points without which nobody is there: a few stray ones are no feet.
FEWEST_POINTS = 100


def import_rgbd_rig(src: Path, session: Path, options: RgbdRigOptions) -> Session:
    """Makes a session out of an RGB-D rig's folder.

    Args:
        src: the folder of the capture.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a folder or file is missing, or not what it should be.
        CalibrationError: a camera that cannot be, or no axis that is clearly up.
        RunError: the session is there already, or cannot be written.
    """
    depth_scale = options.depth_scale
    frames, names, notes = _list_frames(src)
    with new_session_folder(session) as folder:
        cameras = [replace(_read_camera(src, frames, name), depth_scale=depth_scale) for name in names]
        T, said = upright_with_pictures(
            cameras, _footage_of(src, frames, cameras), options.world_up or "cameras"
        )
        notes.append(said)
        cameras = [_in_world(camera, T) for camera in cameras]
        notes += _note_uncalibrated(src, frames, names)
        described, lacking = [], Counter[str]()
        for index, frame in enumerate(track(frames, "frames", len(frames))):
            _check_calibration(src, frames[0], frame, names)
            described.append(_copy_frame(src, folder, frame, index, cameras, options.mask_label, lacking))
        notes += [f"{what} in {count} of {len(frames)} frames" for what, count in lacking.items()]
        # In the first frame that shows the person: people walk in.
        heights = ((frame, _floor(src, frame, cameras, options)) for frame in frames)
        shown, floor = next((found for found in heights if found[1] is not None), (frames[0], None))
        if floor is not None:
            lift = np.eye(4)
            lift[1, 3] = -floor
            T = lift @ T
            cameras = [_in_world(camera, lift) for camera in cameras]
            notes.append(
                f"the floor is put at the person's lowest measured point in {shown}, {1000 * floor:.0f} mm in the "
                "source"
            )
        scale = depth_scale if folder_named(src, ("DEPTH",)) else None
        finished = [replace(camera, depth_scale=scale) for camera in cameras]
        write_session(
            folder, finished, at_rate(described, options.fps, src), importer="rgbd-rig", arguments=asdict(options),
            notes=notes, T_world_source=T, source=src,
        )  # fmt: skip
    return load_session(session)


def _footage_of(src: Path, frames: Sequence[str], cameras: Sequence[SessionCamera]) -> Footage:
    """Pictures and depth of a frame from the middle, to see what stands in them."""
    frame, files, sources = frames[len(frames) // 2], {}, {}
    for camera in cameras:
        color = _file(src, "COLOR", frame, camera.name, IMAGE_ENDINGS)
        if color is None:
            continue
        sources[camera.name] = Source(f"images/{camera.name}")
        files[f"images/{camera.name}"] = color
        depth = _file(src, "DEPTH", frame, camera.name, (".png",)) if folder_named(src, ("DEPTH",)) else None
        if depth is not None:
            files[f"depth/{camera.name}/000000.png"] = depth
    sizes = {camera.name: (camera.width, camera.height) for camera in cameras}
    return Footage(sizes, (Frame(0, sources),), files)


def _list_frames(src: Path) -> tuple[list[str], list[str], list[str]]:
    """Frame folders and names of calibrated cameras, numbers in the order of numbers; what was found and left out."""
    for part in ("COLOR", "PARAM"):
        if folder_named(src, (part,)) is None:
            raise InputError(
                "a folder of the capture is missing",
                where=src / part,
                expected="COLOR, DEPTH, MASK and PARAM in it",
                found=say_contents(src),
            )
    frames = sorted((path.name for path in visible(_part(src, "COLOR")) if path.is_dir()), key=natural)
    if not frames:
        raise InputError("the capture has no frame", where=src / "COLOR", expected="a folder a frame")
    params = [path for path in visible(_part(src, "PARAM") / frames[0]) if path.suffix.lower() == ".npy"]
    read = {path: read_pickled_arrays(path) for path in sorted(params, key=lambda path: natural(path.name))}
    lacks = {path.stem: [key for key in ("K", "RT") if one.get(key) is None] for path, one in read.items()}
    names = [name for name, missing in lacks.items() if not missing]
    notes = [
        f"{name} has no {' and no '.join(missing)}: left out" for name, missing in lacks.items() if missing
    ]
    if not names:
        raise CalibrationError(
            "the capture has no calibration",
            where=_part(src, "PARAM") / frames[0],
            expected="CAM.npy files of K and RT",
            found="; ".join(notes)[:300] or say_contents(_part(src, "PARAM")),
        )
    notes += say_unused({str(key) for one in read.values() for key in one} - {"K", "RT"}, params[0])
    return frames, names, [f"found {len(frames)} frames of {len(names)} cameras", *notes]


def _part(src: Path, part: str) -> Path:
    """A folder of the capture, by its name in any case."""
    return folder_named(src, (part,)) or src / part


def _read_camera(src: Path, frames: Sequence[str], name: str) -> SessionCamera:
    """A camera of the source with a pinhole K, still in the source's world."""
    path = _part(src, "PARAM") / frames[0] / f"{name}.npy"
    param = read_pickled_arrays(path)
    try:
        K, RT = np.asarray(param["K"], float), np.asarray(param["RT"], float)
    except (TypeError, ValueError) as error:
        raise CalibrationError("K or RT is not numbers", where=path, found=repr(param)[:120]) from error
    if K.shape != (3, 3) or RT.shape != (3, 4) or not (np.isfinite(K).all() and np.isfinite(RT).all()):
        raise CalibrationError(
            "a calibration is not finite 3x3 and 3x4 matrices",
            where=path,
            found=f"K {K.tolist()}, RT {RT.shape}",
        )
    upright_K, turn = _split_turn(K, path)
    upright_K[:2, 2] += 0.5
    viewmat = np.eye(4)
    viewmat[:3] = turn @ RT
    color = next(
        (found for frame in frames if (found := _file(src, "COLOR", frame, name, IMAGE_ENDINGS))), None
    )
    if color is None:
        raise InputError(
            "a calibrated camera has no image", where=_part(src, "COLOR"), expected=f"{name}.jpg or .png"
        )
    image = read_image(color)
    height, width = image.shape[:2]
    check_camera(name, upright_K, viewmat, width, height, path)
    return SessionCamera(name, width, height, upright_K, viewmat)


def _split_turn(
    K: Float[np.ndarray, "3 3"], path: Path
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 3"]]:
    """K = K' R with R one of the four quarter turns about the axis and K' a pinhole matrix: K' and R."""
    size = np.abs(K[:2, :2]).max()
    for quarter in range(4):
        c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])
        pinhole = K @ turn.T
        skew = max(abs(pinhole[0, 1]), abs(pinhole[1, 0]))
        if size > 0 and min(pinhole[0, 0], pinhole[1, 1]) > 1e-3 * size and skew < 1e-6 * size:
            pinhole[0, 1] = pinhole[1, 0] = 0.0
            return pinhole, turn
    raise CalibrationError(
        "K is neither a pinhole matrix nor one of a turned image",
        where=path,
        expected="two focal lengths and a principal point",
        found=K.round(3).tolist(),
        remedy="a singular K, a skewed one or a mirrored image cannot be imported",
    )


def _in_world(camera: SessionCamera, T_new_old: Float[np.ndarray, "4 4"]) -> SessionCamera:
    return replace(camera, viewmat=camera.viewmat @ np.linalg.inv(T_new_old))


def _floor(src: Path, frame: str, cameras: Sequence[SessionCamera], options: RgbdRigOptions) -> float | None:
    """Height of the person's lowest measured points, metres; None where depth and masks show nobody."""
    heights = []
    for camera in cameras:
        depth_file, mask_file = (
            _file(src, part, frame, camera.name, (".png",)) for part in ("DEPTH", "MASK")
        )
        if depth_file is None or mask_file is None:
            continue
        depth = read_uint16(depth_file).astype(np.float32) / np.float32(options.depth_scale)
        inside = (depth > 0) & (read_mask(mask_file, options.mask_label) > 0.5)
        view = Cameras(
            torch.from_numpy(camera.viewmat.astype(np.float32))[None],
            torch.from_numpy(camera.K.astype(np.float32))[None],
            depth.shape[1],
            depth.shape[0],
        )
        heights.append(view.unproject(torch.from_numpy(depth)[None])[0, ..., 1].numpy()[inside])
    found = np.concatenate(heights) if heights else np.zeros(0)
    return float(np.quantile(found, BELOW_FLOOR)) if found.size >= FEWEST_POINTS else None


def _note_uncalibrated(src: Path, frames: Sequence[str], names: Sequence[str]) -> list[str]:
    """What COLOR holds of cameras without a calibration."""
    images = (path for frame in frames for path in visible(_part(src, "COLOR") / frame))
    stems = {path.stem for path in images if path.suffix.lower() in IMAGE_ENDINGS}
    return [f"camera {name} has images and no calibration: left out" for name in sorted(stems - set(names))]


def _check_calibration(src: Path, first: str, frame: str, names: Sequence[str]) -> None:
    """A session's cameras stand still; a later frame without PARAM is taken to have the first one's."""
    folder = _part(src, "PARAM")
    if frame == first:
        return
    for name in names:
        path = folder / frame / f"{name}.npy"
        if not path.is_file():
            continue
        before, now = read_pickled_arrays(folder / first / f"{name}.npy"), read_pickled_arrays(path)
        for key in ("K", "RT"):
            same = key in now and np.shape(now[key]) == np.shape(before[key])
            if not same or not np.allclose(now[key], before[key], rtol=1e-6, atol=1e-6):
                raise CalibrationError(
                    f"{key} of a camera changes from frame to frame",
                    where=path,
                    expected=f"as in {first}",
                    remedy="cameras of a session stand still: import frames of another calibration on their own",
                )


def _copy_frame(
    src: Path,
    folder: Path,
    frame: str,
    index: int,
    cameras: Sequence[SessionCamera],
    mask_label: int | None,
    lacking: Counter[str],
) -> Frame:
    """Copies what a frame's cameras recorded, after reading all of it: a damaged file is found here, not in use.

    What is not there is counted in ``lacking``, in words.
    """
    sources = {}
    for camera in cameras:
        color = _file(src, "COLOR", frame, camera.name, IMAGE_ENDINGS)
        if color is None:
            lacking[f"{camera.name} has no image"] += 1
            continue
        _check_size(read_image(color), camera, color)
        target = f"images/{camera.name}/{index:06d}{color.suffix.lower()}"
        copy_file(color, folder / target, src)
        sources[camera.name] = Source(target)
        name = f"{camera.name}/{index:06d}.png"
        for part in ("DEPTH", "MASK"):
            path = _file(src, part, frame, camera.name, (".png",))
            if path is None:
                if folder_named(src, (part,)):
                    lacking[f"{camera.name} has no {part.lower()}"] += 1
            elif part == "DEPTH":
                _check_size(read_uint16(path), camera, path)
                copy_file(path, folder / "depth" / name, src)
            else:
                _check_size(read_mask(path, mask_label), camera, path)
                copy_mask(path, folder / "masks" / name, mask_label, src)
    return Frame(index, sources)


def _check_size(image: np.ndarray, camera: SessionCamera, path: Path) -> None:
    if image.shape[:2] != (camera.height, camera.width):
        raise InputError(
            "an image is not of the size of its camera's first one",
            where=path,
            expected=f"{camera.width}x{camera.height}",
            found=f"{image.shape[1]}x{image.shape[0]}",
        )


def _file(src: Path, part: str, frame: str, name: str, endings: Sequence[str]) -> Path | None:
    return file_named(_part(src, part) / frame, name, endings)
