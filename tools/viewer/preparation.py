"""What is opened beside the work before anybody waits for it, and how far that is, for those who do."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from simulacra.render.runtime.errors import UserError

# A step in words, and its work.
Step = tuple[str, Callable[[], object]]
MOST_KEPT = 64


@dataclass
class _Going:
    """One preparation; written by its thread alone."""

    doing: str | None
    begun: float


class Preparation:
    """Work in threads, once for each key and one after the other. A step that fails is left out: whoever needs what it
    was to open is told why. The process waits at its end for the step that is going on, as compiled code must not be
    left in the middle.
    """

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._going: OrderedDict[Hashable, _Going] = OrderedDict()

    def state(self, key: Hashable, steps: Sequence[Step]) -> dict[str, Any]:
        """`{"doing": words, or null when all is done, "seconds": since it was begun}`. The first to ask begins it."""
        with self._lock:
            going = self._going.get(key)
            if going is None:
                going = self._going[key] = _Going(steps[0][0] if steps else None, time.monotonic())
                while len(self._going) > MOST_KEPT:
                    self._going.popitem(last=False)
                if steps:
                    threading.Thread(target=self._work, args=(going, tuple(steps))).start()
        return {"doing": going.doing, "seconds": round(time.monotonic() - going.begun, 1)}

    def close(self) -> None:
        """No further step begins."""
        self._closed.set()

    def _work(self, going: _Going, steps: Sequence[Step]) -> None:
        try:
            with self._turn:
                for words, work in steps:
                    if self._closed.is_set():
                        return
                    going.doing = words
                    with suppress(UserError, OSError):
                        work()
        finally:
            going.doing = None
