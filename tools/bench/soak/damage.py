"""Files damaged, changed, put back, left over, and lost with the power."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .reference import RUN, STAGES

Draws = np.random.Generator
DAMAGES = ("flip", "cut", "empty", "delete", "zeros", "append")
# Names that other programs leave; no part of anything.
FOREIGN = (".DS_Store", "Thumbs.db", "notes.txt")


def files_of(folder: Path) -> list[Path]:
    """All files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damage(path: Path, how: str, draws: Draws) -> None:
    """One of `DAMAGES` done to a file."""
    content = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
        return
    if how == "flip" and content:
        content[int(draws.integers(len(content)))] ^= 1 << int(draws.integers(8))
    elif how == "cut":
        del content[int(draws.integers(max(1, len(content)))) :]
    elif how == "empty":
        content.clear()
    elif how == "zeros":
        content = bytearray(len(content))
    elif how == "append":
        content += b"\0" * 512
    path.write_bytes(content)


def damage_run(folder: Path, draws: Draws) -> str:
    """Damages one or two files of a run, each file as likely as its stage allows; says which and how."""
    said = []
    for _ in range(int(draws.integers(1, 3))):
        places = [p for p in (folder / RUN).iterdir() if p.is_file() or (p.is_dir() and files_of(p))]
        place = sorted(places)[int(draws.integers(len(places)))]
        choices = files_of(place) if place.is_dir() else [place]
        path, how = choices[int(draws.integers(len(choices)))], str(draws.choice(DAMAGES))
        if draws.random() < 0.1 and place.is_dir():
            shutil.rmtree(place)
            path, how = place, "removed"
        else:
            damage(path, how, draws)
        said.append(f"{path.relative_to(folder)} {how}")
    return ", ".join(said)


def session_change(root: Path, draws: Draws) -> tuple[str, Callable[[], None]]:
    """A change of a session, or of a capture, to be made later: what, and how."""
    names = ("session.json", "transforms.json")
    kinds = [p for p in (root / name for name in ("images", "masks", "depth")) if p.is_dir()]
    described = next(root / name for name in names if (root / name).is_file())
    which = int(draws.integers(len(kinds) + 1))
    if which == len(kinds):
        path, how = described, str(draws.choice(["moved", *DAMAGES]))
    else:
        files = files_of(kinds[which])
        path = files[int(draws.integers(len(files)))]
        how = str(draws.choice(["other", "other", *DAMAGES]))
    other = _another_picture(path, draws)
    keeps_times = bool(draws.random() < 0.3)
    seed = int(draws.integers(1 << 32))

    def change() -> None:
        status = path.stat()
        if how == "other":
            path.write_bytes(other)
        elif how == "moved":
            _move_camera(path)
        else:
            damage(path, how, np.random.default_rng(seed))
        if keeps_times and path.exists():
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return f"{path.relative_to(root.parent)} {how}{' in its old time' * keeps_times}", change


def _another_picture(path: Path, draws: Draws) -> bytes:
    others = [each for each in files_of(path.parent.parent) if each.name == path.name and each != path]
    return others[int(draws.integers(len(others)))].read_bytes() if others else path.read_bytes()


def _move_camera(described: Path) -> None:
    """The first camera of a description stands 5 cm further."""
    content = json.loads(described.read_text("utf-8"))
    if "cameras" in content:
        content["cameras"][0]["viewmat"][0][3] += 0.05
    else:
        content["frames"][0]["transform_matrix"][0][3] += 0.05
    described.write_text(json.dumps(content), "utf-8")


def leave_over(folder: Path, draws: Draws) -> str:
    """Puts into a run what killed processes and other programs leave; says what."""
    run = folder / RUN
    run.mkdir(parents=True, exist_ok=True)
    stage = str(draws.choice(STAGES))
    ways: dict[str, Callable[[], object]] = {
        "lock": lambda: (run / ".lock").write_text('{"pid": 1, "host": "elsewhere", "since": "2020"}'),
        "empty lock": lambda: (run / ".lock").write_text(""),
        "partial": lambda: (run / ".run.json.partial").write_text('{"sch'),
        "work": lambda: _fill(run / f".{stage}.work", {"half.npz": b"PK", "work.json": b"{"}),
        "work of another": lambda: _fill(
            run / f".{stage}.work", {"x": b"1", "work.json": b'{"key": "0", "seconds": 1.0}'}
        ),
        "old": lambda: _fill(run / f".{stage}.old", {"stage.json": b"{}"}),
        "again": lambda: _fill(run / ".evaluate.again", {"metrics.json": b"{}"}),
        "foreign": lambda: (run / str(draws.choice(FOREIGN))).write_text("something"),
        "foreign in a stage": lambda: (
            (run / stage).is_dir() and (run / stage / str(draws.choice(FOREIGN))).write_text("something")
        ),
    }
    chosen = [str(name) for name in draws.choice(list(ways), size=int(draws.integers(1, 4)), replace=False)]
    for name in chosen:
        ways[name]()
    return f"{', '.join(chosen)} (stage {stage})"


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def lose_unsynced(
    folder: Path, since_ns: int, operations: tuple[tuple[str, ...], ...], draws: Draws
) -> list[str]:
    """What a power loss may do: of files that were written and not synced, the content is gone, or its end."""
    synced = {int(line[1]): int(line[2]) for line in operations if line[0] == "synced"}
    lost = []
    for path in files_of(folder):
        status = path.stat()
        if status.st_mtime_ns < since_ns or synced.get(status.st_ino, 0) >= status.st_mtime_ns:
            continue
        if draws.random() < 0.6:
            damage(path, str(draws.choice(["empty", "cut", "zeros"])), draws)
            lost.append(path.relative_to(folder).as_posix())
    return lost
