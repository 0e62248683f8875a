"""Files of a run: written whole or not at all, the same content as the same bytes, and a disk's errors in words."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.render.runtime.errors import InputError, RunError

# Of a full or protected disk, and of a file where a folder is needed or the other way round.
DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of ours.

    Raises:
        RunError: the file was damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} in place of a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            "a run's own file cannot be read", where=path, found=error, remedy="delete it and run again"
        ) from error
    return content


def write_json(path: Path, content: object) -> None:
    """Writes JSON under a temporary name, then renames it."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 under a temporary name, then renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz under a temporary name, then renames it. The same arrays give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turns a full or read-only disk, or a place that cannot be, into an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EACCES and not _within(error.filename, where):
            raise InputError(
                "a file may not be read", where=error.filename, remedy="change who may read it (chmod)"
            ) from error
        if error.errno in DISK_ERRORS:
            free = shutil.disk_usage(_nearest_existing(where)).free / 2**20
            raise RunError(
                "the output cannot be written",
                where=error.filename or where,
                found=f"{error.strerror}, {free:.0f} MiB free",
                remedy="free some space, or give another --out; earlier results are untouched",
            ) from error
        raise


def _within(name: object, folder: Path) -> bool:
    """Whether a file that the system complains of is one that we write; it does not always name one."""
    return not isinstance(name, str) or Path(name).absolute().is_relative_to(folder.absolute().parent)


def _nearest_existing(path: Path) -> Path:
    return path if path.exists() else _nearest_existing(path.parent)
