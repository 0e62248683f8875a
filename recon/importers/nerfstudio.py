"""nerfstudio: ``transforms.json`` and the images that it names, maybe with masks and depth.

A frame's ``transform_matrix`` takes its camera to the world; the camera looks along -z with y up (OpenGL). Intrinsics
(``fl_x fl_y cx cy w h``, ``camera_model``, ``k1 k2 k3 k4 p1 p2``) stand at the top for all frames, or in each. Its
pixels are ours. ``OPENCV`` and ``PERSPECTIVE`` are OpenCV's lens, with a k4 of r^8 that nerfstudio has beside it;
``OPENCV_FISHEYE`` is OpenCV's fisheye module, and with p1 or p2 COLMAP's thin prism one. ``applied_transform`` says
what was done to an earlier world: the poses are of the world after it, and it is not undone.

Its world has no unit and no certain up: both have to be said. Masks are white where the person is. Depth is along the
axis; nerfstudio takes it as millimetres unless told otherwise on its own command line, so the unit has to be said,
unless the file has a ``depth_unit_scale_factor`` (metres in a unit; our own export writes it).

A session has cameras that stand still, and moments: frames of one ``time`` are one moment, frames of one pose are
one camera.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.footage import (
    Footage,
    check_calibrated_size,
    image_footage,
    inside,
    make_session,
    match_moments,
    session_names,
    with_depth,
    with_masks,
)
from simulacra.recon.importers.foreign_text import image_size, mapping, number, numbers, read_foreign_json
from simulacra.recon.importers.options import Moments, NerfstudioOptions
from simulacra.recon.importers.placing import place
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera, check_lens
from simulacra.render.runtime.errors import CalibrationError, InputError

INTRINSICS = ("camera_model", "fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k2", "k3", "k4", "p1", "p2")
PERSPECTIVE = ("OPENCV", "PERSPECTIVE", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
# OpenGL's camera axes out of OpenCV's, and the other way round.
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class TransformsFrame:
    """One frame of the file: a picture, the camera that took it (still without a name), and when."""

    file: str
    camera: SessionCamera
    time: float | None
    mask: str | None
    depth: str | None

    @property
    def key(self) -> tuple[object, ...]:
        """The same for shots of one camera that stood still."""
        one = self.camera
        return one.K.tobytes(), one.viewmat.tobytes(), one.lens, one.width, one.height


def import_nerfstudio(src: Path, session: Path, options: NerfstudioOptions) -> Session:
    """Makes a session of a nerfstudio data set. Files are linked or copied; lenses are kept.

    Args:
        src: the folder of transforms.json, or another .json file.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing or damaged, or an option is needed.
        CalibrationError: a camera that cannot be, or one of another image size.
        RunError: ``session`` exists already, or the disk is full.
    """
    path = src if src.suffix == ".json" else src / "transforms.json"
    root = path.parent
    described = mapping(read_foreign_json(path), "the file", path)
    shots = _read_frames(described, path)
    notes = [f"{len(shots)} frames of the file"]
    if "applied_transform" in described:
        notes.append("the file's applied_transform was done to an earlier world and is not undone")
    groups, times = _group(shots, _moments(shots, options.moments, path), root)
    names = session_names(_labels(groups))
    named = dict(zip(names.values(), groups))
    unit = _depth_scale(described, shots, options.depth_scale, path)
    footage = _footage(root, named, times, options.mask_label)
    found = []
    for name, taken in named.items():
        camera = next(iter(taken.values())).camera
        check_calibrated_size(name, (camera.width, camera.height), footage.sizes[name], path)
        has_depth = any(shot.depth for shot in taken.values())
        found.append(replace(camera, name=name, depth_scale=unit if has_depth else None))
    cameras, T_world_source, placed = place(
        found, scale=options.scale, world_up=options.world_up, floor=options.floor, footage=footage
    )
    for one in cameras:
        check_camera(one.name, one.K, one.viewmat, one.width, one.height, path)
    return make_session(
        session, cameras, footage, importer="nerfstudio",
        arguments={"src": src.name, **asdict(replace(options, depth_scale=unit))},
        notes=notes + placed, T_world_source=T_world_source, source=src, fps=options.fps,
    )  # fmt: skip


def _footage(
    root: Path,
    named: Mapping[str, Mapping[int, TransformsFrame]],
    times: Mapping[int, float] | None,
    mask_label: int | None,
) -> Footage:
    """The files of each camera's shots, by the moment's index."""
    images: dict[str, dict[int, Path]] = {}
    masks: dict[tuple[str, int], Path] = {}
    depth: dict[tuple[str, int], Path] = {}
    for name, taken in named.items():
        images[name] = {index: inside(root, shot.file) for index, shot in taken.items()}
        for index, shot in taken.items():
            if shot.mask is not None:
                masks[name, index] = inside(root, shot.mask)
            if shot.depth is not None:
                depth[name, index] = inside(root, shot.depth)
    return with_depth(with_masks(image_footage(images, times), masks, mask_label), depth)


# -- the file --------------------------------------------------------------------------------------


def _read_frames(described: Mapping[str, Any], path: Path) -> list[TransformsFrame]:
    frames = described.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError("a data set has no frames", where=path, expected='"frames": [...]')
    shots = [
        _read_frame(described, mapping(frame, "a frame", path), f"{path}, frame {k}")
        for k, frame in enumerate(frames)
    ]
    twice = [file for file, count in Counter(shot.file for shot in shots).items() if count > 1]
    if twice:
        raise InputError("an image is there twice", where=path, found=twice[0])
    return shots


def _read_frame(described: Mapping[str, Any], frame: Mapping[str, Any], where: str) -> TransformsFrame:
    files = {key: frame.get(key) for key in ("file_path", "mask_path", "depth_file_path")}
    if not isinstance(files["file_path"], str) or not all(isinstance(f, str | None) for f in files.values()):
        raise InputError("a frame does not name its files", where=where, found=str(files)[:120])
    values = dict(described)
    for key in INTRINSICS:
        if key in frame and key in described and frame[key] != described[key]:
            raise CalibrationError(
                "intrinsics stand at the top and in a frame, and differ",
                where=where,
                expected=f"{key} {str(described[key])[:40]}",
                found=str(frame[key])[:40],
            )
        if key in frame:
            values[key] = frame[key]
    camera = _camera(values, frame.get("transform_matrix"), f"{where}, {files['file_path'][:80]}")
    time = None if frame.get("time") is None else number(frame["time"], "time", where)
    return TransformsFrame(files["file_path"], camera, time, files["mask_path"], files["depth_file_path"])


def _camera(values: Mapping[str, Any], transform: object, where: str) -> SessionCamera:
    """A camera of the file's world and unit."""
    width, height = image_size(values.get("w"), values.get("h"), where)
    fx, fy, cx, cy = (number(values.get(key), key, where) for key in ("fl_x", "fl_y", "cx", "cy"))
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
    model = values.get("camera_model", "PERSPECTIVE")
    k1, k2, k3, k4, p1, p2 = (
        number(values.get(key, 0.0), key, where) for key in ("k1", "k2", "k3", "k4", "p1", "p2")
    )
    if model == "OPENCV_FISHEYE":
        if p1 or p2:
            return Lens("thin_prism_fisheye", (k1, k2, p1, p2, k3, k4, 0.0, 0.0))
        return Lens("opencv_fisheye", (k1, k2, k3, k4))
    if model not in PERSPECTIVE:
        raise CalibrationError(
            "a camera model is not supported", where=where, expected=", ".join((*PERSPECTIVE, "OPENCV_FISHEYE")),
            found=str(model)[:40],
        )  # fmt: skip
    if k4:
        return Lens("brown", (k1, k2, k3, k4, p1, p2, 0.0))
    plain = (k1, k2, p1, p2, k3) if k3 else (k1, k2, p1, p2)
    return Lens("opencv", plain) if any(plain) else None


def _depth_scale(
    described: Mapping[str, Any], shots: Sequence[TransformsFrame], depth_scale: float | None, path: Path
) -> float | None:
    if not any(shot.depth for shot in shots):
        return None
    factor = described.get("depth_unit_scale_factor")
    stored = None if factor is None else number(factor, "depth_unit_scale_factor", path)
    if stored is not None and not stored > 0:
        raise InputError("the unit of depth must be positive", where=path, found=stored)
    if depth_scale is None and stored is None:
        raise InputError(
            "the file does not say what unit its depth has",
            where=path,
            remedy="say how many are a metre: --depth-scale 1000 for millimetres, as nerfstudio takes them",
        )
    if depth_scale is None:
        # Ten digits: a thousandth is no binary fraction, and 1000 is meant by it.
        return float(f"{1 / (stored or 1.0):.10g}")
    if stored is not None and abs(depth_scale * stored - 1) > 1e-6:
        raise InputError(
            "the depth scale is not the file's",
            where=path,
            expected=f"{1 / stored:g}",
            found=f"{depth_scale:g}",
        )
    return depth_scale


# -- cameras and moments ---------------------------------------------------------------------------


def _moments(shots: Sequence[TransformsFrame], moments: Moments | None, path: Path) -> Moments:
    timed = sum(shot.time is not None for shot in shots)
    if moments == "time" and timed < len(shots):
        raise InputError("frames lack a time", where=path, expected=len(shots), found=timed)
    if moments is not None:
        return moments
    if timed == len(shots):
        return "time"
    if timed or len({shot.key for shot in shots}) < len(shots):
        raise InputError(
            "which frames were taken together is not clear",
            where=path,
            found=f"{timed} of {len(shots)} frames with a time, {len({shot.key for shot in shots})} different poses",
            remedy="--moments names (files of one moment have one name), time, or one (all together)",
        )
    return "one"


def _group(
    shots: Sequence[TransformsFrame], moments: Moments, root: Path
) -> tuple[list[dict[int, TransformsFrame]], dict[int, float] | None]:
    """For each camera its shots by the moment's index; and the moments' times, where they have some."""
    if moments == "one":
        return [{0: shot} for shot in shots], None
    cameras: dict[tuple[object, ...], list[TransformsFrame]] = {}
    for shot in shots:
        cameras.setdefault(shot.key, []).append(shot)
    if len(cameras) == len(shots) > 1 and len({shot.time for shot in shots}) > 1:
        raise InputError(
            "a session's cameras stand still, and here every frame has a pose of its own",
            where=root,
            remedy="--moments one, if the person stood still while the camera was carried round",
        )
    if moments == "names":
        of_path = {root / shot.file: shot for shot in shots}
        matched = match_moments(
            {str(k): [root / s.file for s in taken] for k, taken in enumerate(cameras.values())}
        )
        return [{k: of_path[path] for k, path in found.items()} for found in matched.values()], None
    times = sorted({shot.time for shot in shots if shot.time is not None})
    index_of = {time: index for index, time in enumerate(times)}
    found = [{index_of[s.time]: s for s in taken if s.time is not None} for taken in cameras.values()]
    if any(len(one) < len(taken) for one, taken in zip(found, cameras.values())):
        raise InputError("a camera has two frames of one time", where=root)
    return found, dict(enumerate(times))


def _labels(groups: Sequence[Mapping[int, TransformsFrame]]) -> list[str]:
    """What to call cameras: their folders where each has its own, or their files where each has one; or numbers."""
    files = [[Path(shot.file) for shot in taken.values()] for taken in groups]
    folders = [{path.parent.name for path in paths} for paths in files]
    flat = [next(iter(names)) for names in folders]
    if all(len(names) == 1 for names in folders) and len(set(flat)) == len(flat) and all(flat):
        return flat
    stems = [paths[0].stem for paths in files]
    if all(len(paths) == 1 for paths in files) and len(set(stems)) == len(stems):
        return stems
    return [f"cam{k:02d}" for k in range(len(groups))]


def camera_to_world(camera: SessionCamera) -> Float[np.ndarray, "4 4"]:
    """A session camera's ``transform_matrix``."""
    return np.linalg.inv(camera.viewmat) @ FLIP
