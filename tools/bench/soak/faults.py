"""What a process does to files, counted, and disturbed at one of those operations.

The layer lives in the one process that installs it, for the rest of its life. It sees what Python code does: opening,
renaming, making and removing by the interpreter's audit events, writing and syncing by its own stand-ins for `open` and
`os.fsync`. What libraries write by themselves (pictures, videos) only a full disk or a limit of size can disturb.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

CHANGES = frozenset({"write", "create", "rename", "make", "remove", "sync"})
ALL = CHANGES | {"read"}
AUDITED = {
    "open": "read",
    "os.rename": "rename",
    "os.mkdir": "make",
    "os.remove": "remove",
    "os.rmdir": "remove",
    "shutil.rmtree": "remove",
}
# What disks answer; the first are the ones of a full or protected disk, and stay.
LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
ERRNOS = (*LASTING, errno.EIO, errno.EACCES)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Disturbance:
    """Something that happens at an operation.

    Attributes:
        at: the number of the operation, from 1; the first of the kinds from there on.
        do: what happens before it. What it returns is called in the operation's place, of a write after its half.
        kinds: of operations that count for this.
        lasting: it happens again at every later one.
    """

    at: int
    do: Callable[[], Callable[[], None] | None]
    kinds: frozenset[str] = ALL
    lasting: bool = False


def fail(number: int, torn: bool = False) -> Callable[[], Callable[[], None] | None]:
    """The operation fails with an errno; torn: a write after its half."""

    def raise_it() -> NoReturn:
        raise OSError(number, os.strerror(number))

    return (lambda: raise_it) if torn else raise_it


def send(number: int, torn: bool = False, twice: bool = False) -> Callable[[], Callable[[], None] | None]:
    """The process gets a signal; torn: in the middle of a write; twice: again after a twentieth of a second."""

    def kill() -> None:
        if twice:
            threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        os.kill(os.getpid(), number)

    return (lambda: kill) if torn else kill


class FaultLayer:
    """Counts operations under some folders and disturbs them."""

    def __init__(self, roots: Sequence[Path], journal: Path, disturbances: Sequence[Disturbance]) -> None:
        self.roots = tuple(f"{root.absolute()}/" for root in roots)
        self.pending = list(disturbances)
        self.count = 0
        self.busy = False
        self.lock = threading.RLock()
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.open, self.fsync = builtins.open, os.fsync

    def install(self) -> None:
        """From now on, and for the rest of the process."""
        builtins.open = io.open = self._open
        os.fsync = self._fsync  # type: ignore[assignment]
        sys.addaudithook(self._audit)

    def step(self, kind: str, path: str) -> Callable[[], None] | None:
        """One operation begins."""
        with self.lock:
            if self.busy:
                return None
            self.count += 1
            os.write(self.journal, f"{kind}\t{path}\n".encode(errors="replace"))
            for each in self.pending:
                if self.count >= each.at and kind in each.kinds:
                    return self._disturb(each)
        return None

    def _disturb(self, one: Disturbance) -> Callable[[], None] | None:
        os.write(self.journal, b"disturbed\t\n")
        if not one.lasting:
            self.pending.remove(one)
        self.busy = True
        try:
            return one.do()
        finally:
            self.busy = False

    def _inside(self, path: Any) -> str | None:
        try:
            name = os.path.abspath(os.fsdecode(path))
        except (TypeError, ValueError):  # a descriptor; a name with a null
            return None
        return name if f"{name}/".startswith(self.roots) else None

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in AUDITED or self.busy:
            return
        path = self._inside(arguments[0])
        if path is None:
            return
        kind = AUDITED[event]
        if event == "open" and arguments[2] & WRITING:
            kind = "create"
        try:
            then = self.step(kind, path)
            if then is not None:
                then()
        except OSError as error:
            error.filename = arguments[0]  # as the system's own has it; one of a write or sync has none
            raise

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *text: Any, **named: Any) -> Any:
        path = self._inside(file) if set(mode) & set("wax+") else None
        if path is None or buffering != -1 or "opener" in named:
            return self.open(file, mode, buffering, *text, **named)
        raw = _CountedFile(file, mode.replace("t", "").replace("b", ""), self)
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **named)

    def _fsync(self, file: Any) -> None:
        then = self.step("sync", str(file))
        if then is not None:
            then()
        self.fsync(file)
        inode = os.fstat(file if isinstance(file, int) else file.fileno()).st_ino
        os.write(self.journal, f"synced\t{inode}\t{time.time_ns()}\n".encode())


class _CountedFile(io.FileIO):
    """A file whose writes are operations."""

    def __init__(self, file: Any, mode: str, layer: FaultLayer) -> None:
        self.layer = layer
        super().__init__(file, mode)

    def write(self, data: Any) -> int:
        """As always, or half of it and then what the layer says."""
        then = self.layer.step("write", os.fsdecode(self.name) if not isinstance(self.name, int) else "")
        if then is None:
            return super().write(data)
        half = super().write(memoryview(data)[: len(data) // 2])
        then()  # from another thread than the main one it comes back
        return half + super().write(memoryview(data)[half:])
