"""Stages of a run: skipped when nothing changed, resumed when killed, and never half of a result."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.runs import files
from simulacra.recon.runs.files import disk_errors, read_json, write_arrays, write_json
from simulacra.recon.runs.run_facts import record_run
from simulacra.recon.runs.run_folder import RunFolder, open_run, settle_run
from simulacra.recon.runs.stages import StageResult, digest_folder, run_stage
from simulacra.render.runtime.errors import InputError, RunError
from tests.recon.failing_disk import FailingDisk


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: to show that nothing was touched, or that nothing was left."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class Work:
    """A stage that counts how often it runs, and writes what its configuration says."""

    def __init__(self, value: float = 1.0) -> None:
        self.value = value
        self.runs = 0

    def __call__(self, folder: Path) -> None:
        self.runs += 1
        write_arrays(folder / "values.npz", values=np.full(3, self.value))


def load(folder: Path) -> float:
    return float(np.load(folder / "values.npz")["values"][0])


def run(folder: RunFolder, work: Callable[[Path], None], **changes: Any) -> tuple[float, StageResult]:
    arguments: dict[str, Any] = {"version": 1, "config": {"steps": 3}, "inputs": {"session": "abc"}}
    return run_stage(folder, "fit", compute=work, load=load, **{**arguments, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return open_run(tmp_path / "run", "abc")


def test_the_same_question_is_answered_once(folder: RunFolder) -> None:
    work = Work(2.0)
    first, made = run(folder, work)
    second, taken = run(folder, work)
    assert (first, second, work.runs) == (2.0, 2.0, 1)
    assert not made.skipped and taken.skipped and made.digest == taken.digest


@pytest.mark.parametrize("change", [{"version": 2}, {"config": {"steps": 4}}, {"inputs": {"session": "abd"}}])
def test_another_question_is_computed(folder: RunFolder, change: dict[str, Any]) -> None:
    work = Work()
    run(folder, work)
    _, result = run(folder, work, **change)
    assert work.runs == 2 and not result.skipped


def test_the_order_of_a_configuration_is_no_change(folder: RunFolder) -> None:
    work = Work()
    run(folder, work, config={"a": 1, "b": 2})
    run(folder, work, config={"b": 2, "a": 1})
    assert work.runs == 1


@pytest.mark.parametrize("damage", ["changed", "truncated", "deleted", "added"])
def test_a_damaged_result_is_computed_again(folder: RunFolder, damage: str) -> None:
    work = Work(4.0)
    run(folder, work)
    path = folder.stage("fit") / "values.npz"
    if damage == "changed":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:50])
    elif damage == "deleted":
        path.unlink()
    else:
        (path.parent / "stranger").write_text("x")
    value, result = run(folder, work)
    assert value == 4.0 and work.runs == 2 and not result.skipped
    assert sorted(snapshot(folder.stage("fit"))) == ["stage.json", "values.npz"]


def test_a_damaged_description_is_computed_again(folder: RunFolder) -> None:
    work = Work(4.0)
    run(folder, work)
    (folder.stage("fit") / "stage.json").write_text('{"key": "tr')
    assert run(folder, work)[0] == 4.0 and work.runs == 2


@pytest.mark.parametrize("name", ["key", "digest", "seconds", "peak_mb", "version", "config", "inputs"])
@pytest.mark.parametrize("where", ["name", "value"])
def test_a_changed_byte_of_a_description_is_seen(folder: RunFolder, name: str, where: str) -> None:
    work = Work(4.0)
    run(folder, work)
    path = folder.stage("fit") / "stage.json"
    described = json.loads(path.read_text())
    value = described.pop(name)
    path.write_text(json.dumps(described | ({name[:-1] + "~": value} if where == "name" else {name: "~"})))
    assert run(folder, work)[0] == 4.0 and work.runs == 2
    assert json.loads(path.read_text()).keys() == {*described, name}


def test_an_interrupted_stage_continues_from_its_checkpoint(folder: RunFolder) -> None:
    seen: list[int] = []

    def interrupted_at(last: int) -> Callable[[Path], None]:
        def compute(work: Path) -> None:
            checkpoint = work / "checkpoint.json"
            start = read_json(checkpoint)["done"] if checkpoint.exists() else 0
            for step in range(start, 4):
                if step == last:
                    raise KeyboardInterrupt
                seen.append(step)
                write_json(checkpoint, {"done": step + 1})
            checkpoint.unlink()
            write_arrays(work / "values.npz", values=np.full(3, 7.0))

        return compute

    with pytest.raises(KeyboardInterrupt):
        run(folder, interrupted_at(2))
    assert not folder.stage("fit").exists()
    value, result = run(folder, interrupted_at(99))
    assert value == 7.0 and seen == [0, 1, 2, 3]
    whole = open_run(folder.root.parent / "whole", "abc")
    assert run(whole, interrupted_at(99))[1].digest == result.digest
    assert result.seconds > 0


def test_leftovers_of_another_question_are_not_used(folder: RunFolder) -> None:
    def stops(work: Path) -> None:
        (work / "checkpoint").write_text("of the other configuration")
        raise KeyboardInterrupt

    def finishes(work: Path) -> None:
        assert not (work / "checkpoint").exists()
        Work()(work)

    with pytest.raises(KeyboardInterrupt):
        run(folder, stops)
    run(folder, finishes, config={"steps": 4})


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from simulacra.recon.runs.files import write_arrays, write_json
from simulacra.recon.runs.run_folder import open_run
from simulacra.recon.runs.stages import run_stage

def die(work):
    write_json(work / "checkpoint.json", {"done": 2})
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # in the middle of a write
    write_arrays(work / "values.npz", values=np.zeros(3))

run_stage(open_run(Path(sys.argv[1]), "abc"), "fit", version=1, config={"steps": 3},
                inputs={"session": "abc"}, compute=die, load=lambda folder: None)
"""


def test_a_killed_process_leaves_nothing_that_changes_the_result(folder: RunFolder) -> None:
    """Killed between writing a file and naming it: the run goes on, and equals one that was never stopped."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder.root)], cwd=Path(__file__).parents[3])
    assert killed.returncode == -signal.SIGKILL
    assert not folder.stage("fit").exists()

    def resumes(work: Path) -> None:
        assert read_json(work / "checkpoint.json") == {"done": 2}
        (work / "checkpoint.json").unlink()
        # Another name than the half-written one: what is left of that must not become part of the result.
        write_arrays(work / "other.npz", values=np.zeros(3))

    def whole(work: Path) -> None:
        write_arrays(work / "other.npz", values=np.zeros(3))

    def nothing(_: Path) -> float:
        return 0.0

    said: dict[str, Any] = {
        "version": 1,
        "config": {"steps": 3},
        "inputs": {"session": "abc"},
        "load": nothing,
    }
    _, resumed = run_stage(folder, "fit", compute=resumes, **said)
    _, direct = run_stage(open_run(folder.root.parent / "b", "abc"), "fit", compute=whole, **said)
    assert resumed.digest == direct.digest
    assert sorted(snapshot(folder.stage("fit"))) == ["other.npz", "stage.json"]


def test_a_stage_is_on_the_disk_before_it_has_its_name_and_run_json_after_it(folder: RunFolder) -> None:
    """So that whatever a loss of power leaves is whole: content, then names, then what speaks of them."""
    _, earlier = run(folder, Work(1.0))
    with FailingDisk(folder.root) as disk:
        _, result = run(folder, Work(2.0), config={"steps": 4})
        record_run(folder, {}, [result])
    assert earlier.digest != result.digest
    done = [operation.replace(f"{folder.root.resolve()}/", "") for operation in disk.operations]
    work, root = ".fit.work", str(folder.root.resolve())

    def follow(*operations: str) -> None:
        places = [max(i for i, one in enumerate(done) if one == operation) for operation in operations]
        assert places == sorted(places), done

    for name in ("values.npz", "stage.json"):
        partial = f"{work}/.{name}.partial"
        follow(
            f"write {partial}",
            f"fsync {partial}",
            f"replace {work}/{name}",
            f"fsync {work}/{name}",
            f"fsync {work}",
        )
    follow(f"fsync {work}", "rename .fit.old", "rename fit", "replace run.json", f"fsync {root}")
    # The folder's own names too, after the stage has its own and before anything else is begun.
    assert done[done.index("rename fit") + 1] == f"fsync {root}"


def test_a_failure_keeps_the_earlier_result(folder: RunFolder) -> None:
    run(folder, Work(1.0))
    before = snapshot(folder.stage("fit"))

    def fails(work: Path) -> None:
        Work(2.0)(work)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(folder, fails, config={"steps": 4})
    assert snapshot(folder.stage("fit")) == before
    assert run(folder, fails)[0] == 1.0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_said_and_harms_nothing(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    run(folder, Work(1.0))
    before = snapshot(folder.stage("fit"))

    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(folder.root / "values.npz"))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match=r"MiB free[\s\S]*earlier results are untouched") as caught:
        run(folder, Work(2.0), config={"steps": 4})
    assert "values.npz" in str(caught.value)
    monkeypatch.undo()
    assert snapshot(folder.stage("fit")) == before
    assert run(folder, Work(2.0), config={"steps": 4})[0] == 2.0


def test_another_failure_of_the_system_is_not_called_a_full_disk(folder: RunFolder) -> None:
    def fails(_: Path) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    with pytest.raises(ConnectionResetError):
        run(folder, fails)


def test_a_folder_of_another_session_is_refused(tmp_path: Path) -> None:
    open_run(tmp_path / "run", "session one")
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match=r"another session[\s\S]*--out"):
        open_run(tmp_path / "run", "session two")
    assert snapshot(tmp_path) == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not empty"):
        open_run(tmp_path, "abc")
    assert snapshot(tmp_path) == {"thesis.tex": b"years of work"}
    with pytest.raises(RunError, match="a file, not a folder"):
        open_run(tmp_path / "thesis.tex", "abc")


@pytest.mark.parametrize("left", ["", "{", "[]", "{}"])
def test_a_damaged_run_file_does_not_lose_finished_stages(folder: RunFolder, left: str) -> None:
    """The stages say whose they are; without any, what to do is said, and doing it helps."""
    work = Work()
    run(folder, work)
    (folder.root / "run.json").write_text(left)
    with pytest.raises(RunError, match="another session"):
        open_run(folder.root, "abd")
    run(open_run(folder.root, "abc"), work)
    assert work.runs == 1 and read_json(folder.root / "run.json")["session_fingerprint"] == "abc"


def test_a_damaged_run_file_alone_says_what_to_do(tmp_path: Path) -> None:
    run_file = tmp_path / "run" / "run.json"
    for left in ("{", "[]"):
        run_file.parent.mkdir(exist_ok=True)
        run_file.write_text(left)
        with pytest.raises(RunError, match="delete it, and run again"):
            open_run(run_file.parent, "abc")
    run_file.write_text('{"of": "somebody else"}')
    with pytest.raises(RunError, match="not a run"):
        open_run(run_file.parent, "abc")
    run_file.unlink()
    open_run(run_file.parent, "abc")


def test_a_run_that_was_killed_at_once_is_resumed(tmp_path: Path) -> None:
    (tmp_path / ".run.json.partial").write_text("{")
    (tmp_path / ".lock").write_text("")
    (tmp_path / ".fit.work").mkdir()
    (tmp_path / ".fit.work" / "work.json").write_text("")
    work = Work()
    run(open_run(tmp_path, "abc"), work)
    assert work.runs == 1
    (tmp_path / "fit" / "work.json").write_text("{}")  # killed before it was removed
    settle_run(tmp_path)
    run(open_run(tmp_path, "abc"), work)
    assert work.runs == 1 and not (tmp_path / "fit" / "work.json").exists()


def test_a_run_that_was_killed_between_two_renames_has_its_earlier_stage_again(folder: RunFolder) -> None:
    work = Work()
    run(folder, work)
    before = snapshot(folder.root)
    (folder.root / "fit").rename(folder.root / ".fit.old")
    (folder.root / ".evaluate.again").mkdir()
    (folder.root / ".config.yaml.partial").write_text("half")
    settle_run(folder.root)
    assert snapshot(folder.root) == before
    assert not list(folder.root.glob(".*"))
    # Killed after the second rename the earlier one is of no use.
    (folder.root / ".fit.old").mkdir()
    settle_run(folder.root)
    assert snapshot(folder.root) == before and not (folder.root / ".fit.old").exists()


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_arrays(tmp_path / name / "x.npz", first=np.arange(5), second=np.ones((2, 2), np.float32))
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")
    assert sorted(snapshot(tmp_path)) == ["a/x.npz", "b/x.npz"]


def test_a_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    first = digest_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = digest_folder(tmp_path)
    (tmp_path / "b").write_text("y")
    assert len({first, second, digest_folder(tmp_path)}) == 3


def test_a_run_says_what_it_was_made_with(folder: RunFolder) -> None:
    _, result = run(folder, Work())
    record_run(folder, {"seed": 0}, [result], protocol="held-out")
    said = read_json(folder.root / "run.json")
    assert said["session_fingerprint"] == "abc" and said["config"] == {"seed": 0}
    assert said["versions"]["numpy"] == np.__version__ and said["protocol"] == "held-out"
    assert said["stages"]["fit"]["digest"] == result.digest
    assert open_run(folder.root, "abc") == folder


def test_a_file_that_may_not_be_read_is_not_the_disk_s_fault(tmp_path: Path) -> None:
    """The names decide: tests may run as somebody who may read everything."""
    (tmp_path / "run").mkdir()
    elsewhere = tmp_path / "captures" / "video.mp4"
    with pytest.raises(InputError, match="may not be read"), disk_errors(tmp_path / "run" / "stage"):
        raise PermissionError(errno.EACCES, "Permission denied", str(elsewhere))
    ours = tmp_path / "run" / "stage" / "fit.npz"
    with pytest.raises(RunError, match="cannot be written"), disk_errors(tmp_path / "run" / "stage"):
        raise PermissionError(errno.EACCES, "Permission denied", str(ours))


def test_a_runs_json_is_not_read_whatever_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"a": "' + 100 * "x" + '"}')
    assert len(read_json(path)["a"]) == 100
    monkeypatch.setattr(files, "MOST_JSON_BYTES", 99)
    with pytest.raises(RunError, match="109 bytes, of at most 99"):
        read_json(path)


# -- siblings --------------------------------------------------------------------------------------


def test_a_stage_of_the_same_key_is_taken_over_from_a_sibling(folder: RunFolder, tmp_path: Path) -> None:
    work = Work()
    _, made = run(folder, work)
    other = replace(open_run(tmp_path / "other", "abc"), siblings=(tmp_path / "nowhere", folder.root))
    value, taken = run(other, work)
    assert (value, taken.digest, taken.skipped, work.runs) == (1.0, made.digest, True, 1)
    assert (other.root / "fit" / "values.npz").samefile(folder.root / "fit" / "values.npz")
    assert not list(other.root.glob(".*"))
    # It is the run's own from then on, and another setting is computed.
    assert run(open_run(tmp_path / "other", "abc"), work)[1].skipped
    assert not run(other, work, config={"steps": 4})[1].skipped and work.runs == 2
    assert read_json(folder.root / "fit" / "stage.json")["config"] == {"steps": 3}


def test_a_damaged_sibling_gives_nothing(folder: RunFolder, tmp_path: Path) -> None:
    work = Work()
    run(folder, work)
    write_arrays(folder.root / "fit" / "values.npz", values=np.zeros(3))
    other = replace(open_run(tmp_path / "other", "abc"), siblings=(folder.root,))
    assert run(other, work)[0] == 1.0 and work.runs == 2


def test_where_there_are_no_links_files_are_copied(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    work = Work()
    run(folder, work)
    monkeypatch.setattr(os, "link", refuse)
    other = replace(open_run(tmp_path / "other", "abc"), siblings=(folder.root,))
    assert run(other, work)[1].skipped and work.runs == 1
    assert not (other.root / "fit" / "values.npz").samefile(folder.root / "fit" / "values.npz")
