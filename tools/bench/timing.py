"""Timing several ways of doing the same thing so that a noisy machine misleads all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one way: the least, and the median of its paired ratios to the first way (above 1
    is faster).
    """

    name: str
    least_ms: float
    ratio: float


def paired(ways: dict[str, Callable[[], None]], repeats: int, *, wall: bool) -> list[Timing]:
    """Call the ways in turn, once unmeasured and then ``repeats`` times; ratios are taken within each turn.

    Args:
        ways: by name; the first is what the others are compared with.
        repeats: measured turns.
        wall: wall-clock time, else the calling thread's processor time (right for one thread on a shared machine).
    """
    clock = time.perf_counter if wall else time.thread_time
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            begun = clock()
            way()
            if turn:
                spent[name].append(clock() - begun)
    first = spent[next(iter(ways))]
    return [
        Timing(
            name, 1e3 * min(times), sorted(a / max(b, 1e-9) for a, b in zip(first, times))[len(times) // 2]
        )
        for name, times in spent.items()
    ]
