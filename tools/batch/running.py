"""All tasks of a batch on this machine: several at once, again where that may help, none stopped by another."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from simulacra.recon.runs.files import disk_errors
from simulacra.recon.runs.lock import write_lock

from .events import Events
from .holder import LOOKS_EVERY_S, RECONSTRUCTION, Holder, Limits
from .tasks import Task


@dataclass(frozen=True)
class Patience:
    """How often a task is tried, and how long is waited in between.

    Attributes:
        tries: at most so many of what may heal; of what cannot one.
        first_wait_s: before the second; twice as long before each further one.
    """

    tries: int = 4
    first_wait_s: float = 2.0

    def wait_s(self, number: int) -> float:
        """Before the next try, after so many."""
        return self.first_wait_s * 2 ** (number - 1)


def run_tasks(
    tasks: Sequence[Task],
    out: Path,
    events: Events,
    *,
    workers: int,
    limits: Limits | None = None,
    patience: Patience | None = None,
    job: str = RECONSTRUCTION,
    after: Callable[[Task], None] | None = None,
) -> None:
    """Does all tasks; who failed is in `events`.

    One batch at a time writes into a folder, and each run has its own lock beside: a worker that outlives its batch
    writes alone or not at all.

    Args:
        tasks: of different runs.
        out: the folder of all runs.
        events: are told what happens.
        workers: processes at a time.
        limits: of each task; the defaults if None.
        patience: with what may heal; the default if None.
        job: `module:function` of what is done with a task.
        after: is given each task that was done, one at a time.

    Raises:
        RunError: another batch writes into the folder, or it cannot be written.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    stop, one_at_a_time = threading.Event(), threading.Lock()
    holders = [Holder(limits or Limits(), job) for _ in range(max(1, min(workers, len(tasks))))]

    def work(holder: Holder) -> None:
        while not stop.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            if do_task(holder, task, events, patience or Patience(), stop) and after is not None:
                with one_at_a_time:
                    after(task)

    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with write_lock(out), ThreadPoolExecutor(len(holders), "batch") as threads:
            working = [threads.submit(work, holder) for holder in holders]
            try:
                for each in working:
                    each.result()
            finally:
                stop.set()
                # Again and again: one may just be beginning a process.
                while wait(working, LOOKS_EVERY_S).not_done:
                    for holder in holders:
                        holder.kill()
                for holder in holders:
                    holder.close()


def do_task(holder: Holder, task: Task, events: Events, patience: Patience, stop: threading.Event) -> bool:
    """Tries a task until it is done, cannot be, or was tried often enough. Whether it was done."""
    number = 1
    while True:
        events.started(task, number)
        attempt = holder.do(task)
        if stop.is_set() and attempt.outcome == "failed":
            return False
        again = attempt.outcome == "failed" and attempt.heals and number < patience.tries
        events.ended(task, attempt, number, again=again)
        if not again:
            return attempt.outcome == "done"
        until = time.monotonic() + patience.wait_s(number)
        if stop.wait(max(0.0, until - time.monotonic())):
            return False
        number += 1
