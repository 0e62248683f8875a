"""Batches: nothing lost, nothing twice, whatever is killed; what cannot heal is tried once and stops nobody."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.progress import Progress
from simulacra.render.runtime.errors import InputError, RunError
from simulacra.tools.batch.events import EVENTS_FILE, Events
from simulacra.tools.batch.holder import Limits
from simulacra.tools.batch.reconstruction import check_retention
from simulacra.tools.batch.running import Patience, run_tasks
from simulacra.tools.batch.tasks import Task, find_sessions, last_outcomes, plan_tasks, read_events
from simulacra.tools.cli import main
from tests.tools.batch.jobs import JOB

QUICK = Patience(tries=3, first_wait_s=0.01)


@pytest.fixture(autouse=True)
def _jobs_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).resolve().parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))


def task(out: Path, name: str, **options: str) -> Task:
    return Task(name, "/no/session", str(out / name), None, options, str(out / ".logs" / f"{name}.log"))


def run(tasks: list[Task], out: Path, workers: int = 2, limits: Limits | None = None) -> Events:
    out.mkdir(exist_ok=True)
    with Progress("runs", len(tasks)) as progress:
        events = Events(out / EVENTS_FILE, progress)
        run_tasks(tasks, out, events, workers=workers, limits=limits, patience=QUICK, job=JOB)
    return events


def tries(out: Path, name: str) -> int:
    return len((out / name / "tries").read_text())


def test_all_are_done_once_and_none_stops_another(tmp_path: Path) -> None:
    tasks = [task(tmp_path, f"good{k}") for k in range(5)]
    tasks[1:1] = [task(tmp_path, "poisoned", poison="1"), task(tmp_path, "bug", bug="1")]
    tasks.insert(4, task(tmp_path, "killed", kill="1"))
    events = run(tasks, tmp_path)
    assert dict(events.counts) == {"done": 6, "failed": 2, "again": 1}
    assert sorted(events.failed) == ["bug", "poisoned"]
    assert "import it again" in events.failed["poisoned"].details
    assert "ZeroDivisionError" in events.failed["bug"].details
    assert {each.name: tries(tmp_path, each.name) for each in tasks} == {
        **{each.name: 1 for each in tasks},
        "killed": 2,
    }
    kept = read_events(tmp_path / EVENTS_FILE)
    assert last_outcomes(kept) == {
        each.name: "failed" if each.name in events.failed else "done" for each in tasks
    }
    (again,) = [event for event in kept if event["event"] == "again"]
    assert again["task"] == "killed" and "SIGKILL" in again["error"]
    threads = json.loads((tmp_path / "good0" / "result.json").read_text())["threads"]
    assert threads == {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    assert "try 2" in (tmp_path / ".logs" / "killed.log").read_text()


def test_what_is_killed_every_time_is_given_up(tmp_path: Path) -> None:
    events = run([task(tmp_path, "killed", kill="99"), task(tmp_path, "good")], tmp_path, workers=1)
    assert dict(events.counts) == {"done": 1, "failed": 1, "again": QUICK.tries - 1}
    assert tries(tmp_path, "killed") == QUICK.tries


def test_limits_end_a_task_and_no_other(tmp_path: Path) -> None:
    tasks = [
        task(tmp_path, "slow", sleep="60"),
        task(tmp_path, "good"),
        task(tmp_path, "large", megabytes="700"),
        task(tmp_path, "small"),
    ]
    begun = time.monotonic()
    events = run(tasks[:2], tmp_path, workers=1, limits=Limits(seconds=4.0))
    assert events.failed["slow"].error == "time: more than 4 s" and time.monotonic() - begun < 40
    events = run(tasks[2:], tmp_path, workers=1, limits=Limits(memory_mb=400))
    assert sorted(events.failed) == ["large"] and events.failed["large"].error.startswith("memory: ")
    assert tries(tmp_path, "slow") == tries(tmp_path, "large") == 1  # neither heals in a fresh process
    assert events.failed["large"].peak_mb > 400
    for name in ("good", "small"):
        assert (tmp_path / name / "result.json").is_file()


def test_workers_are_ended_after_so_many_tasks(tmp_path: Path) -> None:
    tasks = [task(tmp_path, f"t{k}") for k in range(4)]
    run(tasks, tmp_path, workers=1, limits=Limits(tasks=2))
    pids = [(tmp_path / each.name / "pid").read_text() for each in tasks]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_run_that_somebody_writes_is_waited_for(tmp_path: Path) -> None:
    held = task(tmp_path, "held")
    Path(held.run).mkdir()
    with write_lock(Path(held.run)):
        events = run([held], tmp_path)
        assert events.counts["again"] == QUICK.tries - 1 and "another process" in events.failed["held"].error
    assert not (Path(held.run) / "tries").exists()
    assert dict(run([held], tmp_path).counts) == {"done": 1}


def test_two_batches_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with write_lock(tmp_path), pytest.raises(RunError, match="another process"):
        run([task(tmp_path, "t")], tmp_path)
    assert not (tmp_path / "t").exists()


def test_a_batch_that_is_killed_leaves_no_worker_and_goes_on(tmp_path: Path) -> None:
    """SIGKILL of the batch itself, while two of its tasks are at work."""
    program = (
        "import sys; from pathlib import Path; from tests.tools.batch.test_batch import *\n"
        "out = Path(sys.argv[1]); run([task(out, f't{k}', sleep=s) for k, s in enumerate('0 60 60'.split())], out)"
    )
    batch = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not all((tmp_path / name / "tries").exists() for name in ("t0", "t1", "t2")):
        assert time.monotonic() < until and batch.poll() is None
        time.sleep(0.05)
    holders = [json.loads((tmp_path / name / ".lock").read_text())["pid"] for name in ("t1", "t2")]
    batch.send_signal(signal.SIGKILL)
    batch.wait()
    while any(_lives(pid) for pid in holders):
        assert time.monotonic() < until
        time.sleep(0.05)
    first = (tmp_path / "t0" / "result.json").read_bytes()
    events = run([task(tmp_path, name) for name in ("t0", "t1", "t2")], tmp_path)
    assert dict(events.counts) == {"done": 3}
    assert (tmp_path / "t0" / "result.json").read_bytes() == first


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_workers_can_be_killed_from_outside_at_any_time(tmp_path: Path) -> None:
    tasks = [task(tmp_path, f"t{k}", sleep="0.4") for k in range(4)]
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < 2:
            for lock in tmp_path.glob("t*/.lock"):
                try:
                    pid = int(json.loads(lock.read_text())["pid"])
                    if pid not in killed and len(killed) < 2:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)
                except (OSError, ValueError):
                    continue
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    events = run(tasks, tmp_path)
    killer.join()
    assert events.counts["done"] == 4 and events.counts["again"] == 2 and not events.failed
    results = [json.loads((tmp_path / each.name / "result.json").read_text())["name"] for each in tasks]
    assert results == [each.name for each in tasks]


def sessions(place: Path, *names: str) -> Path:
    for name in names:
        (place / name).mkdir(parents=True)
        (place / name / "session.json").write_text("{}")
    return place


def test_sessions_are_found_in_folders_and_lists(tmp_path: Path) -> None:
    place = sessions(tmp_path / "all", "a", "day 2/b", ".hidden/c")
    assert find_sessions(place) == {"a": place / "a", "day 2/b": place / "day 2" / "b"}
    assert find_sessions(place / "a") == {"a": place / "a"}
    listed = tmp_path / "list.txt"
    listed.write_text("# two\nall/a\n\nall/day 2/b\n")
    assert set(find_sessions(listed)) == {"a", "b"}
    listed.write_text("all/nobody\n")
    with pytest.raises(InputError, match="not there"):
        find_sessions(listed)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no session"):
        find_sessions(tmp_path / "empty")


def test_every_session_has_every_setting(tmp_path: Path) -> None:
    found = {"a": tmp_path / "a", "b": tmp_path / "b"}
    one = plan_tasks(found, {"": {"avatar.steps": "5"}}, tmp_path / "out")
    assert [each.name for each in one] == ["a", "b"] and one[0].options == {"avatar.steps": "5"}
    two = plan_tasks(found, {"s=1": {"s": "1"}, "s=2": {"s": "2"}}, tmp_path / "out")
    assert [each.name for each in two] == ["a/s=1", "a/s=2", "b/s=1", "b/s=2"]
    assert len({each.run for each in two}) == len({each.log for each in two}) == 4


@pytest.mark.parametrize(
    ("until", "kept"), [(None, True), ("2026-12-01", True), ("2026-11-30", False), ("soon", False)]
)
def test_a_session_is_not_used_after_its_day(tmp_path: Path, until: str | None, kept: bool) -> None:
    about: dict[str, Any] = {"retain_until": until}
    day = datetime.date(2026, 12, 1)
    if kept:
        check_retention(about, tmp_path, day)
    else:
        with pytest.raises(InputError, match="until"):
            check_retention(about, tmp_path, day)


def test_what_is_wrong_with_a_batch_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = sessions(tmp_path / "all", "a")
    monkeypatch.setattr("simulacra.tools.batch.running.run_tasks", None)
    for words, said in (
        ([], "--out RUNS"),
        (["--out", str(tmp_path / "o"), "--avatar.step", "5"], "avatar.steps"),
        (["--out", str(tmp_path / "o"), "--workers", "-1"], "workers"),
        (["--out", str(tmp_path / "o"), "--config", "nobodys"], "nobodys"),
    ):
        assert main(["batch", str(place), *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
