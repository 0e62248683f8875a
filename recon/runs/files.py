"""Files of a run: written whole or not at all, the same content as the same bytes, and a disk's errors in words."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulacra.render.runtime.errors import InputError, RunError, UserError
from simulacra.render.runtime.whole_files import whole_file

if TYPE_CHECKING:
    import numpy as np

# Of a full or protected disk, one that fails or has gone, names that it does not take, and of a file where a folder is
# needed or the other way round. Others (a lost connection, no such process) are no disk's.
DISK_ERRORS = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC EDQUOT EFBIG EROFS EACCES EPERM EIO ENXIO ENODEV ESTALE ETIMEDOUT ENOTCONN EREMOTEIO ENOMEDIUM "
        "EEXIST ENOTEMPTY EBUSY ENOTDIR EISDIR ENOENT ELOOP ENAMETOOLONG EILSEQ EMLINK EMFILE ENFILE ENOLCK"
    ).split()
    if hasattr(errno, name)
)
# Those of them that are never a bug of ours, wherever they come from.
MACHINE_ERRORS = frozenset(
    getattr(errno, name)
    for name in "ENOSPC EDQUOT EROFS EIO ESTALE ENXIO ENODEV EMFILE ENFILE EFBIG ENAMETOOLONG".split()
)
# A run's own JSON: an evaluation of ten thousand views has 10 MB.
MOST_JSON_BYTES = 256 << 20
NOT_ALLOWED = (errno.EACCES, errno.EPERM)
INPUT_REMEDIES = dict.fromkeys(NOT_ALLOWED, "change who may read it (chmod)")
OUTPUT_REMEDIES = (
    dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, or give another --out")
    | dict.fromkeys((*NOT_ALLOWED, errno.EROFS), "change who may read and write there, or give another --out")
    | dict.fromkeys(
        (errno.EIO, errno.ESTALE), "the disk fails or has gone: look at it, or give another --out"
    )
    | {errno.ENAMETOOLONG: "give a shorter name", errno.EMFILE: "allow more open files (ulimit -n)"}
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of ours.

    Raises:
        RunError: the file was damaged.
    """
    try:
        check_file(path)
        if (size := path.stat().st_size) > MOST_JSON_BYTES:
            raise ValueError(f"{size} bytes, of at most {MOST_JSON_BYTES}")
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} in place of a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            "a run's own file cannot be read",
            where=path,
            found=error,
            remedy="`simulacra repair` on the run, or delete it, and run again",
        ) from error
    return content


def check_file(path: Path) -> None:
    """That what is there can be read to an end: a pipe would be waited for, a device has none.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it is no file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a file")


def write_json(path: Path, content: object) -> None:
    """Writes JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8, whole or not at all."""
    with whole_file(path) as stream:
        stream.write(text.encode())


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz, whole or not at all. The same arrays give the same bytes."""
    import numpy as np

    with whole_file(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turns a full, protected or failing disk, or a place that cannot be, into an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise describe_disk_error(error, where) from error


def is_machine_error(error: OSError) -> bool:
    """Whether an error is the machine's, wherever it comes from: one of a disk, or a named file that is not allowed."""
    return error.errno in MACHINE_ERRORS or (error.errno in NOT_ALLOWED and error.filename is not None)


def describe_disk_error(error: OSError, where: Path | None = None) -> UserError:
    """What the system complains of, and what to do.

    Args:
        error: one of `DISK_ERRORS`.
        where: what was being written: a file elsewhere is an input. None where that is not known.
    """
    name = error.filename if isinstance(error.filename, str | os.PathLike) else None
    if where is not None and name is not None and not _within(Path(name), where):
        what = "a file may not be read" if error.errno in NOT_ALLOWED else "a file cannot be read"
        remedy = INPUT_REMEDIES.get(
            error.errno or 0, "look at the disk that it is on, and run the same again"
        )
        return InputError(what, where=name, found=error.strerror, remedy=remedy)
    remedy = OUTPUT_REMEDIES.get(error.errno or 0, "look at that place, or give another --out")
    return RunError(
        "a file cannot be read or written" if where is None else "the output cannot be written",
        where=name or where,
        found=f"{error.strerror}{_free_space(name or where)}",
        remedy=f"{remedy}; earlier results are untouched",
    )


def _within(path: Path, folder: Path) -> bool:
    """Whether a file that the system complains of is one that we write."""
    return path.absolute().is_relative_to(folder.absolute().parent)


def _free_space(path: str | os.PathLike[str] | None) -> str:
    """Of the nearest folder that is there and says so."""
    for place in () if path is None else (Path(path), *Path(path).absolute().parents):
        with suppress(OSError):
            return f", {shutil.disk_usage(place).free / 2**20:.0f} MiB free"
    return ""
