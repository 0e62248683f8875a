"""Progress bars with the time left, on a terminal; silence in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

Item = TypeVar("Item")


class Progress:
    """A bar on standard error that goes when it is done; nothing where that is not a terminal."""

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = RichProgress(
            *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
        )
        self._task = self._bar.add_task(description, total=total, completed=done)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """So many more steps are done."""
        self._bar.advance(self._task, steps)


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """The items, with a bar that advances when each has been dealt with."""
    with Progress(description, total) as progress:
        for item in items:
            yield item
            progress.advance()
