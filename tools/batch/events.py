"""What happens in a batch: a line a task for people, with a bar on a terminal; a JSON object a line for programs."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulacra.recon.runs.progress import Progress

from ..report.wording import duration
from .tasks import Attempt, Task

EVENTS_FILE = "batch.jsonl"


class Events:
    """Tells and keeps what happens; called by several threads.

    Attributes:
        counts: of tasks by how they ended, and of tries that were not the last.
        failed: the last try of each task that failed, by name.
    """

    def __init__(self, path: Path, progress: Progress, *, say: Callable[[str], None] | None = None) -> None:
        """Begins to tell.

        Args:
            path: the file, appended to.
            progress: advances with each task that ended.
            say: takes each event as a line of JSON as well; nobody if None.
        """
        self.counts: Counter[str] = Counter()
        self.failed: dict[str, Attempt] = {}
        self._path, self._progress, self._say = path, progress, say
        self._lock = threading.Lock()

    def started(self, task: Task, number: int) -> None:
        """A task is tried for the so-manyth time."""
        self._tell({"event": "started", "task": task.name, "attempt": number})

    def ended(self, task: Task, attempt: Attempt, number: int, *, again: bool) -> None:
        """A try ended; `again` says that there will be another."""
        event = "again" if again else attempt.outcome
        facts = {
            "seconds": round(attempt.seconds, 3),
            "peak_mb": round(attempt.peak_mb, 1),
            "attempt": number,
        }
        errors = {"error": attempt.error, "details": attempt.details} if attempt.error else {}
        with self._lock:
            self.counts[event] += 1
            if event == "failed":
                self.failed[task.name] = attempt
        self._tell({"event": event, "task": task.name, "run": task.run, **facts, **errors})
        if not again:
            self._progress.advance()
        if attempt.error:
            said = "tried again" if again else f"failed, {task.log}"
            sys.stderr.write(f"{task.name}: {attempt.error} ({duration(attempt.seconds)}; {said})\n")

    def _tell(self, event: dict[str, Any]) -> None:
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **event})
        with self._lock:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
            if self._say is not None:
                self._say(line)
