"""Where a command writes, declared by the types of its parameters and looked at before it begins."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from tyro.conf import Positional, arg

from simulacra.render.runtime.errors import RunError

# `place`: a file or a folder, which the command itself decides.
Kind = Literal["file", "folder", "new folder", "place"]


@dataclass(frozen=True)
class Output:
    """The mark of a parameter that names what is written.

    Attributes:
        kind: what is there when the command begins: a new folder is absent or empty.
    """

    kind: Kind


OutFile = Annotated[Path, Output("file")]
OutFolder = Annotated[Path, Output("folder")]
OutPlace = Annotated[Path, Output("place")]
NewFolder = Annotated[Path, Output("new folder")]
NewSession = Annotated[Positional[Path], arg(metavar="SESSION"), Output("new folder")]
OptionalFile = Annotated[Path | None, arg(metavar="PATH"), Output("file")]
OptionalFolder = Annotated[Path | None, arg(metavar="PATH"), Output("folder")]
OptionalNewFolder = Annotated[Path | None, arg(metavar="PATH"), Output("new folder")]


def output_of(hint: object) -> Output | None:
    """The mark in a type, if there is one."""
    return next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Output)), None)


def check_output(out: Path, kind: Kind, option: str = "") -> None:
    """That something can be written there, before anybody waits for what would be.

    Args:
        out: the file or folder.
        kind: what it may be already.
        option: how it is named on the command line; "" for a positional one.

    Raises:
        RunError: a file is in the way, the folder is not empty, or nothing may be written there.
    """
    another = f"give another {option}" if option else "name another place"
    if kind == "file" and out.is_dir():
        raise RunError("a folder has the name of the file", where=out, remedy=f"{another}, a file")
    if kind in ("folder", "new folder") and os.path.lexists(out) and not out.is_dir():
        raise RunError("the output is a file, not a folder", where=out, remedy=f"{another}, a folder")
    if kind == "new folder" and out.is_dir() and _has_something(out):
        raise RunError(
            "there is something already",
            where=out,
            expected="a new or empty folder",
            remedy=f"{another}, or delete that folder if nobody needs it",
        )
    _check_parents(out, another)


def _check_parents(out: Path, another: str) -> None:
    """That the nearest folder that is there may be written, and no file is where one has to be made."""
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if nearest == out.absolute() and nearest.is_file():
        nearest = nearest.parent  # a file is replaced, not written into
    if not nearest.is_dir():
        raise RunError("a file is where a folder has to be", where=nearest, remedy=another)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RunError(
            "nothing can be written there",
            where=nearest,
            found="no permission, or a disk that is read-only",
            remedy=f"{another}, or change who may write there (chmod)",
        )


def _has_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except PermissionError:
        return False  # which is said as such


def marked_outputs(hints: dict[str, object]) -> dict[str, Output]:
    """The parameters that name what is written, and how."""
    found = {name: output_of(hint) for name, hint in hints.items()}
    return {name: mark for name, mark in found.items() if mark is not None}


def is_positional(hint: object) -> bool:
    """Whether a parameter has no option's name on the command line."""
    positional = get_args(Positional[Path])[1]
    return positional in getattr(hint, "__metadata__", ())
