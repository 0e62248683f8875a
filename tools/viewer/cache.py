"""Pictures in memory: no more than so many bytes, and each is made once however many ask for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

Kept = TypeVar("Kept")


class ByteCache(Generic[Kept]):
    """Values by key, no more than so many bytes of them; those that were not asked for longest go first.

    Args:
        most_bytes: of all values together; a value that is larger alone is not kept.
        size_of: the bytes of a value.
    """

    def __init__(self, most_bytes: int, size_of: Callable[[Kept], int]) -> None:
        self._most, self._held, self._size_of = most_bytes, 0, size_of
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """How much is in memory."""
        return self._held

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What is kept under a key, or is made now; a second asker waits for the first."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            try:
                made = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            self._keep(key, made)
        return made

    def _keep(self, key: Hashable, made: Kept) -> None:
        size = self._size_of(made)
        with self._lock:
            if size > self._most or key in self._kept:
                return
            self._kept[key] = made
            self._held += size
            while self._held > self._most:
                _, gone = self._kept.popitem(last=False)
                self._held -= self._size_of(gone)


def array_bytes(arrays: tuple[np.ndarray, ...]) -> int:
    """Of several arrays together."""
    return sum(array.nbytes for array in arrays)


def unchangeable(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays, which nobody who is given them may write into."""
    for array in arrays:
        array.setflags(write=False)
    return arrays
