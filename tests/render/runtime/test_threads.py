"""Ranges of work on several threads: every piece once, errors told, forks survived."""

from __future__ import annotations

import os
import threading

import pytest

from simulacra.render.runtime.threads import run_ranges, split


@pytest.mark.parametrize(
    ("count", "parts", "multiple"), [(0, 3, 8), (1, 4, 8), (100, 3, 8), (4096, 2, 4096), (7, 9, 1)]
)
def test_split_covers_everything_once(count: int, parts: int, multiple: int) -> None:
    bounds = split(count, parts, multiple)
    assert bounds[0] == 0
    assert bounds[-1] == count
    assert bounds == sorted(bounds)
    assert len(bounds) - 1 <= max(1, parts)
    assert all(bound % multiple == 0 for bound in bounds[:-1])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_range_is_done_once(threads: int) -> None:
    done: list[tuple[int, int, int]] = []
    run_ranges(lambda *piece: done.append(piece), [0, 3, 3, 10, 12], threads)
    assert sorted(done) == [(0, 0, 3), (1, 3, 3), (2, 3, 10), (3, 10, 12)]


def test_two_threads_do_work_at_the_same_time() -> None:
    """Both pieces wait for each other, which one thread alone could never do."""
    meeting = threading.Barrier(2, timeout=30)
    run_ranges(lambda *piece: meeting.wait() and None, [0, 1, 2], 2)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_piece_reaches_the_caller(threads: int) -> None:
    def work(part: int, start: int, stop: int) -> None:
        if part == 1:
            raise ValueError("piece 1")

    with pytest.raises(ValueError, match="piece 1"):
        run_ranges(work, [0, 1, 2, 3], threads)
    done: list[int] = []
    run_ranges(lambda part, *_: done.append(part), [0, 1, 2], threads)  # and the pool still works
    assert sorted(done) == [0, 1]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_gets_threads_of_its_own() -> None:
    run_ranges(lambda *_: None, [0, 1, 2], 2)
    child = os.fork()
    if child == 0:
        meeting = threading.Barrier(2, timeout=30)
        status = 1
        try:
            run_ranges(lambda *_: meeting.wait() and None, [0, 1, 2], 2)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
