"""Without a terminal a line every ten seconds says how far it is, and how long it will take."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from simulacra.recon.runs import progress
from simulacra.recon.runs.progress import Progress, TimeLeft, say_seconds, track, working


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.02)


@pytest.fixture
def heard(capsys: pytest.CaptureFixture[str]) -> Callable[[int], list[str]]:
    """So many lines of standard error, waited for."""

    def listen(count: int) -> list[str]:
        lines: list[str] = []
        until = time.monotonic() + 20
        while len(lines) < count:
            assert time.monotonic() < until, lines
            time.sleep(0.01)
            lines += capsys.readouterr().err.splitlines()
        return lines

    return listen


def test_a_line_says_how_far_and_how_long(
    heard: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SHORTEST_S", 0.0)
    with Progress("training", 400) as bar:
        assert re.fullmatch(r"  training: 0 of 400, \d+ s so far", heard(1)[0])
        bar.advance(1)
        time.sleep(0.03)
        bar.advance(99)
        heard(1)
        assert re.fullmatch(r"  training: 100 of 400, \d+ s so far, about \d+ s left", heard(1)[0])


def measured(left: TimeLeft, *moments: tuple[int, float]) -> TimeLeft:
    for steps, now in moments:
        left.advance(steps, now)
    return left


def test_what_was_done_before_is_no_measure_of_what_is_left() -> None:
    left = measured(TimeLeft(400, done=300, now=0.0), *((1, float(t)) for t in range(1, 51)))
    assert left.seconds(50.0) == pytest.approx(50.0)


def test_nothing_is_said_before_it_is_known() -> None:
    left = TimeLeft(400, now=0.0)
    assert left.seconds(100.0) is None
    # A step that compiles for a minute says nothing of the others.
    measured(left, (1, 60.0), *((1, 60.0 + t) for t in range(1, 8)))
    assert left.seconds(67.0) is None
    assert measured(left, (1, 68.0)).seconds(68.0) == pytest.approx(391.0)
    assert measured(TimeLeft(400, now=0.0), *((1, 1.0 + t / 100) for t in range(50))).seconds(1.5) is None


def test_few_large_steps_are_known_after_two_and_workers_that_end_together_fool_nobody() -> None:
    left = measured(TimeLeft(4, now=0.0), (1, 60.0))
    assert left.seconds(60.0) is None
    measured(left, (1, 61.0))
    assert left.seconds(61.0) == pytest.approx(61.0)
    # Their next steps are going on.
    assert left.seconds(91.0) == pytest.approx(31.0, abs=2.0)


def test_steps_that_grow_are_measured_by_the_latest() -> None:
    quick = [(1, 0.1 * k) for k in range(1, 101)]
    slow = [(1, 10.0 + 2.0 * k) for k in range(1, 101)]
    left = measured(TimeLeft(300, now=0.0), *quick, *slow)
    assert left.seconds(210.0) == pytest.approx(200.0, rel=0.02)


def test_a_step_that_takes_longer_than_others_did_makes_nothing_negative() -> None:
    left = measured(TimeLeft(20, now=0.0), *((1, float(k)) for k in range(1, 20)))
    seen = [left.seconds(now) for now in (19.0, 19.5, 25.0, 100.0)]
    assert seen[0] == pytest.approx(1.0)
    assert all(one is not None and one >= 0 for one in seen)
    # All is done, and tidied up after.
    assert measured(left, (1, 101.0)).seconds(110.0) is None


def test_more_steps_than_were_counted_are_not_said() -> None:
    left = measured(TimeLeft(4, now=0.0), (3, 10.0), (3, 20.0))
    assert (left.done, left.seconds(20.0)) == (4, None)


def test_thousands_of_quick_steps_are_remembered_by_some() -> None:
    left = measured(TimeLeft(10_000, now=0.0), *((1, 0.01 * k) for k in range(1, 5001)))
    assert left.seconds(50.0) == pytest.approx(50.0, rel=0.05)
    assert len(left._moments) <= progress.MOMENTS


def test_the_bar_says_what_lines_say(monkeypatch: pytest.MonkeyPatch) -> None:
    left = measured(TimeLeft(10, now=0.0), (1, 50.0), (1, 100.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0)
    bar = progress._bar("training", left)
    (column,) = [one for one in bar.columns if type(one).__name__ == "TimeLeftColumn"]
    # Steps of 50 s, for which rich has no estimate.
    assert column.render(bar.tasks[0]).plain == "about 6 min 40 s left"


def test_the_first_line_comes_earlier_where_it_is_asked_for(
    heard: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 1000.0)
    with working("compiling", first_s=0.01):
        assert heard(1)[0].startswith("  compiling: ")


def test_the_innermost_speaks(heard: Callable[[int], list[str]]) -> None:
    with working("avatar"):
        assert heard(1)[0].startswith("  avatar: ")
        with Progress("training", 400):
            heard(1)  # one that had begun before
            assert {line.split(":")[0] for line in heard(3)} == {"  training"}
        heard(1)
        assert {line.split(":")[0] for line in heard(3)} == {"  avatar"}


def test_short_work_says_nothing_and_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 10.0)
    assert list(track("abc", "letters", 3)) == ["a", "b", "c"]
    with pytest.raises(ZeroDivisionError), working("dividing"):
        1 / 0  # noqa: B018
    assert capsys.readouterr().err == ""
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("training", 4) as bar, working("avatar"):
        bar.advance(3)
        assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_seconds_become_minutes() -> None:
    said = ["0 s", "35 s", "119 s", "2 min 05 s", "61 min 40 s"]
    assert [say_seconds(s) for s in (0.4, 35.2, 119.0, 125.0, 3700.0)] == said
