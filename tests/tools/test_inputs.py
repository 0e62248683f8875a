"""What is named and not there, or is something else, is said at once with the command that was probably meant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import get_type_hints

import pytest

from simulacra.tools.cli import main
from simulacra.tools.commands.inputs import input_of, near_path
from tests.tools.test_outputs import commands


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session, two runs of which one is of it, a capture and a folder of documents."""
    for name, described in {"session_one": {}, "other": {}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "session.json").write_text(json.dumps(described))
    for name in ("runs/first", "runs/second", "demo/run"):
        (tmp_path / name / "avatar").mkdir(parents=True)
        (tmp_path / name / "run.json").write_text(json.dumps({"session": str(tmp_path / "session_one")}))
    (tmp_path / "Capture 1/videos").mkdir(parents=True)
    (tmp_path / "Capture 1/videos/a.mp4").write_bytes(b"")
    (tmp_path / "Capture 1/camera_array.toml").write_text("")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/a.doc").write_text("")
    (tmp_path / "walk.bvh").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = {
    "a session that is mistyped": ("check sesion_one", "there is no session", "check session_one"),
    "in another case": ("check Session_One --frames 1", "there is no session", "check session_one --frames 1"),
    "a run that is mistyped": ("export runs/frist --out a.ply", "there is no run", "export runs/first --out a.ply"),
    "a folder that is mistyped": ("export rnus/first --out a.ply", "no run", "export runs/first --out a.ply"),
    "of several the one": ("compare runs/first runs/secnd", "no run", "compare runs/first runs/second"),
    "the folder above a run": ("export demo --out a.ply", "there is one in it", "export demo/run --out a.ply"),
    "the folder of runs": ("export runs --out a.ply", "there are 2 in it", "export runs/first --out a.ply"),
    "a stage of a run": ("export demo/run/avatar --out a.ply", "one above it", "export {}/demo/run --out a.ply"),
    "a run for its session": ("check demo/run", "a run, and not a session", "check {}/session_one"),
    "a session for a run": ("export other --out a.ply", "a session, and not", "reconstruct other --out other-run"),
    "a capture for a session": ("check documents", "there is no session", "import documents documents-session"),
    "a capture that is mistyped": ("import 'capture 2' s", "no such capture", "import 'Capture 1' s"),
    "with its layout": ("import caliscope 'Capture1' s", "no such capture", "import caliscope 'Capture 1' s"),
    "a folder too many": ("validate x/walk.bvh", "no such file", "validate walk.bvh"),
    "a file that is mistyped": ("validate wakl.bvh", "no such file", "validate walk.bvh"),
    "a part of a capture": ("import 'Capture 1/videos' s", "a part of a capture", "import '{}/Capture 1' s"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_was_probably_meant_is_said_as_a_whole_command(
    mistake: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, what, meant = MISTAKES[mistake]
    assert main(shlex.split(given)) == 2
    first, *facts = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ") and what in first
    assert facts[-1].endswith(f"simulacra {meant.format(place)}")
    assert len(facts) <= 3


def test_what_is_called_nothing_alike_has_no_guess(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "xyzzy"]) == 2
    said = capsys.readouterr().err
    assert "do:" not in said and f"{place} is there, and nothing of that name in it" in said


def test_the_layouts_are_a_list_and_come_after_a_sentence(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "documents", "s"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: what kind of capture this is cannot be told"
    assert "    caliscope      camera_array.toml" in lines
    assert max(map(len, lines)) <= 120 and "  found: 1 .doc" in lines


def test_a_near_path_is_one_that_is_there(place: Path) -> None:
    assert near_path(Path("runs/frist")) == Path("runs/first")
    assert near_path(place / "run/second/avatar") == place / "runs/second/avatar"
    assert near_path(Path("extra/session_one")) == Path("session_one")
    assert near_path(Path("runs/third-of-all")) is None


def test_every_session_run_and_source_of_a_command_is_looked_at() -> None:
    for name, command in commands().items():
        hints = get_type_hints(command, include_extras=True)
        kinds = {each: mark.kind for each, hint in hints.items() if (mark := input_of(hint)) is not None}
        wanted = {
            "session": "session",
            "sessions": "session",
            "run": "run",
            "runs": "run",
            "across": "run",
            "src": "capture",
        }
        wanted |= dict.fromkeys(("motion", "skeleton", "file", "gaussians", "world", "board"), "file")
        # An option says where a run's session is now; an import's session is made.
        skipped = {"session"} if name == "export" or name.startswith("import ") else set()
        skipped |= {"gaussians"} if name.startswith("bench ") else set()  # how many
        # Of clocks and boards these are no single file.
        kinds.pop("observed", None)
        assert kinds == {each: wanted[each] for each in hints if each in wanted and each not in skipped}, name
