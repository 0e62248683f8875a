"""What a command reads, declared by the types of its parameters; of what is not there it is said what was meant."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from simulacra.render.runtime.errors import InputError, UserError

Kind = Literal["capture", "session", "run", "file"]
# The file that makes a folder one.
MARKS = {"session": "session.json", "run": "run.json"}
# Entries of a folder that are looked through, and names that a message has.
MOST_LOOKED, LISTED = 1000, 8


@dataclass(frozen=True)
class Input:
    """The mark of a parameter that names what is read.

    Attributes:
        kind: what it is.
    """

    kind: Kind


OptionalInput = Annotated[Path | None, arg(metavar="PATH"), Input("file")]


def input_of(hint: object) -> Input | None:
    """The mark in a type, if there is one."""
    return next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Input)), None)


def check_input(path: Path, kind: Kind, words: Sequence[str]) -> None:
    """That what is read is there and of its kind, as far as names of files say it.

    Args:
        path: as it was named on the command line.
        kind: what it should be.
        words: of the command line, which is said again with what was probably meant.

    Raises:
        InputError: it is not there, or it is of another kind, or it lies a folder above or below.
    """
    if not path.exists():
        raise no_such(path, kind, words)
    if kind in ("capture", "file") or (path / MARKS[kind]).is_file():
        return
    _refuse_folder_of_some(path, kind, words)
    if kind == "session" and (path / MARKS["run"]).is_file():
        session = _session_of(path)
        remedy = "give the session that it was made of" if session is None else _again(words, path, session)
        raise InputError("this is a run, and not a session", where=path, remedy=remedy)
    if kind == "session":
        command = shlex.join(["simulacra", "import", str(path), f"{str(path).rstrip('/')}-session"])
        raise InputError(
            "there is no session", where=path, expected=f"a folder with {MARKS[kind]}",
            remedy=f"if it is a capture, make one of it: {command}",
        )  # fmt: skip
    if (path / MARKS["session"]).is_file():
        command = shlex.join(["simulacra", "reconstruct", str(path), "--out", f"{str(path).rstrip('/')}-run"])
        raise InputError(
            "this is a session, and not a run", where=path, remedy=f"make a run of it: {command}"
        )


def _refuse_folder_of_some(path: Path, kind: Kind, words: Sequence[str]) -> None:
    """Refuses a folder in which there are some, or that is in one.

    Raises:
        InputError: names it, or them.
    """
    mark = MARKS[kind]
    inner = [each.parent for each in sorted(path.glob(f"[!.]*/{mark}"))] if path.is_dir() else []
    above = path.absolute().parent
    if len(inner) > 1:
        names = ", ".join(each.name for each in inner[:LISTED]) + (", ..." if len(inner) > LISTED else "")
        raise InputError(
            f"this is not a {kind}, there are {len(inner)} in it", where=path, found=names,
            remedy=f"name one of them: {_again(words, path, inner[0])}",
        )  # fmt: skip
    if inner or (above / mark).is_file():
        near, where = (inner[0], "in it") if inner else (above, "above it")
        remedy = _again(words, path, near)
        raise InputError(f"this is not a {kind}, there is one {where}", where=path, found=near, remedy=remedy)


def no_such(path: Path, kind: Kind, words: Sequence[str]) -> UserError:
    """The error of something that is not there, with the path that is called nearly so."""
    near = near_path(path)
    there = next(parent for parent in path.absolute().parents if parent.exists())
    return InputError(
        f"there is no such {kind}" if kind in ("capture", "file") else f"there is no {kind}",
        where=path,
        found=f"{there} is there, and nothing of that name in it",
        remedy=f"perhaps: {_again(words, path, near)}" if near is not None else None,
    )


def near_path(path: Path) -> Path | None:
    """The path that is there and differs from one that is not in a mistyped name; None where there is none."""
    parts = path.parts
    for k in range(len(parts)):
        above = Path(*parts[:k]) if k else Path()
        if (above / parts[k]).exists() or not above.is_dir():
            continue
        near = _near_name(parts[k], above)
        found = None if near is None else above.joinpath(near, *parts[k + 1 :])
        if found is not None and found.exists():
            return found
        # A folder that was left out, or one too many.
        rest = Path(*parts[k + 1 :])
        return above / rest if parts[k + 1 :] and (above / rest).exists() else None
    return None


def _near_name(name: str, folder: Path) -> str | None:
    try:
        names = sorted(each.name for each, _ in zip(folder.iterdir(), range(MOST_LOOKED)))
    except OSError:
        return None
    plain = {each.lower(): each for each in names if not each.startswith(".") or name.startswith(".")}
    found = difflib.get_close_matches(name.lower(), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def _session_of(run: Path) -> Path | None:
    try:
        said = json.loads((run / MARKS["run"]).read_text("utf-8"))["session"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Path(said) if isinstance(said, str) and Path(said).is_dir() else None


def _again(words: Sequence[str], path: Path, meant: Path) -> str:
    """The same command with another path."""
    return shlex.join(["simulacra", *(str(meant) if Path(word) == path else word for word in words)])
