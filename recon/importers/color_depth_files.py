"""Which files a recording of color and depth folders consists of, and which of them belong together.

By default pictures of one name, or of one number at the end of their names, belong together. TUM's names are times in
seconds, which no two cameras share: an associations file (`time file time file` a line, or `file file`) says which
belong together, or the largest difference in time does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulacra.recon.importers.finding import say_contents
from simulacra.recon.importers.footage import inside, list_images, match_moments, session_names, visible
from simulacra.recon.importers.foreign_text import read_text
from simulacra.recon.importers.options import Folders
from simulacra.render.runtime.errors import InputError

COLOR_FOLDERS = ("color", "colour", "rgb", "color_map", "colour_map", "image", "images")
DEPTH_FOLDERS = ("depth", "depth_map", "depths")
# Seconds since 1970 or since a start, with a fraction: 1305031102.175304.
STAMP = re.compile(r"\d{1,12}\.\d{1,9}")


@dataclass(frozen=True)
class Recording:
    """What one camera recorded: files by the index of their moment.

    Attributes:
        folder: that its folders and perhaps its calibration lie in.
        times: seconds after the first moment, where they are known.
    """

    folder: Path
    color: Mapping[int, Path]
    depth: Mapping[int, Path]
    mask: Mapping[int, Path]
    times: Mapping[int, float]


def find_recordings(
    src: Path, folders: Folders, matches: Path | float | None
) -> tuple[dict[str, Recording], list[str]]:
    """The recordings of all cameras by the session's names, and what was left out.

    Raises:
        InputError: folders or files missing, or which belong together cannot be told.
    """
    if not src.is_dir():
        raise InputError("a capture is missing", where=src, expected="a folder of color and depth folders")
    found = {name: _Listing.of(owner, folders) for name, owner in _owners(src, folders).items()}
    stamps = [
        path for one in found.values() for path in (*one.color, *one.depth) if STAMP.fullmatch(path.stem)
    ]
    if matches is None and stamps:
        raise InputError(
            "images are named by times: which belong together has to be said",
            where=stamps[0],
            remedy="--matches associations.txt, or the largest difference in seconds: --matches 0.02",
        )
    if matches is None:
        return _match_by_name(found)
    if len(found) > 1 or folders.mask is not None:
        raise InputError("matching by times is for one camera without masks", where=src)
    ((name, listed),) = found.items()
    recording = _match_by_times(src, listed, matches)
    lost = len(listed.color) - len(recording.color)
    notes = (
        [f"{lost} of {len(listed.color)} color images have no depth of their time: left out"] if lost else []
    )
    return {name: recording}, notes


def _match_by_times(src: Path, listed: _Listing, matches: Path | float) -> Recording:
    pairs = (
        _pairs_within(listed, matches)
        if isinstance(matches, float | int)
        else _read_associations(src, inside(src, str(matches)), listed)
    )
    if not pairs:
        raise InputError("no color image has a depth image of its time", where=src, found=f"within {matches}")
    start = pairs[0][0]
    times = {
        i: time - start for i, (time, _, _) in enumerate(pairs) if time is not None and start is not None
    }
    color = {i: color for i, (_, color, _) in enumerate(pairs)}
    depth = {i: depth for i, (_, _, depth) in enumerate(pairs)}
    return Recording(listed.folder, color, depth, {}, times)


# -- folders ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Listing:
    folder: Path
    color: list[Path]
    depth: list[Path]
    mask: list[Path]

    @staticmethod
    def of(owner: Path, folders: Folders) -> _Listing:
        parts = []
        for named, usual, what in (
            (folders.color, COLOR_FOLDERS, "color"),
            (folders.depth, DEPTH_FOLDERS, "depth"),
            (folders.mask, (), "mask"),
        ):
            folder = _folder(owner, named, usual, what)
            if folder is None and what != "mask":
                raise InputError(
                    f"a camera has no {what} folder",
                    where=owner,
                    expected=named or ", ".join(usual),
                    remedy=f"name it: --{what} FOLDER",
                )
            files = list_images(folder) if folder is not None else []
            if folder is not None and not files:
                raise InputError("a folder has no images", where=folder)
            parts.append([inside(owner, path.relative_to(owner).as_posix()) for path in files])
        return _Listing(owner, *parts)


def _owners(src: Path, folders: Folders) -> dict[str, Path]:
    """The folders that hold a camera's color and depth folders each: the capture's own, or several in it."""
    if _folder(src, folders.color, COLOR_FOLDERS, "color") is not None:
        return {"camera": src}
    inner = [path for path in visible(src) if path.is_dir()]
    owners = {p.name: p for p in inner if _folder(p, folders.color, COLOR_FOLDERS, "color") is not None}
    if not owners:
        raise InputError(
            "there are no color images",
            where=src,
            expected=f"a folder {folders.color or ', '.join(COLOR_FOLDERS)}, or one in a folder a camera",
            found=say_contents(src),
            remedy="name it: --color FOLDER",
        )
    return {name: owners[label] for label, name in session_names(owners).items()}


def _folder(owner: Path, named: str | None, usual: Sequence[str], what: str) -> Path | None:
    if named is not None:
        path = inside(owner, named)
        return path if path.is_dir() else None
    found = [path for path in visible(owner) if path.name.lower() in usual and list_images(path)]
    if len(found) > 1:
        raise InputError(
            f"there are several folders that could be the {what} images",
            where=owner,
            found=", ".join(path.name for path in found),
            remedy=f"name it: --{what} FOLDER",
        )
    return found[0] if found else None


# -- what belongs together -------------------------------------------------------------------------


def _match_by_name(found: Mapping[str, _Listing]) -> tuple[dict[str, Recording], list[str]]:
    lists = {
        f"{name}/{kind}": paths
        for name, one in found.items()
        for kind, paths in (("color", one.color), ("depth", one.depth), ("mask", one.mask))
        if paths
    }
    moments = match_moments(lists)
    recordings, notes = {}, []
    for name, one in found.items():
        notes.append(f"{name}: found {len(one.color)} color and {len(one.depth)} depth images")
        color = moments[f"{name}/color"]
        others = {
            kind: {i: path for i, path in moments.get(f"{name}/{kind}", {}).items() if i in color}
            for kind in ("depth", "mask")
        }
        for kind, paths in (("depth", one.depth), ("mask", one.mask)):
            lost, without = len(paths) - len(others[kind]), len(color) - len(others[kind])
            if lost:
                notes.append(f"{name}: {lost} of {len(paths)} {kind} images have no color image: left out")
            if paths and without:
                notes.append(f"{name}: {without} of {len(color)} color images have no {kind}")
        recordings[name] = Recording(one.folder, color, others["depth"], others["mask"], {})
    return recordings, notes


def _pairs_within(listed: _Listing, seconds: float) -> list[tuple[float | None, Path, Path]]:
    """Nearest in time first, each image once, and none further apart than said."""
    for path in (*listed.color, *listed.depth):
        if not re.fullmatch(r"\d{1,12}(\.\d{1,9})?", path.stem):
            raise InputError("an image is not named by its time in seconds", where=path)
    if not (np.isfinite(seconds) and seconds > 0):
        raise InputError("a difference in time must be positive", found=seconds)
    times = [np.array([float(path.stem) for path in paths]) for paths in (listed.color, listed.depth)]
    candidates = []
    for i, time in enumerate(times[0]):
        for j in range(*np.searchsorted(times[1], [time - seconds, time + seconds]).tolist()):
            candidates.append((abs(times[1][j] - time), i, j))
    taken: dict[int, int] = {}
    for _, i, j in sorted(candidates):
        if i not in taken and j not in taken.values():
            taken[i] = j
    return [(float(times[0][i]), listed.color[i], listed.depth[j]) for i, j in sorted(taken.items())]


def _read_associations(src: Path, path: Path, listed: _Listing) -> list[tuple[float | None, Path, Path]]:
    """The pairs of an associations file, in its order of time; either of the two may come first in a line."""
    color = {one.relative_to(src).as_posix(): one for one in listed.color}
    depth = {one.relative_to(src).as_posix(): one for one in listed.depth}
    pairs: list[tuple[float | None, Path, Path]] = []
    for number, line in enumerate(read_text(path, "an associations file").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        files = [word.removeprefix("./") for word in (words[1::2] if len(words) == 4 else words)]
        times = words[::2] if len(words) == 4 else [None, None]
        if len(files) == 2 and files[0] in depth:
            files, times = files[::-1], times[::-1]
        if len(files) != 2 or files[0] not in color or files[1] not in depth:
            raise InputError(
                "a line of an associations file does not name a color and a depth image of the folders",
                where=f"{path}, line {number}",
                found=line[:120],
            )
        try:
            time = float(times[0]) if times[0] is not None else None
        except ValueError as error:
            raise InputError("a time is not a number", where=f"{path}, line {number}", found=error) from error
        if time is not None and not abs(time) < 1e12:
            raise InputError("a time cannot be", where=f"{path}, line {number}", found=time)
        pairs.append((time, color[files[0]], depth[files[1]]))
    if len({one for _, one, _ in pairs}) != len(pairs):
        raise InputError("a color image is there twice in an associations file", where=path)
    return sorted(pairs, key=lambda pair: (pair[0] is None, pair[0] or 0.0))
