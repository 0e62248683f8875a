"""nerfstudio: ``transforms.json`` and the images that it names, maybe with masks and depth. VHAP's sequences too.

The file is read by `transforms_json`. Its world has no unit and no certain up: both have to be said. Masks are white
where the person is. Depth is along the axis; nerfstudio takes it as millimetres unless told otherwise on its own
command line, so the unit has to be said, unless the file has a ``depth_unit_scale_factor`` (metres in a unit; our own
export writes it).

A session has cameras that stand still, and moments: frames of one ``timestep_index`` (VHAP, GaussianAvatars) or one
``time`` are one moment, frames of one ``camera_index`` or one pose are one camera.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.finding import say_contents
from simulacra.recon.importers.footage import (
    Footage,
    check_calibrated_size,
    image_footage,
    inside,
    make_session,
    match_moments,
    session_names,
    visible,
    with_depth,
    with_masks,
)
from simulacra.recon.importers.foreign_text import number
from simulacra.recon.importers.options import Moments, NerfstudioOptions
from simulacra.recon.importers.placing import place
from simulacra.recon.importers.transforms_json import FLIP, TransformsFrame, read_transforms, same_camera
from simulacra.recon.session import Session, SessionCamera, check_camera
from simulacra.render.runtime.errors import InputError


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
    path = _find_file(src)
    root = path.parent
    described, shots, notes = read_transforms(path)
    groups, times = _group(shots, _moments(shots, options.moments, path), root)
    notes += _check_stated(described, groups)
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


def _find_file(src: Path) -> Path:
    path = src if src.suffix.lower() == ".json" else src / "transforms.json"
    others = [one.name for one in visible(src) if one.name.startswith("transforms") and one.suffix == ".json"]
    if not path.is_file():
        raise InputError(
            "a data set's transforms.json is missing",
            where=path,
            found=", ".join(others)[:200] or say_contents(path.parent),
            remedy=f"give one of them: import nerfstudio {src / others[0]} ..." if others else None,
        )
    return path


def _check_stated(described: Mapping[str, Any], groups: Sequence[Mapping[int, TransformsFrame]]) -> list[str]:
    """VHAP lists its timesteps and cameras: what of them has no frame."""
    read = {
        "camera_indices": len(groups),
        "timestep_indices": len({index for one in groups for index in one}),
    }
    notes = []
    for key, count in read.items():
        stated = described.get(key)
        if isinstance(stated, list) and len(stated) != count:
            notes.append(f"the file's {key} are {len(stated)}, and it has frames of {count}")
    return notes


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


def _moments(shots: Sequence[TransformsFrame], moments: Moments | None, path: Path) -> Moments | None:
    """How frames become moments; None: by the file's timesteps."""
    timed = sum(shot.time is not None for shot in shots)
    if moments == "time" and timed < len(shots):
        raise InputError("frames lack a time", where=path, expected=len(shots), found=timed)
    if moments is not None:
        return moments
    if all(shot.timestep is not None for shot in shots):
        return None
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
    shots: Sequence[TransformsFrame], moments: Moments | None, root: Path
) -> tuple[list[dict[int, TransformsFrame]], dict[int, float] | None]:
    """For each camera its shots by the moment's index; and the moments' times, where they have some."""
    if moments == "one":
        return [{0: shot} for shot in shots], None
    cameras: dict[object, list[TransformsFrame]] = {}
    for shot in shots:
        cameras.setdefault(shot.key, []).append(shot)
    _check_still(cameras.values(), shots, root)
    if moments == "names":
        of_path = {root / shot.file: shot for shot in shots}
        matched = match_moments(
            {str(k): [root / s.file for s in taken] for k, taken in enumerate(cameras.values())}
        )
        return [{k: of_path[path] for k, path in found.items()} for found in matched.values()], None
    stamps = [shot.time if moments == "time" else shot.timestep for shot in shots]
    places = sorted({stamp for stamp in stamps if stamp is not None})
    index_of = {stamp: index for index, stamp in enumerate(places)}
    stamp_of = dict(zip((shot.file for shot in shots), stamps))
    found = [
        {index_of[stamp]: s for s in taken if (stamp := stamp_of[s.file]) is not None}
        for taken in cameras.values()
    ]
    if any(len(one) < len(taken) for one, taken in zip(found, cameras.values())):
        raise InputError("a camera has two frames of one time", where=root)
    return found, dict(enumerate(places)) if moments == "time" else None


def _check_still(
    cameras: Iterable[Sequence[TransformsFrame]], shots: Sequence[TransformsFrame], root: Path
) -> None:
    """A camera by its index has one pose; by their poses all cameras but not all frames are different."""
    groups = list(cameras)
    moves = any(not same_camera(shot.camera, taken[0].camera) for taken in groups for shot in taken[1:])
    alone = len(groups) == len(shots) > 1 and len({shot.moment for shot in shots}) > 1
    if moves or alone:
        raise InputError(
            "a session's cameras stand still, and here "
            + ("a camera has several poses or lenses" if moves else "every frame has a pose of its own"),
            where=root,
            remedy="--moments one, if the person stood still while the camera was carried round",
        )


def _labels(groups: Sequence[Mapping[int, TransformsFrame]]) -> list[str]:
    """What to call cameras: as the file does, or their folders, or their files where each has one; or numbers."""
    called = [next(iter(taken.values())).label for taken in groups]
    if len(set(called)) == len(called) and None not in called:
        return [label for label in called if label is not None]
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
