"""COLMAP: a model (``sparse/0``, ``sparse`` or the folder itself) and the images that it is of.

COLMAP's world has no unit and no up: both have to be said. Its files are read by `colmap_model`.

A session has cameras that stand still, and moments that they recorded together. What is what in a COLMAP folder:

    flat      images/NAME.jpg: every image a camera of its own, all of one moment: a static rig, or one camera carried
              round somebody who stands still
    cameras   images/CAM/FRAME.jpg: a folder a camera; its pose is that of its registered images, which may be those of
              one moment only, and all its images are taken
    frames    images/FRAME/CAM.jpg: a folder a moment

Flat is taken where there are no folders; where there are, one of the three has to be said. Masks are COLMAP's
(``masks/NAME.jpg.png``), white where the person is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

import numpy as np

from simulacra.recon.importers.colmap_model import ColmapCamera, ColmapImage, read_model
from simulacra.recon.importers.finding import files_below, say_contents
from simulacra.recon.importers.footage import (
    IMAGE_ENDINGS,
    check_calibrated_size,
    image_footage,
    inside,
    make_session,
    match_moments,
    natural,
    session_names,
    with_masks,
)
from simulacra.recon.importers.options import ColmapOptions, Layout
from simulacra.recon.importers.placing import place
from simulacra.recon.session import Session, SessionCamera, check_camera
from simulacra.render.runtime.errors import CalibrationError, InputError

# Poses of one camera that stood still, estimated from different images: metres and degrees.
SAME_PLACE = 0.02
SAME_TURN = 0.5


def import_colmap(src: Path, session: Path, options: ColmapOptions) -> Session:
    """Makes a session of a COLMAP reconstruction. Images are linked or copied; their lenses are kept.

    Args:
        src: the folder of the reconstruction.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing or damaged, or an option is needed.
        CalibrationError: a camera that cannot be, that moves, or of another image size.
        RunError: ``session`` exists already, or the disk is full.
    """
    calibrated, registered = read_model(_find_model(src, options.model))
    root = inside(src, options.images)
    if not root.is_dir():
        raise InputError("the images of a model are missing", where=root, remedy="say where: --images FOLDER")
    lost = [image.name for image in registered if not inside(root, image.name).is_file()]
    registered = [image for image in registered if image.name not in lost]
    if not registered:
        raise InputError(
            "the images of the model are missing",
            where=root,
            expected=", ".join(lost)[:200],
            found=say_contents(root),
        )
    chosen = _layout(registered, options.layout, root)
    groups, notes = _group(registered, chosen)
    if lost:
        notes.append(f"{len(lost)} images of the model are missing: left out ({lost[0]} and on)")
    names = session_names(groups)
    pictures, missed = _pictures(root, registered, groups, chosen)
    footage = image_footage({names[label]: found for label, found in pictures.items()})
    masks = {
        (names[label], index): mask
        for label, found in pictures.items()
        for index, path in found.items()
        if (mask := _mask(src, path.relative_to(root).as_posix())) is not None
    }
    found = []
    for label, members in groups.items():
        camera, said = _one_camera(label, members, calibrated, options.scale)
        check_calibrated_size(label, (camera.width, camera.height), footage.sizes[names[label]], root)
        viewmat = members[0].viewmat
        found.append(SessionCamera(names[label], camera.width, camera.height, camera.K, viewmat, camera.lens))
        notes += said
    cameras, T_world_source, placed = place(
        found, scale=options.scale, world_up=options.world_up, floor=options.floor, footage=footage
    )
    for one in cameras:
        check_camera(one.name, one.K, one.viewmat, one.width, one.height, src)
    return make_session(
        session, cameras, with_masks(footage, masks, options.mask_label), importer="colmap",
        arguments={"src": src.name, **asdict(replace(options, layout=chosen))},
        notes=notes + missed + placed, T_world_source=T_world_source, source=src, fps=options.fps,
    )  # fmt: skip


def _find_model(src: Path, model: str | None) -> Path:
    if model is not None:
        return inside(src, model)

    def holds_one(folder: Path) -> bool:
        return any((folder / f"cameras{ending}").is_file() for ending in (".bin", ".txt"))

    numbered = sorted((src / "sparse").iterdir()) if (src / "sparse").is_dir() else []
    found = [folder for folder in (src, src / "sparse", *numbered) if folder.is_dir() and holds_one(folder)]
    if len(found) != 1:
        raise InputError(
            "there is more than one model" if found else "there is no COLMAP model",
            where=src,
            expected="cameras.bin and images.bin (or .txt) in sparse/0, sparse or the folder itself",
            found=", ".join(folder.relative_to(src).as_posix() for folder in found)[:200] or "none",
            remedy="name one: --model sparse/0" if found else None,
        )
    return found[0]


def _layout(images: Sequence[ColmapImage], layout: Layout | None, root: Path) -> Layout:
    folders = {str(PurePosixPath(image.name).parent) for image in images}
    if layout is None and folders != {"."}:
        raise InputError(
            "the images are in folders, and what a folder is has to be said",
            where=root,
            found=", ".join(sorted(folders))[:200],
            remedy="--layout cameras (CAM/FRAME.jpg), frames (FRAME/CAM.jpg), or flat (every image a camera)",
        )
    if layout in ("cameras", "frames") and "." in folders:
        raise InputError(
            "an image is in no folder", where=root, expected=f"a folder for each of the {layout}"
        )
    return layout or "flat"


def _label_of(layout: Layout) -> Callable[[str], str]:
    """What tells cameras apart in the names of their images."""
    if layout == "cameras":
        return lambda name: PurePosixPath(name).parent.as_posix()
    if layout == "frames":
        return lambda name: PurePosixPath(name).stem
    return lambda name: PurePosixPath(name).with_suffix("").as_posix()


def _group(images: Sequence[ColmapImage], layout: Layout) -> tuple[dict[str, list[ColmapImage]], list[str]]:
    """Registered images by camera, in natural order."""
    label_of = _label_of(layout)
    groups: dict[str, list[ColmapImage]] = {}
    for image in sorted(images, key=lambda image: natural(image.name)):
        if not PurePosixPath(image.name).name or image.name.endswith("/"):
            raise InputError("an image has no name", found=repr(image.name)[:80])
        # One name with two endings is two cameras where every image is one.
        label = label_of(image.name)
        label = image.name if layout == "flat" and label in groups else label
        groups.setdefault(label, []).append(image)
    return groups, [f"{len(images)} registered images of {len(groups)} cameras"]


def _pictures(
    root: Path, registered: Sequence[ColmapImage], groups: Mapping[str, Sequence[ColmapImage]], layout: Layout
) -> tuple[dict[str, dict[int, Path]], list[str]]:
    """The picture files of each camera by moment: with folders all that are there, not the registered ones only."""
    on_disk = {
        path.relative_to(root).as_posix()
        for path in files_below(root)
        if path.suffix.lower() in IMAGE_ENDINGS
    }
    known = {image.name for image in registered}
    if layout == "flat":
        found = {label: {0: inside(root, members[0].name)} for label, members in groups.items()}
        left = sorted(on_disk - known)
        return found, [f"{len(left)} images without a pose are left out: {left[0]} and on"] if left else []
    label_of = _label_of(layout)
    files: dict[str, list[Path]] = {label: [] for label in groups}
    left = []
    for name in sorted(on_disk | known, key=natural):
        if (label := label_of(name)) in files:
            files[label].append(inside(root, name))
        else:
            left.append(name)
    notes = [f"{len(left)} images of cameras without a pose are left out: {left[0]} and on"] if left else []
    if layout == "cameras":
        return match_moments(files), notes
    return _by_folder(root, files), notes


def _by_folder(root: Path, files: Mapping[str, Sequence[Path]]) -> dict[str, dict[int, Path]]:
    moments = sorted(
        {path.parent.relative_to(root).as_posix() for p in files.values() for path in p}, key=natural
    )
    place_of = {moment: index for index, moment in enumerate(moments)}
    found: dict[str, dict[int, Path]] = {}
    for label, paths in files.items():
        found[label] = {place_of[path.parent.relative_to(root).as_posix()]: path for path in paths}
        if len(found[label]) != len(paths):
            raise InputError("two images are one camera's of one moment", where=root, found=label)
    return found


def _one_camera(
    label: str, members: Sequence[ColmapImage], cameras: Mapping[int, ColmapCamera], scale: float
) -> tuple[ColmapCamera, list[str]]:
    """The intrinsics that a camera's images share, after seeing that their poses are one."""
    first = cameras[members[0].camera_id]
    at = -members[0].viewmat[:3, :3].T @ members[0].viewmat[:3, 3]
    farthest, widest = 0.0, 0.0
    for member in members[1:]:
        other = cameras[member.camera_id]
        size = (other.width, other.height) == (first.width, first.height)
        if not size or other.lens != first.lens or not np.allclose(other.K, first.K, rtol=1e-6, atol=1e-6):
            raise CalibrationError(
                "images of one camera have different intrinsics",
                where=f"camera {label}, {member.name}",
                remedy="reconstruct with one camera a folder, or import with --layout flat",
            )
        centre = -member.viewmat[:3, :3].T @ member.viewmat[:3, 3]
        relative = member.viewmat[:3, :3] @ members[0].viewmat[:3, :3].T
        cosine = float(np.clip((np.trace(relative) - 1) / 2, -1, 1))
        farthest = max(farthest, scale * float(np.linalg.norm(centre - at)))
        widest = max(widest, float(np.degrees(np.arccos(cosine))))
    if farthest > SAME_PLACE or widest > SAME_TURN:
        raise CalibrationError(
            "a camera of a session stands still, and this one moves",
            where=f"camera {label}, {len(members)} images",
            expected=f"within {SAME_PLACE} m and {SAME_TURN} degrees",
            found=f"{farthest:.3f} m and {widest:.2f} degrees",
            remedy="--layout flat, if the person stood still; and is the scale right?",
        )
    if len(members) == 1 or (farthest == 0 and widest < 1e-5):
        return first, []
    spread = f"{1000 * farthest:.1f} mm and {widest:.3f} degrees"
    return first, [f"{label}: poses of {len(members)} images differ by up to {spread}; the first is taken"]


def _mask(src: Path, name: str) -> Path | None:
    path = src / "masks" / f"{name}.png"
    return inside(src / "masks", f"{name}.png") if path.is_file() else None
