"""Progress: a bar with the time left on a terminal; elsewhere (a notebook, a log, nohup) a line every ten seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Item = TypeVar("Item")
# Longer silence is taken for a program that hangs.
EVERY_S = 10.0


class Progress:
    """A bar on standard error that goes when it is done; lines where that is not a terminal."""

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self._description, self._total, self._begun, self._done = description, total, done, done
        self._bar = _bar(description, total, done) if sys.stderr.isatty() else None
        self._shown: RichProgress | _Lines = self._bar or _Lines(self._say)

    def __enter__(self) -> Progress:
        self._shown.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def advance(self, steps: int = 1) -> None:
        """So many more steps are done."""
        self._done += steps
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], steps)

    def _say(self, seconds: float) -> str:
        said = f"{self._description}: {self._done} of {self._total}, {say_seconds(seconds)} so far"
        steps = self._done - self._begun
        if not steps:
            return said
        return f"{said}, about {say_seconds(seconds * (self._total - self._done) / steps)} left"


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """The items, with progress that advances when each has been dealt with."""
    with Progress(description, total) as progress:
        for item in items:
            yield item
            progress.advance()


def working(description: str) -> contextlib.AbstractContextManager[object]:
    """For work whose steps nobody counts: that it goes on, where standard error is no terminal."""
    if sys.stderr.isatty():
        return contextlib.nullcontext()
    return _Lines(lambda seconds: f"{description}: {say_seconds(seconds)} so far")


def say_seconds(seconds: float) -> str:
    """`35 s`, `12 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def _bar(description: str, total: int, done: int) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(description, total=total, completed=done)
    return bar


class _Lines:
    """A line every ten seconds, while nothing inside of it says one: the innermost knows best."""

    # Those that are open, the innermost last.
    open: list[_Lines] = []  # noqa: RUF012

    def __init__(self, say: Callable[[float], str]) -> None:
        self._say = say
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True, name="progress")

    def __enter__(self) -> None:
        self._start = time.monotonic()
        _Lines.open.append(self)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with contextlib.suppress(ValueError):
            _Lines.open.remove(self)
        # A process that was forked meanwhile has not got the thread.
        if self._thread.is_alive():
            self._thread.join()

    def _repeat(self) -> None:
        while not self._ended.wait(EVERY_S):
            if _Lines.open[-1:] == [self]:
                # Where nobody reads it any more, the work goes on all the same.
                with contextlib.suppress(OSError, ValueError):
                    print(f"  {self._say(time.monotonic() - self._start)}", file=sys.stderr, flush=True)
