"""Files and folders that are there whole or not at all: after an error, a kill, and a loss of power."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# What file systems answer that have nothing to bring to the disk (fuse, pipes).
NOT_NEEDED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is written under a temporary name, brought to the disk, and then renamed to ``path``.

    Where the block fails nothing stays of it. Only what Python writes to the stream is known to be written: libraries
    that open files themselves do not always say that a disk was full, so they are given the stream.

    Raises:
        OSError: the place cannot be written; an earlier file there is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with ExitStack() as otherwise:
        otherwise.callback(_remove, partial)
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            _sync(stream.fileno())
        partial.replace(path)
        otherwise.pop_all()


def sync(path: Path) -> None:
    """Brings a file to the disk, or of a folder the names: of what was made, renamed and removed in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Brings all files and folders below a folder, and the folder, to the disk."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in [*files, ""]:
            sync(Path(root, name))


def replace_folder(work: Path, folder: Path) -> None:
    """Puts a finished folder in the place of an earlier one, which is back there where that fails.

    The order on the disk: the content of ``work``, then the two renames, which a journalling file system keeps in
    their order. After a loss of power the earlier folder or the new one is there, at the latest by `restore_folder`.

    Raises:
        OSError: it cannot be; the earlier folder is as it was.
    """
    old = _aside(folder)
    restore_folder(folder)
    sync_tree(work)
    if folder.exists():
        folder.rename(old)
    try:
        work.rename(folder)
    except OSError:
        restore_folder(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Takes back what a process began that was stopped between the two renames of `replace_folder`."""
    old = _aside(folder)
    if old.exists():
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def _remove(partial: Path) -> None:
    """Of several errors the first counts."""
    with suppress(OSError):
        partial.unlink(missing_ok=True)


def _aside(folder: Path) -> Path:
    """Where an earlier folder waits while another takes its place."""
    return folder.with_name(f".{folder.name}.old")


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_NEEDED:
            raise
