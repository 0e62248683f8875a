"""One command in a process of its own: a fork of a warm one, so that it begins at once."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .faults import Disturbance, FaultLayer

POLL = 0.01
# A command that was killed may have asked git something, which ends by itself.
GRACE = 2.0
# Signals that a command ends in order after.
STOPS = frozenset({signal.SIGINT, signal.SIGTERM})


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        code: its exit status; negative: of the signal that ended it.
        said: its standard output and error.
        seconds: wall time.
        peak_mb: its largest resident memory, MiB.
        operations: lines of the layer's journal: kind, path.
        disturbed: whether what was planned came to happen.
        hung: it was ended by us, for its time.
        left: processes that it started and left behind.
    """

    code: int
    said: str
    seconds: float
    peak_mb: float
    operations: tuple[tuple[str, ...], ...]
    disturbed: bool
    hung: bool
    left: int


class Child:
    """A command that runs."""

    def __init__(
        self,
        words: str,
        folder: Path,
        disturbances: Sequence[Disturbance] = (),
        file_limit: int | None = None,
    ) -> None:
        """Starts it.

        Args:
            words: of the command line, after `simulacra`.
            folder: where it runs; its output and the journal are kept beside it.
            disturbances: of its operations on files below the folder.
            file_limit: the largest file that it may write, bytes.
        """
        self.begun = time.monotonic()
        name = f"{folder.name}.{time.monotonic_ns()}"
        self.said, self.journal = folder.with_name(name + ".out"), folder.with_name(name + ".ops")
        sys.stdout.flush()
        sys.stderr.flush()
        # What comes before the command has begun is of the interpreter's start, which is not looked at: it waits.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        self.pid = os.fork()
        if self.pid == 0:
            self._become(words.split(), folder, disturbances, file_limit, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _become(
        self,
        words: list[str],
        folder: Path,
        disturbances: Sequence[Disturbance],
        file_limit: int | None,
        mask: Iterable[int],
    ) -> None:
        """What the interpreter does around a command, without its start."""
        code = 1
        try:
            os.setsid()
            # A soak in the background of a shell is started without.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(folder)
            output = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            if file_limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
            else:
                FaultLayer([folder], self.journal, disturbances).install()
            code = _run(words, mask)
        finally:
            os._exit(code)

    def send(self, number: int) -> None:
        """A signal, where it still runs."""
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            os.kill(self.pid, number)

    def runs_for(self, seconds: float) -> bool:
        """Waits; whether it still runs then."""
        until = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > until:
                return True
            time.sleep(POLL)
        return False

    def end(self, limit: float) -> Ending:
        """Waits for its end, at most so many seconds."""
        hung = self.runs_for(limit)
        if hung:
            os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        left = self._end_group()
        journal = self.journal.read_text(errors="replace") if self.journal.exists() else ""
        lines = tuple(tuple(line.split("\t")) for line in journal.splitlines())
        said = self.said.read_text(errors="replace")
        for path in (self.journal, self.said):
            path.unlink(missing_ok=True)
        return Ending(
            os.waitstatus_to_exitcode(status),
            said,
            time.monotonic() - self.begun,
            usage.ru_maxrss / 1024,
            lines,
            any(line[0] == "disturbed" for line in lines),
            hung,
            left,
        )

    def _end_group(self) -> int:
        """Ends what is left of its session after a moment; 1 where there was something."""
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return 0
            time.sleep(POLL)
        os.killpg(self.pid, signal.SIGKILL)
        return 1


def _run(words: list[str], mask: Iterable[int]) -> int:
    from ...cli import INTERRUPTED, main

    code = INTERRUPTED
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # signals that wait arrive here
    except KeyboardInterrupt:
        return code
    code = 1
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (what the interpreter does at its end)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code
