"""Compiled kernels on several threads: ranges of work handed to a pool, results the same whatever the number.

Kernels are Numba functions that release the interpreter lock and take ``(start, stop)``. A pool of Python
threads costs some 50 microseconds a call, and unlike Numba's own parallel loops it may be called from
several threads at once (a viewer while training) and survives a fork.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def thread_count() -> int:
    """How many threads compiled kernels use: as many as torch (``torch.set_num_threads``)."""
    return torch.get_num_threads()


def split(count: int, parts: int, multiple: int = 1) -> list[int]:
    """Bounds of at most ``parts`` nearly equal ranges of ``range(count)``, each a multiple of
    ``multiple`` long.
    """
    blocks = -(-count // multiple)
    parts = max(1, min(parts, blocks))
    return [min(count, multiple * (blocks * i // parts)) for i in range(parts + 1)]


def run_ranges(work: Callable[[int, int, int], None], bounds: Sequence[int], threads: int) -> None:
    """Call ``work(part, start, stop)`` for every range between neighbouring ``bounds``, on up to ``threads``.

    The calling thread works too, and takes whatever is left: on a busy machine nobody waits for a helper
    that has not been woken yet. Which thread does a range is left to chance, so ``work`` must not care.
    """
    waiting = deque(enumerate(pairwise(bounds)))
    count = min(threads, len(waiting)) - 1
    helpers = [_executor(count).submit(_drain, waiting, work) for _ in range(count)]
    try:
        _drain(waiting, work)
    finally:
        waiting.clear()
        for helper in helpers:
            if not helper.cancel():
                helper.result()


def run_split(work: Callable[..., None], count: int, multiple: int = 1) -> None:
    """Call ``work(start, stop)`` over ``range(count)``, a range a thread, each a multiple of ``multiple`` long."""
    threads = thread_count()
    run_ranges(lambda _, start, stop: work(start, stop), split(count, threads, multiple), threads)


def _drain(waiting: deque, work: Callable[[int, int, int], None]) -> None:
    # A deque of nothing said: the tests' checks of types would look at an item that another thread is taking.
    while True:
        try:
            part, (start, stop) = waiting.popleft()
        except IndexError:
            return
        work(part, start, stop)


def _executor(threads: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < threads:
        _pool = ThreadPoolExecutor(threads, thread_name_prefix="simulacra-kernel")
        _pool_size = threads
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None  # a forked child has none of its parent's threads


os.register_at_fork(after_in_child=_forget_pool)
