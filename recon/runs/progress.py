"""Progress: a bar with the time left on a terminal; elsewhere (a notebook, a log, nohup) a line every ten seconds.

What is left is told by what was measured in this run alone: the latest half of it, as first steps compile, load and
fill caches, and steps may grow. Nothing is told of it before enough is measured.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Item = TypeVar("Item")
# Longer silence is taken for a program that hangs.
EVERY_S = 10.0
# Work of at least so many steps is measured without its first one, by half as many others; of fewer, large ones two are
# enough.
MANY_STEPS, FEWEST_STEPS = 16, 2
# What lasts shorter is too little to measure.
SHORTEST_S = 2.0
# So many moments of steps are remembered; of more every second one is.
MOMENTS = 256


class TimeLeft:
    """How long counted work still takes, by what its steps took so far."""

    def __init__(self, total: int, done: int = 0, now: float | None = None) -> None:
        """Begins to measure.

        Args:
            total: steps of the work.
            done: of them before this run.
            now: seconds of a monotonic clock; that of the system if None.
        """
        self.total, self.done = total, min(done, total)
        self._many = total - done >= MANY_STEPS
        self._measuring = not self._many
        self._lock = threading.Lock()  # several workers count, another thread says
        # How many steps were done when, oldest first.
        self._moments = deque([(self.done, time.monotonic() if now is None else now)])

    def advance(self, steps: int, now: float | None = None) -> None:
        """So many more steps are done."""
        moment = time.monotonic() if now is None else now
        with self._lock:
            self.done = min(self.done + steps, self.total)
            self._moments.append((self.done, moment))
            if not self._measuring:
                self._moments.popleft()
                self._measuring = True
            if len(self._moments) > MOMENTS:
                first, *rest = self._moments
                self._moments = deque([first, *rest[1::2]])

    def seconds(self, now: float | None = None) -> float | None:
        """Seconds left: never negative, None where too little is measured or nothing is left to be done."""
        with self._lock:
            moments = list(self._moments)
        (begun, begin), (done, last) = moments[0], moments[-1]
        fewest = MANY_STEPS // 2 if self._many else FEWEST_STEPS
        if done - begun < fewest or last - begin < SHORTEST_S or done >= self.total:
            return None
        moment = time.monotonic() if now is None else now
        # Several workers end their steps together: half of the time has some of all of them, half of the steps has not.
        before, since = [each for each in moments if each[1] <= (begin + last) / 2][-1]
        # The step that is going on may be longer than the others were.
        each = max((last - since) / (done - before), (moment - since) / (done - before + 1))
        left = self.total - done
        return max(left * each - (moment - last), (left - 1) * each, 0.0)


class Progress:
    """A bar on standard error that goes when it is done; lines where that is not a terminal."""

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self._description, self._left = description, TimeLeft(total, done)
        self._bar = _bar(description, self._left) if sys.stderr.isatty() else None
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
        self._left.advance(steps)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._left.done)

    def _say(self, seconds: float) -> str:
        said = f"{self._description}: {self._left.done} of {self._left.total}, {say_seconds(seconds)} so far"
        left = self._left.seconds()
        return said if left is None else f"{said}, about {say_seconds(left)} left"


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """The items, with progress that advances when each has been dealt with."""
    with Progress(description, total) as progress:
        for item in items:
            yield item
            progress.advance()


def working(description: str, first_s: float | None = None) -> contextlib.AbstractContextManager[object]:
    """For work whose steps nobody counts: that it goes on, where standard error is no terminal.

    Args:
        first_s: seconds until it is said for the first time; as later ones if None.
    """
    if sys.stderr.isatty():
        return contextlib.nullcontext()
    return _Lines(lambda seconds: f"{description}: {say_seconds(seconds)} so far", first_s)


def say_seconds(seconds: float) -> str:
    """`35 s`, `12 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def _bar(description: str, left: TimeLeft) -> RichProgress:
    """rich is imported by who has a terminal: many commands end before they show anything."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class TimeLeftColumn(ProgressColumn):
        """The time left, as the lines have it; rich's own forgets steps that are half a minute long."""

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            """Empty while it is not known."""
            seconds = left.seconds()
            said = "" if seconds is None else f"about {say_seconds(seconds)} left"
            return Text(said, style="progress.remaining")

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeftColumn())
    bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(description, total=left.total, completed=left.done)
    return bar


class _Lines:
    """A line every ten seconds, while nothing inside of it says one: the innermost knows best."""

    # Those that are open, the innermost last.
    open: list[_Lines] = []  # noqa: RUF012

    def __init__(self, say: Callable[[float], str], first_s: float | None = None) -> None:
        self._say, self._first_s = say, first_s
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
        wait = EVERY_S if self._first_s is None else self._first_s
        while not self._ended.wait(wait):
            wait = EVERY_S
            if _Lines.open[-1:] == [self]:
                # Where nobody reads it any more, the work goes on all the same.
                with contextlib.suppress(OSError, ValueError):
                    print(f"  {self._say(time.monotonic() - self._start)}", file=sys.stderr, flush=True)
