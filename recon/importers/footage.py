"""What the cameras of a capture recorded: videos or picture files, which of them belong to one moment, and their sizes.

Files are looked at whole when they are imported, so that a damaged one is found here and not in use. They have to lie
in the folder that they are looked for in, also through links: a calibration cannot name what is elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.building import at_rate, copy_file, new_session_folder, write_session
from simulacra.recon.importers.film_moments import count_notes, film_moments
from simulacra.recon.importers.options import Media
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Frame, Session, SessionCamera, Source, load_session
from simulacra.recon.session.video import probe_video
from simulacra.render.image import read_image, read_mask, read_uint16, write_image
from simulacra.render.runtime.errors import CalibrationError, InputError

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".m4v")
# What a session can hold.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
# Encoders pad or crop to whole macroblocks (1080 <-> 1088, 0.7 %); anything beyond is another recording.
SIZE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Footage:
    """What was recorded.

    Attributes:
        sizes: width and height of each camera's pictures.
        frames: the session's frames, whose sources are the keys of ``files``.
        files: for each file of the session (relative), the file that it is linked to or copied from.
        mask_label: what is the person in masks that are of labels.
    """

    sizes: Mapping[str, tuple[int, int]]
    frames: tuple[Frame, ...]
    files: Mapping[str, Path]
    notes: tuple[str, ...] = field(default=())
    mask_label: int | None = None


def find_footage(src: Path, names: Mapping[str, str], media: Media | None) -> Footage:
    """``videos/CAM.mp4``, or ``images/CAM/FRAME.jpg``, or one ``images/CAM.jpg`` for each camera.

    Args:
        names: of the session's cameras, by what the capture calls them.
        media: which of the two; needed where both are there.

    Raises:
        InputError: none, both and ``media`` not given, a camera without, or a file that cannot be read.
    """
    there: list[Media] = [kind for kind in ("images", "videos") if (src / kind).is_dir()]
    if media is None and len(there) != 1:
        raise InputError(
            "a capture has both images and videos" if there else "a capture has neither images nor videos",
            where=src,
            expected="images/CAM/FRAME.jpg or videos/CAM.mp4",
            remedy="say which: --media images, or --media videos" if there else None,
        )
    if (media or there[0]) == "videos":
        return video_footage({name: find_video(src / "videos", label) for label, name in names.items()})
    images = {name: _camera_images(src / "images", label) for label, name in names.items()}
    return image_footage(match_moments(images))


def find_video(folder: Path, name: str) -> Path:
    """The one video of that name.

    Raises:
        InputError: none, or several.
    """
    found = [path for ending in VIDEO_ENDINGS if (path := folder / f"{name}{ending}").is_file()]
    if len(found) != 1:
        raise InputError(
            "a camera has several videos" if found else "a camera's video is missing",
            where=folder / f"{name}.mp4",
            found=", ".join(path.name for path in found) or None,
        )
    return inside(folder, found[0].name)


def video_footage(videos: Mapping[str, Path]) -> Footage:
    """Videos that were begun together, paired by their time stamps (see `film_moments`).

    Raises:
        InputError: a video cannot be read, or has no stamps beside others of different rates.
    """
    facts = {name: probe_video(path) for name, path in track(videos.items(), "reading videos", len(videos))}
    targets = {name: f"videos/{name}{path.suffix.lower()}" for name, path in videos.items()}
    moments, notes = film_moments(facts, videos)
    frames = tuple(
        Frame(m.index, {n: Source(targets[n], k, facts[n].times[k]) for n, k in m.numbers.items()})
        for m in moments
    )
    return Footage(
        {name: (one.width, one.height) for name, one in facts.items()},
        frames,
        {targets[name]: path for name, path in videos.items()},
        (*count_notes(facts), *notes),
    )


def image_footage(
    images: Mapping[str, Mapping[int, Path]], times: Mapping[int, float] | None = None
) -> Footage:
    """Picture files of each camera by the moment's index; with the moments' times, where they are known.

    Raises:
        InputError: unreadable, or of another size than the first of their camera.
    """
    sizes: dict[str, tuple[int, int]] = {}
    files: dict[str, Path] = {}
    sources: dict[int, dict[str, Source]] = {}
    pairs = [(name, index, path) for name, found in images.items() for index, path in sorted(found.items())]
    for name, index, path in track(pairs, "reading images", len(pairs)):
        height, width = read_image(path).shape[:2]
        check_same_size(path, (width, height), sizes.setdefault(name, (width, height)))
        target = f"images/{name}/{index:06d}{path.suffix.lower()}"
        files[target] = path
        sources.setdefault(index, {})[name] = Source(target, None, (times or {}).get(index))
    frames = tuple(Frame(index, sources[index]) for index in sorted(sources))
    missed = {name: len(frames) - len(found) for name, found in images.items()}
    notes = tuple(f"{name} missed {n} of {len(frames)} frames" for name, n in missed.items() if n)
    return Footage(sizes, frames, files, notes)


def with_masks(footage: Footage, masks: Mapping[tuple[str, int], Path], label: int | None = None) -> Footage:
    """With masks of the person by camera and frame, which must be PNG files of the images' sizes.

    Args:
        label: the person's value in masks that are of labels.
    """
    footage = replace(footage, mask_label=label)
    return _with_pictures(footage, masks, "masks", partial(read_mask, label=label))


def with_depth(footage: Footage, depth: Mapping[tuple[str, int], Path]) -> Footage:
    """With depth by camera and frame, which must be 16 bit PNG files of the images' sizes."""
    return _with_pictures(footage, depth, "depth", read_uint16)


def _with_pictures(
    footage: Footage,
    pictures: Mapping[tuple[str, int], Path],
    folder: str,
    read: Callable[[Path], np.ndarray],
) -> Footage:
    files = dict(footage.files)
    for (name, index), path in pictures.items():
        if path.suffix.lower() != ".png":
            raise InputError("a mask or depth image is not a PNG file", where=path)
        height, width = read(path).shape
        check_same_size(path, (width, height), footage.sizes[name])
        files[f"{folder}/{name}/{index:06d}.png"] = path
    return replace(footage, files=files)


def copy_files(footage: Footage, folder: Path) -> None:
    """Everything that was recorded, into a session's folder. Masks of labels become black and white."""
    for target, path in footage.files.items():
        if target.startswith("masks/"):
            copy_mask(path, folder / target, footage.mask_label)
        else:
            copy_file(path, folder / target)


def copy_mask(path: Path, target: Path, label: int | None, within: Path | None = None) -> None:
    """A mask as it is; one of labels as black and white.

    Raises:
        InputError: it is not there, or a link that leads out of ``within``.
    """
    copy_file(path, target, within)
    if label is not None:
        target.unlink()  # a link to the capture's own file, maybe
        write_image(target, read_mask(path, label))


def check_same_size(path: Path, found: tuple[int, int], expected: tuple[int, int]) -> None:
    """Width and height.

    Raises:
        InputError: they differ.
    """
    if found != expected:
        raise InputError(
            "an image is not of its camera's size",
            where=path,
            expected=f"{expected[0]}x{expected[1]}",
            found=f"{found[0]}x{found[1]}",
        )


# -- which pictures are of one moment --------------------------------------------------------------


def match_moments(images: Mapping[str, Sequence[Path]]) -> dict[str, dict[int, Path]]:
    """Pictures of one moment have one name in all cameras, or end in one number; moments are counted from 0.

    Raises:
        InputError: several pictures a camera, and neither names nor numbers say which belong together.
    """
    if all(len(paths) == 1 for paths in images.values()):
        return {name: {0: paths[0]} for name, paths in images.items()}
    for key in (lambda path: path.stem, _last_number):
        keys = {name: [key(path) for path in paths] for name, paths in images.items()}
        unique = all(len(set(found)) == len(found) and None not in found for found in keys.values())
        shared = set.intersection(*(set(found) for found in keys.values()))
        if unique and shared:
            moments = sorted({k for found in keys.values() for k in found}, key=natural)
            place = {moment: index for index, moment in enumerate(moments)}
            return {
                name: {place[k]: path for k, path in zip(keys[name], paths)} for name, paths in images.items()
            }
    raise InputError(
        "which images belong to one moment cannot be told from their names",
        where=next(iter(images.values()))[0].parent.parent,
        expected="one name, or one number at the end of the names, in all cameras",
    )


def _last_number(path: Path) -> str | None:
    found = re.findall(r"\d+", path.stem)
    return found[-1].lstrip("0") or "0" if found else None


def natural(name: object) -> tuple[tuple[int, int, str], ...]:
    """Sorts numbers in names in the order of numbers."""
    parts = re.findall(r"\d{1,18}|\D+|\d", str(name))
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def _camera_images(folder: Path, name: str) -> list[Path]:
    one = [path for ending in IMAGE_ENDINGS if (path := folder / f"{name}{ending}").is_file()]
    found = list_images(folder / name) if (folder / name).is_dir() else one
    if not found:
        raise InputError("a camera's images are missing", where=folder / name, expected="FRAME.jpg or .png")
    return [inside(folder, path.relative_to(folder).as_posix()) for path in found]


def list_images(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS and path.is_file())
    return sorted(found, key=lambda path: natural(path.name))


# -- names -----------------------------------------------------------------------------------------


def inside(folder: Path, relative: str) -> Path:
    """A file of the capture that a calibration names.

    Raises:
        InputError: not a name, or one that leads out of the folder, also through links.
    """
    parts = relative.replace("\\", "/").split("/")
    if (
        "\0" in relative
        or any(len(part.encode("utf-8", "replace")) > 255 for part in parts)
        or len(relative) > 3000
    ):
        raise InputError("a calibration names a file that cannot be", where=folder, found=relative[:80])
    try:
        path = (folder / "/".join(parts)).resolve()
        within = path.is_relative_to(folder.resolve())
    except (OSError, RuntimeError, UnicodeEncodeError) as error:  # a loop of links, half a surrogate pair
        raise InputError(
            "a calibration names a file that cannot be", where=folder, found=repr(relative)[:80]
        ) from error
    if not within:
        raise InputError("a file is outside of the capture's folder", where=folder, found=relative[:200])
    return folder / "/".join(parts)


def session_names(labels: Iterable[str]) -> dict[str, str]:
    """Names that a session's cameras may have (letters, digits, ``_ . -``) for labels of any text, all different."""
    names: dict[str, str] = {}
    for label in labels:
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", label)[:80]
        plain = plain if re.match(r"[A-Za-z0-9]", plain) else f"cam{plain}"
        unique, count = plain, 2
        while unique.lower() in {name.lower() for name in names.values()}:
            unique, count = f"{plain}-{count}", count + 1
        names[label] = unique
    return names


# -- the session -----------------------------------------------------------------------------------


def check_calibrated_size(
    name: str, calibrated: tuple[int, int], found: tuple[int, int], where: object, tolerance: float = 0.0
) -> list[str]:
    """Width and height of the calibration and of the recording; a note where they are not quite the same.

    Raises:
        CalibrationError: one of them differs by more than a share of ``tolerance``.
    """
    if calibrated == found:
        return []
    expected, actual = "x".join(map(str, calibrated)), "x".join(map(str, found))
    if max(abs(a / b - 1) for a, b in zip(found, calibrated)) > tolerance:
        raise CalibrationError(
            "a calibration is of another image size than the recording",
            where=f"{where}, camera {name}",
            expected=expected,
            found=actual,
            remedy="calibrate at the size of the recording",
        )
    return [f"{name}: calibrated at {expected}, its video is {actual}; K is taken as it is"]


def make_session(
    session: Path,
    cameras: Sequence[SessionCamera],
    footage: Footage,
    *,
    importer: str,
    arguments: Mapping[str, Any],
    notes: Sequence[str],
    T_world_source: Float[np.ndarray, "4 4"],
    source: Path,
    fps: float | None = None,
) -> Session:
    """Writes a session of calibrated cameras and what they recorded; it appears whole or not at all.

    Raises:
        InputError: ``fps`` is given, and the files carry times.
        RunError: ``session`` exists already, or the disk is full.
    """
    frames = at_rate(footage.frames, fps, source)
    with new_session_folder(session) as work:
        copy_files(footage, work)
        write_session(
            work, cameras, frames, importer=importer, arguments=arguments, notes=[*notes, *footage.notes],
            T_world_source=T_world_source, source=source,
        )  # fmt: skip
    return load_session(session)
