"""Who starts a worker's process, sends it tasks, watches what it takes, and ends it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .tasks import Attempt, Outcome, Task

RECONSTRUCTION = "simulacra.tools.batch.reconstruction:reconstruct_task"
# One thread each, in every library that makes some. Numba's own is among them: its parallel kernels otherwise set
# PyTorch back to as many as there are cores, after which two workers on two cores take three times as long.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)  # fmt: skip
LOOKS_EVERY_S = 0.2
ENDS_WITHIN_S = 5.0


@dataclass(frozen=True)
class Limits:
    """What a task may take.

    Attributes:
        seconds: wall time of one try; None for any.
        memory_mb: resident memory of its process, MiB; None for any.
        tasks: after so many the process ends and another begins: what libraries keep grows.
    """

    seconds: float | None = None
    memory_mb: float | None = None
    tasks: int = 4


class Holder:
    """One worker at a time, begun when there is a task for it.

    Attributes:
        limits: of its tasks.
        job: `module:function` of what is done with a task.
    """

    def __init__(self, limits: Limits, job: str = RECONSTRUCTION) -> None:
        self.limits, self.job = limits, job
        self._process: subprocess.Popen[bytes] | None = None
        self._done = 0

    def do(self, task: Task) -> Attempt:
        """Does one task to whatever end."""
        begun = time.monotonic()
        if self._done >= self.limits.tasks:
            self.close()
        fresh = self._done == 0
        process = self._started()
        self._done += 1
        assert process.stdin is not None
        with suppress(OSError):  # it has died, which is seen below
            process.stdin.write(json.dumps(task.as_json()).encode() + b"\n")
            process.stdin.flush()
        line, peak, stopped = self._answer(process, begun)
        seconds = time.monotonic() - begun
        if stopped:
            self.close()
            # Memory that earlier tasks left behind is not there in a new process.
            return Attempt("failed", seconds, peak, stopped, heals=stopped.startswith("memory") and not fresh)
        if line is None:
            said = _describe_end(process)
            self.close()
            return Attempt("failed", seconds, peak, said, heals=True)
        answer = json.loads(line)
        outcome: Outcome = "failed" if answer["error"] else "done"
        return Attempt(outcome, seconds, peak, answer["error"], answer["details"], answer["heals"])

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        return None if self._process is None else self._process.pid

    def kill(self) -> None:
        """Kills the process, from another thread than that which waits for it; `do` then comes back."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def close(self) -> None:
        """Ends the process, at once where it does not end by itself."""
        process, self._process, self._done = self._process, None, 0
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        if process.poll() is None:
            process.kill()
        process.wait(ENDS_WITHIN_S)
        process.stdout.close()
        with suppress(OSError):
            process.stdin.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        environment = os.environ | ONE_THREAD | {"OMP_WAIT_POLICY": "PASSIVE"}
        # -c instead of -m: with -m the module is there twice. Until its first task a process complains where we do.
        program = [sys.executable, "-c", "from simulacra.tools.batch.worker import main; main()", self.job]
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], begun: float) -> tuple[bytes | None, float, str]:
        """The line that came, None where the process ended; the peak of memory in MiB; and why it was stopped."""
        peak, said = 0.0, b""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(LOOKS_EVERY_S):
                    part = os.read(process.stdout.fileno(), 1 << 16)
                    if not part:
                        return None, peak, ""
                    said += part
                    if said.endswith(b"\n"):
                        return said, peak, ""
                now = resident_mb(process.pid)
                peak = max(peak, now)
                limits = self.limits
                if limits.seconds is not None and time.monotonic() - begun > limits.seconds:
                    return None, peak, f"time: more than {limits.seconds:g} s"
                if limits.memory_mb is not None and now > limits.memory_mb:
                    return None, peak, f"memory: {now:.0f} MiB, of at most {limits.memory_mb:g}"


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MiB; 0 where that is not to be seen."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _describe_end(process: subprocess.Popen[bytes]) -> str:
    """How a process ended that gave no answer."""
    try:
        code = process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        return "the worker gave no answer"
    return (
        f"the worker was killed ({signal.Signals(-code).name})"
        if code < 0
        else f"the worker ended with {code}"
    )
