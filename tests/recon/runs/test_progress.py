"""Without a terminal a line every ten seconds says how far it is, and how long it will take."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from simulacra.recon.runs import progress
from simulacra.recon.runs.progress import Progress, say_seconds, track, working


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


def test_a_line_says_how_far_and_how_long(heard: Callable[[int], list[str]]) -> None:
    with Progress("training", 400) as bar:
        assert re.fullmatch(r"  training: 0 of 400, \d+ s so far", heard(1)[0])
        bar.advance(100)
        time.sleep(0.03)
        heard(1)
        assert re.fullmatch(r"  training: 100 of 400, \d+ s so far, about \d+ s left", heard(1)[0])


def test_what_was_done_before_is_no_measure_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Progress("training", 400, done=300)
    bar.advance(50)
    # 50 steps in 10 s: as many are left.
    assert bar._say(10.0) == "training: 350 of 400, 10 s so far, about 10 s left"


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
