"""One writer for each run: a lock that goes with the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simulacra.recon.runs.files import disk_errors
from simulacra.render.runtime.errors import RunError

LOCK_FILE = ".lock"
# A holder writes its name right after it has the lock.
NAMED_WITHIN_S = 1.0
# What file systems without locks answer.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def write_lock(root: Path) -> Iterator[None]:
    """Holds a run for one writer; its readers need no lock, because records are renamed into place whole.

    The lock is the system's (`flock`): it ends with the process, however that ends, so a lock file that a killed one
    left behind stops nobody. On one machine it holds for all processes. Over NFS, Linux passes it on to the server
    (version 4, or 3 with its lock service), and then it holds for all machines; mounted with `nolock` or
    `local_lock` it holds for one. Where there are no locks at all a line on stderr says so and the work goes on.

    Args:
        root: the folder of the run; it exists.

    Raises:
        RunError: somebody else writes into the run, or it cannot be written.
    """
    with disk_errors(root):
        lock = _acquire(root)
    try:
        yield
    finally:
        # Removed while it is held: whoever has opened it meanwhile sees that it is no longer in its place. One that
        # cannot be removed stops nobody.
        with suppress(OSError):
            (root / LOCK_FILE).unlink(missing_ok=True)
        os.close(lock)


def _acquire(root: Path) -> int:
    """The descriptor of the lock file, locked where that is possible, with the holder's name in it."""
    path = root / LOCK_FILE
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                holder = _describe_holder(path)
                os.close(lock)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise _held(root, holder) from error
                raise
            print(f"note: no locks on this disk: {root} is not kept from a second writer", file=sys.stderr)
        if _is_in_place(lock, path):
            break
        os.close(lock)
    said = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
    try:
        os.ftruncate(lock, 0)
        os.write(lock, json.dumps(said).encode())
    except OSError:
        os.close(lock)
        raise
    return lock


def _is_in_place(lock: int, path: Path) -> bool:
    """Whether the locked file is the one that others would open now."""
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _describe_holder(path: Path) -> str:
    until = time.monotonic() + NAMED_WITHIN_S
    while True:
        try:
            said = json.loads(path.read_text("utf-8"))
            return f"process {said['pid']} on {said['host']}, since {said['since']}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # it has just come or gone
            if time.monotonic() > until:
                return "another process"
            time.sleep(0.02)


def _held(root: Path, holder: str) -> RunError:
    return RunError(
        "another process writes into this run",
        where=root,
        found=holder,
        remedy="wait until it is done, stop it, or give another --out",
    )
