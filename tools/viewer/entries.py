"""The runs and captures that are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simulacra.recon.runs.run_folder import RUN_FILE, SESSION_FILE, STAGE_FILE
from simulacra.render.runtime.errors import InputError

# How far below a folder its runs are looked for, and how many are shown.
DEPTH, MOST = 3, 1000


@dataclass(frozen=True)
class Entry:
    """A run or a capture.

    Attributes:
        id: the same as long as it lies in the same place: part of addresses.
        name: unique among those shown together.
    """

    id: str
    path: Path
    kind: Literal["run", "session"]
    name: str


def find_entries(paths: Sequence[Path]) -> tuple[Entry, ...]:
    """The runs and captures that are at these places or below them, in the order of places and names.

    Raises:
        InputError: there is nothing to look at.
    """
    found: dict[Path, Literal["run", "session"]] = {}
    for path in paths:
        found |= dict(_below(path.resolve(), DEPTH))
    if not found:
        raise InputError(
            "there is nothing to look at",
            where=", ".join(map(str, paths)) or "nowhere: no folder was named",
            expected=f"a run ({RUN_FILE}), a session ({SESSION_FILE}), or a folder of them",
            remedy="make a session: simulacra import --help; or a run: simulacra reconstruct SESSION --out RUN",
        )
    places = list(found)[:MOST]
    return tuple(
        Entry(hashlib.sha256(str(place).encode()).hexdigest()[:10], place, found[place], name)
        for place, name in zip(places, _names(places), strict=True)
    )


def _below(path: Path, depth: int) -> Iterator[tuple[Path, Literal["run", "session"]]]:
    if (path / RUN_FILE).is_file() or any(path.glob(f"[!.]*/{STAGE_FILE}")):
        yield path, "run"
    elif (path / SESSION_FILE).is_file():
        yield path, "session"
        return
    if depth and path.is_dir() and not (path / RUN_FILE).is_file():
        try:
            inner = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        except PermissionError:
            return
        for each in inner:
            yield from _below(each, depth - 1)


def _names(places: Sequence[Path]) -> list[str]:
    """The folders' names, with as much of what is around them as tells them apart."""
    for parts in range(1, 20):
        names = ["/".join(place.parts[-parts:]) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]
