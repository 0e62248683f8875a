"""What a session's files hold, as one hash: every byte of the files that a run reads, and of no others.

A file is read once: its hash is kept in the user's cache under its size, times of change, inode and device. One that
was changed within `GRANULARITY` of being hashed is not kept, since a later change may show the same times (as in git's
index). What this cannot see: a program that goes on writing through memory that it mapped before, and a file system
whose clock is behind ours. Where the cache can be neither read nor written all is hashed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from simulacra.render.runtime.assets import cache_root
from simulacra.render.runtime.errors import InputError, RunError, UserError

if TYPE_CHECKING:
    from simulacra.recon.session.record import Session

# The coarsest time of change that a file system keeps (FAT), nanoseconds.
GRANULARITY = 2_000_000_000
CACHE_FOLDER = "fingerprints"
# In a folder of work: which files, as they were, it was begun from.
MARK_FILE = ".session"
# Reading waits for the disk, and hashing lets other threads run.
_THREADS = 4

# Size, mtime and ctime in nanoseconds, inode, device, kind. A change cannot leave ctime as it was.
Mark = tuple[int, int, int, int, int, int]
NOT_THERE: Mark = (0, 0, 0, 0, 0, 0)


def recorded_names(session: Session) -> list[str]:
    """The files that a run reads through a session, in order: sources, and masks and depth of the same views.

    Masks and depth are optional, so that only those are named that are there.
    """
    names = {source.file for frame in session.frames for source in frame.sources.values()}
    for camera in session.cameras:
        for part in ("masks",) if camera.depth_scale is None else ("masks", "depth"):
            there = _names_in(session.path(f"{part}/{camera.name}"))
            views = (f"{frame.index:06d}.png" for frame in session.frames if camera.name in frame.sources)
            names |= {f"{part}/{camera.name}/{name}" for name in views if name in there}
    return sorted(names)


def marks(session: Session, names: Iterable[str]) -> dict[str, Mark]:
    """What tells a changed file from an unchanged one without reading it.

    Raises:
        InputError: a file is a link that leads out of the session.
    """
    folders: dict[str, Path] = {}
    found = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        if folder not in folders:
            folders[folder] = session.path(folder)
        path = folders[folder] / last
        try:
            seen = path.lstat()
            if stat.S_ISLNK(seen.st_mode) or last in ("", ".", ".."):
                seen = session.path(name).stat()
            found[name] = _mark(seen)
        except OSError:
            found[name] = NOT_THERE
    return found


def hash_files(session: Session, names: Iterable[str]) -> str:
    """sha256 over names and contents of files of a session; what is no file, or not there, says that.

    Raises:
        InputError: a file leads out of the session, or may not be read.
    """
    seen = marks(session, names)
    cache = _cache_file(session.root)
    known = _read_cache(cache)
    before = time.time_ns()
    unknown = [name for name, mark in seen.items() if _is_file(mark) and known.get(name, ())[:1] != (mark,)]
    with ThreadPoolExecutor(_THREADS) as pool:
        hashed = dict(zip(unknown, pool.map(lambda name: _hash(session.path(name)), unknown), strict=True))
    contents = {name: hashed[name][1] if name in hashed else known.get(name, ("", ""))[1] for name in seen}
    fresh = {name: made for name, made in hashed.items() if max(made[0][1:3]) < before - GRANULARITY}
    if fresh:
        _write_cache(cache, {name: one for name, one in known.items() if name not in hashed} | fresh)
    digest = hashlib.sha256()
    for name in sorted(seen):
        content = contents[name] if _is_file(seen[name]) else "no file"
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


class SessionWatch:
    """Whether a session's files are touched while something reads them, without reading them again."""

    def __init__(self, session: Session) -> None:
        """Looks at a session as it was when it was loaded; its fingerprint has to be taken after this."""
        self._session = session
        self._before = self._look()

    def touched(self) -> list[str]:
        """The files that were changed since, even if they have been put back."""
        now = self._look()
        return sorted(name for name in self._before | now if self._before.get(name) != now.get(name))

    def error(self, touched: list[str]) -> RunError:
        """What says so."""
        return RunError(
            "the session was changed while it was read",
            where=self._session.root / touched[0],
            found=f"{len(touched)} files touched",
            remedy="leave it as it is and run again; what was being computed from it has been removed",
        )

    @property
    def sign(self) -> str:
        """A hash of what was seen at the start."""
        return hashlib.sha256(json.dumps(self._before, sort_keys=True).encode()).hexdigest()

    def _look(self) -> dict[str, Mark]:
        try:
            return marks(self._session, ["session.json", *recorded_names(self._session)])
        except UserError:  # a folder that has become a link out of the session
            return {}


@contextmanager
def watched(watch: SessionWatch | None, work: Path, keep: str) -> Iterator[None]:
    """Around what computes into a folder: what was read of a session that was touched is removed from it.

    What an earlier sitting left there is continued only where no file of the session was touched since.

    Args:
        watch: None watches nothing.
        work: the folder.
        keep: a file in it that stays.

    Raises:
        RunError: the session was touched meanwhile; also in place of an error that this may have caused.
    """
    if watch is None:
        yield
        return
    mark = work / MARK_FILE
    if not mark.is_file() or mark.read_text() != watch.sign:
        _clear(work, keep)
        mark.write_text(watch.sign)
    try:
        yield
    except BaseException as error:
        if touched := watch.touched():
            _clear(work, keep)
            if isinstance(error, Exception):
                raise watch.error(touched) from error
        raise
    if touched := watch.touched():
        _clear(work, keep)
        raise watch.error(touched)
    mark.unlink()


def _clear(folder: Path, keep: str) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != keep:
            path.unlink()


def _mark(seen: os.stat_result) -> Mark:
    kind = stat.S_IFMT(seen.st_mode)
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_dev, kind


def _is_file(mark: Mark) -> bool:
    return stat.S_ISREG(mark[5])


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _hash(path: Path) -> tuple[Mark, str]:
    """What was read, and its sha256. Where it was written to meanwhile it is as if changed now, and so not kept."""
    try:
        # A pipe that took the place of a file is not waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            before = _mark(os.fstat(stream.fileno()))
            if not _is_file(before):
                return before, "no file"
            content = hashlib.file_digest(stream, "sha256").hexdigest()
            after = _mark(os.fstat(stream.fileno()))
    except OSError as error:
        raise InputError(
            "a file of the session cannot be read",
            where=path,
            found=error.strerror,
            remedy="see who may read it",
        ) from error
    return (after if before == after else (after[0], time.time_ns(), *after[2:])), content


# -- the cache -------------------------------------------------------------------------------------

_KNOWN = pydantic.TypeAdapter(dict[str, tuple[Mark, str]])


def _cache_file(root: Path) -> Path | None:
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    try:
        return cache_root() / CACHE_FOLDER / f"{name}.json"
    except RuntimeError:  # nobody's home
        return None


def _read_cache(path: Path | None) -> dict[str, tuple[Mark, str]]:
    try:
        return {} if path is None else _KNOWN.validate_json(path.read_bytes(), strict=True)
    except (OSError, pydantic.ValidationError):
        return {}


def _write_cache(path: Path | None, known: Mapping[str, tuple[Mark, str]]) -> None:
    """Under a name of its own first: two processes never write into one file."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        try:
            with open(handle, "wb") as stream:
                stream.write(_KNOWN.dump_json(dict(known)))
            os.replace(partial, path)
        except OSError:
            os.unlink(partial)
    except OSError:
        return
