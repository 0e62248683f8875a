"""What a batch is to do: every session with every setting, each a run in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from simulacra.recon.runs.run_folder import SESSION_FILE
from simulacra.render.runtime.errors import InputError

# How deep sessions are looked for.
DEEPEST = 4
Outcome = Literal["done", "failed"]


@dataclass(frozen=True)
class Task:
    """One run to be made.

    Attributes:
        name: of the run, its path below the folder of all of them.
        session: the folder of the session.
        run: the folder of the run.
        config: name or file of the configuration; None for the one that fits the session.
        options: settings over it, as text by dotted name.
        log: the file that takes what the work prints.
    """

    name: str
    session: str
    run: str
    config: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    log: str = ""

    def as_json(self) -> dict[str, Any]:
        """What a worker is sent."""
        return asdict(self)


@dataclass(frozen=True)
class Attempt:
    """How one try of a task ended.

    Attributes:
        seconds: wall time.
        peak_mb: largest resident memory of the worker that was seen, MiB.
        error: in a sentence; "" where there was none.
        details: where, expected, found and what to do; of a bug its traceback.
        heals: whether the same may go well another time: the process was killed, another held the run, a disk that is
            far away did not answer.
    """

    outcome: Outcome
    seconds: float
    peak_mb: float = 0.0
    error: str = ""
    details: str = ""
    heals: bool = False


def find_sessions(place: Path) -> dict[str, Path]:
    """Sessions by name: those in a folder, or those that a text file lists, one path a line, relative to the file.

    Args:
        place: a folder of sessions, one session, or the file.

    Raises:
        InputError: there is none, one that is listed is not there, or two have one name.
    """
    if place.is_file():
        lines = [line.strip() for line in place.read_text("utf-8").splitlines()]
        paths = [place.parent / line for line in lines if line and not line.startswith("#")]
        named = [(path.name, path) for path in paths]
        for path in paths:
            if not (path / SESSION_FILE).is_file():
                raise InputError("a session that is listed is not there", where=place, found=path)
    elif (place / SESSION_FILE).is_file():
        named = [(place.resolve().name, place)]
    else:
        named = [(path.relative_to(place).as_posix(), path) for path in _sessions_below(place, DEEPEST)]
    if not named:
        raise InputError(
            "there is no session",
            where=place,
            expected=f"folders with {SESSION_FILE}, or a file that lists them",
            remedy="make one: simulacra import --help",
        )
    names = [name for name, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError("two sessions have one name", where=place, found=", ".join(twice[:5]))
    return dict(named)


def _sessions_below(folder: Path, depth: int) -> list[Path]:
    found = []
    for path in sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")):
        if (path / SESSION_FILE).is_file():
            found.append(path)
        elif depth > 1 and not path.is_symlink():
            found += _sessions_below(path, depth - 1)
    return found


def plan_tasks(
    sessions: Mapping[str, Path],
    settings: Mapping[str, Mapping[str, str]],
    out: Path,
    config: str | None = None,
) -> list[Task]:
    """Every session with every setting, session by session.

    Args:
        sessions: by name.
        settings: options by the name of the setting; the only one has no folder of its own.
        out: the folder of all runs.
        config: of all of them.
    """
    tasks = []
    for name, session in sessions.items():
        for setting, options in settings.items():
            full = f"{name}/{setting}" if len(settings) > 1 else name
            log = out / ".logs" / f"{full.replace('/', '__')}.log"
            run = out / full
            tasks.append(
                Task(
                    full,
                    str(session.resolve()),
                    str(run.resolve()),
                    config,
                    dict(options),
                    str(log.resolve()),
                )
            )
    return tasks


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a batch's file; a last line that was cut off by a kill is passed over."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def last_outcomes(events: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """How each task ended the last time, by its name."""
    return {event["task"]: event["event"] for event in events if event["event"] in ("done", "failed")}
