"""What the cameras of a capture recorded: videos or picture files, which of them belong to one moment, and their sizes.

Files are looked at whole when they are imported, so that a damaged one is found here and not in use. They have to lie
in the folder that they are looked for in, also through links: a calibration cannot name what is elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from simulacra.recon.importers.building import at_rate, copy_file, new_session_folder, write_session
from simulacra.recon.importers.depth_grid import resample_depth
from simulacra.recon.importers.film_moments import count_notes, film_moments, stated_rate
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
# Width over height of two grids of one view: 256x192 and 1920x1440 are the same, rounded sizes nearly.
SAME_SHAPE = 0.02


@dataclass(frozen=True)
class Footage:
    """What was recorded.

    Attributes:
        sizes: width and height of each camera's pictures.
        frames: the session's frames, whose sources are the keys of ``files``.
        files: for each file of the session (relative), the file that it is linked to or copied from.
        mask_label: what is the person in masks that are of labels.
        resampled: files of depth on a smaller grid, and the width and height that they get.
        rate: moments a second where the files' headers say it and their pictures carry no time.
    """

    sizes: Mapping[str, tuple[int, int]]
    frames: tuple[Frame, ...]
    files: Mapping[str, Path]
    notes: tuple[str, ...] = field(default=())
    mask_label: int | None = None
    resampled: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rate: float | None = None


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
        rate=stated_rate(facts),
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
    notes = [f"{name} missed {n} of {len(frames)} frames" for name, n in missed.items() if n]
    gaps = frames[-1].index + 1 - frames[0].index - len(frames) if frames else 0
    if gaps:
        notes.append(f"the numbers of the images leave out {gaps} moments, and so do the session's")
    return Footage(sizes, frames, files, tuple(notes))


def with_masks(footage: Footage, masks: Mapping[tuple[str, int], Path], label: int | None = None) -> Footage:
    """With masks of the person by camera and frame, which must be PNG files of the images' sizes.

    Args:
        label: the person's value in masks that are of labels.
    """
    footage = replace(footage, mask_label=label)
    return _with_pictures(footage, masks, "masks", partial(read_mask, label=label))


def with_depth(footage: Footage, depth: Mapping[tuple[str, int], Path]) -> Footage:
    """With depth by camera and frame, 16 bit PNG files of the images' sizes.

    Depth of the same view on another grid, as phones with LiDAR have it (256x192 under 1920x1440), is resampled.

    Raises:
        InputError: damaged, not 16 bit PNG, or of another shape than its camera's images.
    """
    resampled: dict[str, tuple[int, int]] = {}
    grids: dict[str, tuple[int, int]] = {}
    for (name, index), path in depth.items():
        height, width = read_uint16(path).shape
        size = footage.sizes[name]
        if (width, height) != size and abs(width * size[1] / (height * size[0]) - 1) <= SAME_SHAPE:
            resampled[f"depth/{name}/{index:06d}.png"] = size
            grids[name] = (width, height)
    same = {key: path for key, path in depth.items() if f"depth/{key[0]}/{key[1]:06d}.png" not in resampled}
    notes = [
        f"{name}: depth of {width}x{height} is resampled to the images' {footage.sizes[name][0]}x"
        f"{footage.sizes[name][1]}: it holds no more than it did"
        for name, (width, height) in grids.items()
    ]
    found = _with_pictures(footage, same, "depth", read_uint16)
    others = {f"depth/{n}/{i:06d}.png": path for (n, i), path in depth.items() if (n, i) not in same}
    return replace(
        found, files={**found.files, **others}, resampled=resampled, notes=(*footage.notes, *notes)
    )


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
        if target in footage.resampled:
            found = resample_depth(read_uint16(path).astype(np.float64), *footage.resampled[target])
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(found).astype(np.uint16)).save(folder / target)
        elif target.startswith("masks/"):
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
            remedy="export the pictures, masks and depth of a camera in one size, or leave this one out",
        )


# -- which pictures are of one moment --------------------------------------------------------------


def match_moments(images: Mapping[str, Sequence[Path]]) -> dict[str, dict[int, Path]]:
    """Pictures of one moment have one name in all cameras, or one number at one place of it; moments count from 0.

    Where numbers leave gaps the moments do too, so that a rate holds over them (`_moments_of`).

    Raises:
        InputError: several pictures a camera, and neither names nor numbers say which belong together.
    """
    if all(len(paths) == 1 for paths in images.values()):
        return {name: {0: paths[0]} for name, paths in images.items()}
    most = max(len(re.findall(r"\d+", path.stem)) for paths in images.values() for path in paths)
    places = [-1, *range(min(most, 8))]
    rules: list[Callable[[Path], str | None]] = [lambda path: path.stem]
    rules += [partial(_number_at, place=place) for place in places]
    for key in rules:
        keys = {name: [key(path) for path in paths] for name, paths in images.items()}
        unique = all(len(set(found)) == len(found) and None not in found for found in keys.values())
        shared = set.intersection(*(set(found) for found in keys.values()))
        if unique and shared:
            place_of = _moments_of({k for found in keys.values() for k in found if k is not None})
            return {
                name: {place_of[k]: path for k, path in zip(keys[name], paths) if k is not None}
                for name, paths in images.items()
            }
    raise InputError(
        "which images belong to one moment cannot be told from their names",
        where=next(iter(images.values()))[0].parent.parent,
        expected="one name, or one number at one place of the names, in all cameras",
        found="; ".join(f"{name}: {paths[0].name} and on" for name, paths in list(images.items())[:4])[:300],
    )


def _moments_of(keys: Iterable[str]) -> dict[str, int]:
    """Where each name stands among all: by its number, in steps of the numbers, or by its place where it has none.

    Numbers of which more than half would be missing are no count of pictures: those of times, say.
    """
    ordered = sorted(keys, key=natural)
    numbers = [_number_at(key) for key in ordered]
    starts = {re.sub(r"\d+$", "", key) for key in ordered}
    if len(starts) == 1 and all(number is not None for number in numbers):
        values = [int(number or 0) for number in numbers]
        step = math.gcd(*(value - values[0] for value in values)) or 1
        spread = (values[-1] - values[0]) // step + 1
        if len(set(values)) == len(values) and spread < 2 * len(values):
            return {key: (value - values[0]) // step for key, value in zip(ordered, values)}
    return {key: index for index, key in enumerate(ordered)}


def _number_at(name: Path | str, place: int = -1) -> str | None:
    """One of the numbers in a name, without leading zeros: the last, or the one at a place."""
    found = re.findall(r"\d+", name.stem if isinstance(name, Path) else name)
    return found[place].lstrip("0") or "0" if -len(found) <= place < len(found) else None


def natural(name: object) -> tuple[tuple[int, int, str], ...]:
    """Sorts numbers in names in the order of numbers."""
    parts = re.findall(r"\d{1,18}|\D+|\d", str(name))
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def list_images(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order; none where there is no such folder."""
    found = (path for path in visible(folder) if path.suffix.lower() in IMAGE_ENDINGS and path.is_file())
    return sorted(found, key=lambda path: natural(path.name))


def visible(folder: Path) -> list[Path]:
    """What is in a folder, without what systems hide: ``.DS_Store``, and ``._A.jpg`` beside every file from a Mac."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if not path.name.startswith(".")]


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
            remedy="a video is shown turned, and was not when it was calibrated: take the turn out of the file (ffmpeg "
            "-display_rotation 0 -i IN -c copy OUT), or calibrate with it"
            if calibrated == found[::-1]
            else "calibrate at the size of the recording",
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
    frames = at_rate(footage.frames, fps or footage.rate, source)
    with new_session_folder(session) as work:
        copy_files(footage, work)
        write_session(
            work, cameras, frames, importer=importer, arguments=arguments, notes=[*notes, *footage.notes],
            T_world_source=T_world_source, source=source,
        )  # fmt: skip
    return load_session(session)
