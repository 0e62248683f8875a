"""A disk that fails on demand: the k-th operation under a folder, and those after it, as a full or broken one would.

What is counted are the operations that change something: opening for writing, each write that reaches the system,
fsync, rename, mkdir, link, unlink, rmdir. Writing goes wrong as it does in fact, after half of the bytes. Only what
Python itself opens is seen: what libraries write through C would have to be looked for elsewhere, and the product lets
them open none of its files.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import pytest

Kind = Literal["full", "quota", "protected", "broken", "killed"]
KINDS: tuple[Kind, ...] = ("full", "quota", "protected", "broken", "killed")
ERRNO = {"full": errno.ENOSPC, "quota": errno.EDQUOT, "protected": errno.EROFS, "broken": errno.EIO}
# What a full disk refuses; it renames and removes.
NEEDS_SPACE = ("open", "write", "mkdir", "link")


class Dead(BaseException):
    """In place of a SIGKILL: from here on nothing that the process does, tidying up neither, reaches the disk."""


class FailingDisk:
    """While it is entered, operations under ``root`` are counted, and from the one numbered ``at`` on they fail.

    Args:
        at: number of the first operation that fails, from 0; None for none.
        kind: how. `broken` fails once, the others go on failing.
    """

    def __init__(self, root: Path, at: int | None = None, kind: Kind = "full") -> None:
        self.root, self.at, self.kind = root.resolve(), at, kind
        self.operations: list[str] = []
        self.failed = False
        self._patch = pytest.MonkeyPatch()
        self._opened: list[int] = []

    def __enter__(self) -> FailingDisk:
        for name in ("mkdir", "unlink", "remove", "rmdir", "chmod"):
            self._replace(name, self._by_path(name, getattr(os, name)))
        for name in ("rename", "replace", "link"):
            self._replace(name, self._by_target(name, getattr(os, name)))
        for name in ("fsync", "write", "ftruncate"):
            self._replace(name, self._by_descriptor(name, getattr(os, name)))
        self._replace("open", self._open_descriptor(os.open))
        for module in (io, builtins):
            self._patch.setattr(module, "open", self._open_file(io.open))
        self._patch.setattr(shutil, "_USE_CP_SENDFILE", False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patch.undo()
        for descriptor in self._opened:  # a dead process holds no lock
            try:
                if self._within(os.readlink(f"/proc/self/fd/{descriptor}")):
                    os.close(descriptor)
            except OSError:
                continue

    def count(self, operation: str, path: object) -> None:
        """Counts an operation, or fails it."""
        number = len(self.operations)
        self.operations.append(f"{operation} {os.fspath(path)}")  # type: ignore[call-overload]
        if self.at is None or number < self.at or (self.kind == "broken" and self.failed):
            return
        if self.kind in ("full", "quota") and operation not in NEEDS_SPACE:
            return
        self.failed = True
        if self.kind == "killed":
            raise Dead
        code = ERRNO[self.kind]
        raise OSError(code, os.strerror(code), str(path))

    def _replace(self, name: str, function: Callable[..., Any]) -> None:
        self._patch.setattr(os, name, function)

    def _within(self, path: object, dir_fd: int | None = None) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        folder = Path.cwd() if dir_fd is None else Path(os.readlink(f"/proc/self/fd/{dir_fd}"))
        return (folder / path).is_relative_to(self.root)

    def _by_path(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *rest: Any, dir_fd: int | None = None, **named: Any) -> Any:
            if self._within(path, dir_fd):
                self.count(name, path)
            return work(path, *rest, dir_fd=dir_fd, **named)

        return counted

    def _by_target(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(source: Any, target: Any, *rest: Any, **named: Any) -> Any:
            if self._within(target):
                self.count(name, target)
            return work(source, target, *rest, **named)

        return counted

    def _by_descriptor(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(descriptor: int, *rest: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if self._within(path):
                self.count(name, path)
            return work(descriptor, *rest)

        return counted

    def _open_descriptor(self, work: Callable[..., int]) -> Callable[..., int]:
        def counted(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if not self._within(path, dir_fd):
                return work(path, flags, mode, dir_fd=dir_fd)
            if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                self.count("open", path)
            descriptor = work(path, flags, mode, dir_fd=dir_fd)
            self._opened.append(descriptor)
            return descriptor

        return counted

    def _open_file(self, work: Callable[..., Any]) -> Callable[..., Any]:
        disk = self

        class Counted(io.FileIO):
            def write(self, data: Any) -> int:
                try:
                    disk.count("write", self.name)  # type: ignore[arg-type]
                except OSError:
                    super().write(bytes(data)[: len(data) // 2])
                    raise
                return super().write(data)

        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if not set(mode) & set("wax+") or not self._within(file):
                return work(file, mode, *rest, **named)
            self.count("open", file)
            raw = Counted(file, mode.replace("b", "").replace("t", ""))
            buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            text = {name: value for name, value in named.items() if name in ("encoding", "errors", "newline")}
            return buffer if "b" in mode else io.TextIOWrapper(buffer, **text)  # type: ignore[type-var]

        return opened
