"""The soak finds what it is to find: its faults happen where they say, and its judge knows wrong from right."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.motion.bvh import load_bvh
from simulacra.recon.runs.files import write_arrays, write_json
from simulacra.recon.runs.run_folder import open_run
from simulacra.recon.runs.stages import run_stage
from simulacra.tools.bench.soak.child import Ending
from simulacra.tools.bench.soak.damage import lose_unsynced
from simulacra.tools.bench.soak.faults import CHANGES, Disturbance, FaultLayer, fail, send
from simulacra.tools.bench.soak.judge import find_leftovers, judge_ending, judge_kept, judge_stages
from simulacra.tools.bench.soak.plan import COMMAND_SHARE, KIND_SHARE, draw_event
from simulacra.tools.bench.soak.reference import Reference, StageState, read_stages, sticks

WRITE = frozenset({"write"})


def disturbed(folder: Path, work: Callable[[], object], *disturbances: Disturbance) -> tuple[int, list[str]]:
    """Status and journal of work in a fork with the layer; the status is the errno of what it raised."""
    journal = folder.with_name("journal")
    child = os.fork()
    if child == 0:
        code = 0
        try:
            FaultLayer([folder], journal, disturbances).install()
            work()
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, journal.read_text().splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_events_are_those_of_their_seed_and_all_kinds_come() -> None:
    events = [draw_event(3, number) for number in range(400)]
    assert events[17] == draw_event(3, 17)
    assert events[17].draws().random() == draw_event(3, 17).draws().random()
    assert events != [draw_event(4, number) for number in range(400)]
    assert {event.kind for event in events} == set(KIND_SHARE)
    assert {event.command for event in events} == set(COMMAND_SHARE)


def test_operations_are_counted_and_nothing_else_changes(folder: Path) -> None:
    status, journal = disturbed(folder, lambda: write_json(folder / "a.json", {"x": 1}))
    assert status == 0
    assert (folder / "a.json").read_text() == '{\n  "x": 1\n}\n'
    assert [line.split("\t")[0] for line in journal] == [
        "make",
        "create",
        "write",
        "sync",
        "synced",
        "rename",
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_fault_happens_at_its_operation(folder: Path, number: int) -> None:
    def work() -> None:
        write_json(folder / "a.json", {})
        write_json(folder / "b.json", {})

    status, journal = disturbed(folder, work, Disturbance(8, fail(number), CHANGES))
    assert status == number
    assert (folder / "a.json").exists()
    assert not (folder / "b.json").exists()
    assert sum(line.startswith("disturbed") for line in journal) == 1


def test_a_write_is_torn(folder: Path) -> None:
    def work() -> None:
        write_arrays(folder / "a.npz", x=np.zeros(10_000))

    tear = Disturbance(1, send(signal.SIGKILL, torn=True), WRITE)
    assert disturbed(folder, work, tear)[0] == -signal.SIGKILL
    (left,) = folder.iterdir()
    assert left.name == ".a.npz.partial"
    full = Disturbance(1, fail(errno.ENOSPC, torn=True), WRITE)
    assert disturbed(folder, work, full)[0] == errno.ENOSPC


def test_only_what_was_not_synced_is_lost(folder: Path) -> None:
    def work() -> None:
        for name in ("synced", "not"):
            with (folder / name).open("wb") as stream:
                stream.write(b"x" * 100)
                stream.flush()
                if name == "synced":
                    os.fsync(stream.fileno())

    since = time.time_ns()
    (folder / "before").write_bytes(b"x")
    os.utime(folder / "before", ns=(since - 1, since - 1))
    _, journal = disturbed(folder, work)
    lines = tuple(tuple(line.split("\t")) for line in journal)
    lost = {
        name
        for seed in range(20)
        for name in lose_unsynced(folder, since, lines, np.random.default_rng(seed))
    }
    assert lost == {"not"}


def ending(code: int, said: str = "", **facts: bool) -> Ending:
    return Ending(code, said, 1.0, 1.0, (), False, facts.get("hung", False), int(facts.get("left", False)))


@pytest.mark.parametrize(
    ("one", "killed_by"),
    [
        (ending(1, "Traceback (most recent call last):\nValueError: x"), ()),
        (ending(2, "usage"), ()),
        (ending(130), (signal.SIGTERM,)),
        (ending(143), (signal.SIGINT,)),
        (ending(143), ()),
        (ending(-9), ()),
        (ending(-9, hung=True), (signal.SIGKILL,)),
        (ending(0, left=True), ()),
        (ending(0, "Traceback (most recent call last):"), ()),
    ],
)
def test_an_ending_that_no_user_should_see_is_a_violation(one: Ending, killed_by: tuple[int, ...]) -> None:
    assert judge_ending(one, killed_by)


@pytest.mark.parametrize(
    ("one", "killed_by"),
    [
        (ending(0), ()),
        (ending(2, "error: the disk is full"), ()),
        (ending(130, "Stopped."), (signal.SIGINT,)),
        (ending(143, "Stopped."), (signal.SIGTERM,)),
        (ending(-9), (signal.SIGKILL,)),
    ],
)
def test_other_endings_are_none(one: Ending, killed_by: tuple[int, ...]) -> None:
    assert not judge_ending(one, killed_by)


def test_content_under_a_key_that_stands_for_another_is_found(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        write_arrays(folder / "values.npz", values=np.arange(3))

    root = tmp_path / "out/run"
    run_stage(
        open_run(root, "abc"), "fit", version=1, config={}, inputs={}, compute=write, load=lambda _: None
    )
    stages = read_stages(root)
    reference = Reference(tmp_path, {}, {"a": stages}, {}, "abc", {}, {}, {})
    assert not judge_stages(tmp_path, reference)
    write_arrays(root / "fit/values.npz", values=np.arange(4))
    assert judge_stages(tmp_path, reference)
    # Control: of a key that is not known nothing is known.
    unknown = Reference(tmp_path, {}, {"a": {"fit": StageState("another", "", "")}}, {}, "abc", {}, {}, {})
    assert not judge_stages(tmp_path, unknown)


def test_lost_and_repeated_work_is_found() -> None:
    said = "observe    unchanged\nfit           1.0 s     600 MiB\n"
    assert not judge_kept({"observe"}, {"observe"}, said)
    assert judge_kept({"observe", "refine"}, {"observe"}, said) == ["refine was finished and is lost"]
    assert judge_kept({"fit"}, {"fit"}, said) == ["fit was finished and is computed again"]


def test_what_is_left_over_is_found(tmp_path: Path) -> None:
    (tmp_path / "out/run/.fit.work").mkdir(parents=True)
    (tmp_path / "out/run/.DS_Store").write_text("")
    assert find_leftovers(tmp_path) == ["left over: out/run/.fit.work"]


def test_the_motion_lifts_an_arm(tmp_path: Path) -> None:
    (tmp_path / "motion.bvh").write_text(sticks())
    motion = load_bvh(tmp_path / "motion.bvh")
    turned = np.abs(motion.rotations[-1] - np.eye(3)).max((1, 2)) > 0.1
    assert [name for name, moves in zip(motion.names, turned, strict=True) if moves] == ["LeftArm"]
