"""The tasks of a batch on a Ray cluster: Ray decides where and when, and a worker there is held as it is here.

A Ray worker holds a process of ours, as `running` does on one machine, so that limits, threads and what happens to a
task are the same. When a Ray worker or its machine dies, the kernel kills that process; a machine that was only cut
off goes on writing for as long as it lives, and the lock of the run keeps the second writer waiting. Every machine
needs simulacra installed, and sessions and runs under the same paths.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simulacra.recon.runs.files import disk_errors
from simulacra.recon.runs.lock import write_lock
from simulacra.render.runtime.errors import MissingExtraError, RunError

from .events import Events
from .holder import RECONSTRUCTION, Holder, Limits
from .running import Patience
from .tasks import Attempt, Task

# So many tasks for each core are handed to Ray before the first of them is done.
AHEAD = 2
WAITS_S = 0.5
# Ray sends reports of its use unless it is told not to, before anything of it is begun.
NO_REPORTS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_USAGE_STATS_PROMPT_ENABLED": "0"}

# In a Ray worker: the process that it holds, by job and limits.
_held: dict[tuple[str, Limits], Holder] = {}


def do_here(task: Task, job: str, limits: Limits) -> Attempt:
    """Does a task in the process that this one holds; Ray calls it."""
    holder = _held.setdefault((job, limits), Holder(limits, job))
    return holder.do(task)


def run_on_ray(
    tasks: Sequence[Task],
    out: Path,
    events: Events,
    *,
    address: str | None = None,
    workers: int = 0,
    limits: Limits | None = None,
    patience: Patience | None = None,
    job: str = RECONSTRUCTION,
    after: Callable[[Task], None] | None = None,
) -> None:
    """Does all tasks; who failed is in `events`.

    Args:
        tasks: of different runs.
        out: the folder of all runs.
        events: are told what happens.
        address: of a cluster that is there; None for one that is begun on this machine and ends with this call.
        workers: cores of the cluster that is begun; 0 for all.
        limits: of each task; the defaults if None.
        patience: with what may heal; the default if None.
        job: `module:function` of what is done with a task.
        after: is given each task that was done, one at a time.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no such cluster, another batch writes into the folder, or it cannot be written.
    """
    patience = patience or Patience()
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with write_lock(out):
            ray = connect(address, workers)
            try:
                remote = ray.remote(num_cpus=1, max_retries=0)(do_here)
                submit = _Submitted(ray, remote, job, limits or Limits())
                _work_off(submit, tasks, events, patience, after)
            finally:
                ray.shutdown()


def _work_off(
    submit: _Submitted,
    tasks: Sequence[Task],
    events: Events,
    patience: Patience,
    after: Callable[[Task], None] | None,
) -> None:
    """Hands tasks to Ray, a few ahead of its cores, until all have ended."""
    waiting = deque((task, 1, 0.0) for task in tasks)
    while waiting or submit.running:
        room = AHEAD * submit.cores() - len(submit.running)
        for _ in range(len(waiting)):
            if room <= 0:
                break
            task, number, not_before = waiting.popleft()
            if time.monotonic() < not_before:
                waiting.append((task, number, not_before))
                continue
            events.started(task, number)
            submit(task, number)
            room -= 1
        for task, number, attempt in submit.ended():
            again = attempt.outcome == "failed" and attempt.heals and number < patience.tries
            events.ended(task, attempt, number, again=again)
            if again:
                waiting.append((task, number + 1, time.monotonic() + patience.wait_s(number)))
            elif attempt.outcome == "done" and after is not None:
                after(task)


class _Submitted:
    """Tasks that Ray has."""

    def __init__(self, ray: Any, remote: Any, job: str, limits: Limits) -> None:
        self._ray, self._remote, self._job, self._limits = ray, remote, job, limits
        self.running: dict[Any, tuple[Task, int, float]] = {}

    def __call__(self, task: Task, number: int) -> None:
        """Hands one over."""
        self.running[self._remote.remote(task, self._job, self._limits)] = (task, number, time.monotonic())

    def cores(self) -> int:
        """Of the cluster as it is now."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def ended(self) -> list[tuple[Task, int, Attempt]]:
        """Those that have ended; waits a little where none has."""
        if not self.running:
            time.sleep(WAITS_S / 10)
            return []
        done, _ = self._ray.wait(list(self.running), num_returns=1, timeout=WAITS_S)
        return [(*self.running[each][:2], self._attempt(each, self.running.pop(each)[2])) for each in done]

    def _attempt(self, reference: Any, begun: float) -> Attempt:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # The worker, its machine or the cluster's memory: nothing of the task itself.
            said = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            return Attempt("failed", time.monotonic() - begun, error=said, heals=True)


def connect(address: str | None, workers: int) -> Any:
    """Ray, connected to a cluster; no report of its use is sent by what is begun here.

    Args:
        address: of a cluster that is there; None to begin one.
        workers: its cores where it is begun; 0 for all.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no such cluster.
    """
    os.environ.update(NO_REPORTS)
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "a batch on a cluster needs Ray", remedy="pip install simulacra[batch]; or leave --ray out"
        ) from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        ray.init(num_cpus=workers or os.cpu_count() or 1, include_dashboard=False, **quiet)
        return ray
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RunError(
            "there is no such cluster",
            where=address,
            found=str(error).splitlines()[0][:200],
            remedy="begin one: RAY_USAGE_STATS_ENABLED=0 ray start --head",
        ) from error
    sys.stderr.write(
        "note: whether Ray reports the use of this cluster was decided by who began it; "
        "RAY_USAGE_STATS_ENABLED=0 before `ray start` says no\n"
    )
    return ray
