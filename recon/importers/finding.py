"""Where a capture's footage is: the one finder of all importers, as forgiving as people's folders are untidy.

Names of folders and endings are taken in any case, footage in sub-folders is found, what systems leave (``.DS_Store``,
``._cam1.mp4``, ``Thumbs.db``) is not seen. A file belongs to a camera by the first of these that says so:

1. its name is one of the camera's names, to the letter;
2. the same without regard to case, signs between letters, leading zeros, and the ``int_`` and ``_img`` of calibration
   folders;
3. it lies alone in a folder of that name (``videos/cam1/GX010042.MP4``);
4. the name is in the file's as a word, or as a number, of its own (``Miqus_1_23511.avi`` of camera 23511).

A camera without footage costs that camera, a file without a camera that file; where both are left over nothing says
that they do not belong together, and it is an error. What was found is said in every case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from simulacra.recon.importers.footage import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    Footage,
    image_footage,
    inside,
    list_images,
    match_moments,
    natural,
    video_footage,
    visible,
)
from simulacra.recon.importers.options import Media
from simulacra.render.runtime.errors import InputError

Key = TypeVar("Key")
# Sub-folders in which footage is looked for: videos/cam1/DCIM/100GOPRO/GX010042.MP4.
DEEPEST = 4
# Names that a message lists.
LISTED = 8
MEDIA_FOLDERS: dict[Media, tuple[str, ...]] = {
    # Of FreeMoCap those that are cut to the same moments, and not the ones that they were cut out of.
    "videos": ("synchronized_videos", "videos", "video"),
    "images": ("images", "image", "imgs"),
}


@dataclass(frozen=True)
class CameraFiles:
    """What was found of each camera.

    Attributes:
        files: a video, or a folder of pictures or a single one, by the calibration's label; cameras without are not in
            it.
        notes: what was found, and what was left out.
    """

    files: dict[str, Path]
    notes: tuple[str, ...]


def find_footage(src: Path, names: Mapping[str, str], media: Media | None) -> Footage:
    """``videos/CAM.mp4``, or ``images/CAM/FRAME.jpg``, or one ``images/CAM.jpg`` for each camera that has any.

    Args:
        src: the capture.
        names: of the session's cameras, by what the capture calls them.
        media: which of the two; needed where both are there.

    Raises:
        InputError: none, both and ``media`` not given, no camera with any, or a file that cannot be read.
    """
    there: list[Media] = [
        kind
        for kind, usual in MEDIA_FOLDERS.items()
        if (folder := folder_named(src, usual)) and holds(folder, kind)
    ]
    if not there and list_videos(src):
        there = ["videos"]
    if media is None and len(there) != 1:
        raise InputError(
            "a capture has both images and videos" if there else "a capture has neither images nor videos",
            where=src,
            expected="images/CAM/FRAME.jpg or videos/CAM.mp4",
            found=None if there else say_contents(src),
            remedy="say which: --media images, or --media videos" if there else None,
        )
    labels = {label: (label,) for label in names}
    if (media or there[0]) == "videos":
        found = find_videos(src, labels)
        return _noted(video_footage({names[label]: path for label, path in found.files.items()}), found)
    found = find_camera_images(folder_named(src, MEDIA_FOLDERS["images"]) or src / "images", labels)
    pictures = {names[label]: _pictures_of(path) for label, path in found.files.items()}
    return _noted(image_footage(match_moments(pictures)), found)


def _noted(footage: Footage, found: CameraFiles) -> Footage:
    return Footage(footage.sizes, footage.frames, footage.files, (*found.notes, *footage.notes))


def find_videos(
    src: Path, cameras: Mapping[str, Sequence[str]], *, remedy: str | None = None, strict: bool = True
) -> CameraFiles:
    """The video of each camera, in ``videos`` or where else they lie in the capture.

    Args:
        src: the capture.
        cameras: all names that the calibration has for a camera, by its label.
        remedy: what else can be done where names do not say which is whose.
        strict: cameras and videos that are both left over are an error.

    Raises:
        InputError: no video, none of a camera, or names that do not say which is whose.
    """
    folder = video_folder(src)
    videos = list_videos(folder)
    if not videos:
        raise InputError(
            "there is no video",
            where=folder,
            expected=f"videos/NAME with {', '.join(VIDEO_ENDINGS)}",
            found=say_contents(folder),
        )
    if len(match_files(videos, cameras, folder)) < len(cameras):
        videos = list_videos(folder, deep=True)
    return assign_files(src, folder, videos, cameras, "videos", remedy, strict)


def video_folder(src: Path) -> Path:
    """``videos``, by any of its names, where there are some in it; or the capture's own folder."""
    named = folder_named(src, MEDIA_FOLDERS["videos"])
    return named if named is not None and holds(named, "videos") else src


def find_camera_images(folder: Path, cameras: Mapping[str, Sequence[str]]) -> CameraFiles:
    """The folder of pictures of each camera, or its single picture.

    Raises:
        InputError: none of a camera, or names that do not say which is whose.
    """
    inner = [path for path in visible(folder) if path.is_dir() and _pictures_of(path)]
    files = inner or list_images(folder)
    if not files:
        raise InputError(
            "there are no images", where=folder, expected="CAM/FRAME.jpg or .png", found=say_contents(folder)
        )
    ordered = sorted(files, key=lambda path: natural(path.name))
    return assign_files(folder, folder, ordered, cameras, "images", None, True)


def _pictures_of(path: Path) -> list[Path]:
    """A camera's pictures: those of its folder, or of the only one in it that has some."""
    if path.is_file():
        return [inside(path.parent, path.name)]
    inner: Path = path
    for _ in range(DEEPEST):
        if found := list_images(inner):
            # Within the camera's folder, so that no link in it leads elsewhere.
            return [inside(path, one.relative_to(path).as_posix()) for one in found]
        folders = [one for one in visible(inner) if one.is_dir()]
        if len(folders) != 1:
            return []
        inner = folders[0]
    return []


# -- which file is whose ---------------------------------------------------------------------------


def assign_files(
    root: Path,
    folder: Path,
    files: Sequence[Path],
    cameras: Mapping[str, Sequence[str]],
    what: Media,
    remedy: str | None,
    strict: bool,
) -> CameraFiles:
    """Each camera's file by the rules of this module, and in words what was found.

    Args:
        root: the capture, which no file may lie out of, also through links.
        folder: where they were looked for.
        files: in it or below it.
        cameras: all names of a camera, by its label.
        what: they are.
        remedy: what else can be done where names do not say which is whose.
        strict: cameras and files that are both left over are an error.

    Raises:
        InputError: none of a camera, or names that do not say which is whose.
    """
    found = match_files(files, cameras, folder)
    without = [label for label in cameras if label not in found]
    taken = set(found.values())
    spare = [path for path in files if path not in taken]
    if not found or (strict and without and spare):
        raise InputError(
            f"the names of {what} and cameras do not say which belong together",
            where=folder,
            expected=_listed(_called(label, cameras[label]) for label in (without or cameras)),
            found=_listed(_relative(path, folder) for path in (spare or files)),
            remedy=remedy or "name them alike",
        )
    counted = f"found {what} of {len(found)} of {len(cameras)} cameras in {folder.name}"
    notes = [f"{counted}: {_listed(_relative(path, folder) for path in found.values())}"]
    one = "video" if what == "videos" else what
    notes += [f"{label} is calibrated and has no {one}: left out" for label in without]
    notes += [f"{_relative(path, folder)} has no calibration: left out" for path in spare]
    ordered = {label: found[label] for label in cameras if label in found}
    return CameraFiles({k: inside(root, _relative(path, root)) for k, path in ordered.items()}, tuple(notes))


def match_files(
    files: Sequence[Path], cameras: Mapping[str, Sequence[str]], folder: Path, rules: int = 4
) -> dict[str, Path]:
    """The file of each camera that has one.

    Args:
        files: in ``folder`` or below it.
        cameras: all names of a camera, by its label.
        folder: where they were looked for.
        rules: how many of the module's rules are used.

    Raises:
        InputError: several files of a camera, or a file of several cameras.
    """
    owners: dict[Path, str] = {}
    for rule in (_by_letter, _by_plain_name, _by_folder, _by_word)[:rules]:
        fits = rule([path for path in files if path not in owners], folder)
        done = set(owners.values())
        for label, names in cameras.items():
            paths = (
                [] if label in done else list(dict.fromkeys(path for name in names for path in fits(name)))
            )
            if len(paths) > 1:
                raise InputError(
                    f"camera {label} has more than one file",
                    where=folder,
                    found=_listed(_relative(path, folder) for path in paths),
                    remedy="leave one of them",
                )
            for path in paths:
                if path in owners:
                    raise InputError(
                        "one file could be two cameras'",
                        where=path,
                        found=f"{owners[path]}, {label}",
                        remedy="name them apart",
                    )
                owners[path] = label
    return {label: path for path, label in owners.items()}


# What of some files fits a camera's name.
Fits = Callable[[str], Sequence[Path]]


def _by_letter(files: Sequence[Path], folder: Path) -> Fits:
    index = _index((key, path) for path in files for key in {path.stem, path.name})
    return lambda name: index.get(name, ())


def _by_plain_name(files: Sequence[Path], folder: Path) -> Fits:
    index = _index((plain_name(path.stem), path) for path in files)
    return lambda name: index.get(plain_name(name), ())


def _by_folder(files: Sequence[Path], folder: Path) -> Fits:
    """Files that lie alone in a folder below the one that is looked in, by that folder's name."""
    inner = _index(
        (parent, path) for path in files for parent in path.relative_to(folder).parents if parent.name
    )
    index = _index((plain_name(parent.name), paths[0]) for parent, paths in inner.items() if len(paths) == 1)
    return lambda name: index.get(plain_name(name), ())


def _by_word(files: Sequence[Path], folder: Path) -> Fits:
    return lambda name: [path for path in files if _is_word_in(name.lower(), path.stem.lower())]


def _index(pairs: Iterable[tuple[Key, Path]]) -> dict[Key, list[Path]]:
    found: dict[Key, list[Path]] = {}
    for key, path in pairs:
        found.setdefault(key, []).append(path)
    return found


def _is_word_in(name: str, text: str) -> bool:
    if re.search(r"\d", name):
        return re.search(rf"(?<!\d){re.escape(name)}(?!\d)", text) is not None
    return name in re.split(r"[^a-z0-9]+", text)


def plain_name(name: str) -> str:
    """A camera's name without what different programs put around and between its letters."""
    plain = re.sub(r"[^a-z0-9]", "", re.sub(r"^int_|_(img|cam|video)$", "", name.lower()))
    return re.sub(r"0+(?=\d)", "", plain)


# -- folders ---------------------------------------------------------------------------------------


def folder_named(src: Path, names: Iterable[str]) -> Path | None:
    """The folder of one of these names in any case; the earlier name goes first."""
    inner = [path for path in visible(src) if path.is_dir()] if src.is_dir() else []
    for name in names:
        found = sorted(
            (path for path in inner if path.name.lower() == name.lower()), key=lambda p: p.name != name
        )
        if found:
            return found[0]
    return None


def file_named(folder: Path, name: str, endings: Sequence[str]) -> Path | None:
    """The file of a name with one of these endings, the ending in any case; the earlier ending goes first."""
    found = {path.suffix.lower(): path for path in visible(folder) if path.stem == name and path.is_file()}
    return next((found[ending] for ending in endings if ending in found), None)


def holds(folder: Path, kind: Media) -> bool:
    """Whether there is any such footage in a folder or below."""
    endings = VIDEO_ENDINGS if kind == "videos" else IMAGE_ENDINGS
    return any(path.suffix.lower() in endings for path in files_below(folder))


def list_videos(folder: Path, *, deep: bool = False) -> list[Path]:
    """The videos of a folder in natural order; those of the folders below it too if asked, or where it has none."""
    found = [path for path in files_below(folder) if path.suffix.lower() in VIDEO_ENDINGS]
    direct = [path for path in found if path.parent == folder and not deep]
    return sorted(direct or found, key=lambda path: natural(_relative(path, folder)))


def files_below(folder: Path, deepest: int = DEEPEST) -> list[Path]:
    """Files that are not hidden, in a folder and so many levels below it; links to folders are not followed."""
    if not folder.is_dir():
        return []
    found = []
    for path in visible(folder):
        if path.is_file():
            found.append(path)
        elif deepest > 0 and path.is_dir() and not path.is_symlink():
            found += files_below(path, deepest - 1)
    return found


def say_contents(folder: Path) -> str:
    """What is in a folder, counted by endings."""
    if not folder.is_dir():
        return "no such folder"
    counts: dict[str, int] = {}
    for path in files_below(folder):
        ending = path.suffix.lower() or "without an ending"
        counts[ending] = counts.get(ending, 0) + 1
    most = sorted(counts.items(), key=lambda pair: -pair[1])[:LISTED]
    return ", ".join(f"{count} {ending}" for ending, count in most) or "nothing"


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _called(label: str, names: Sequence[str]) -> str:
    others = [name for name in names if name != label]
    return f"{label} ({', '.join(others)})" if others else label


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - LISTED} more" if len(every) > LISTED else ""
    return (", ".join(every[:LISTED]) + more)[:400]
