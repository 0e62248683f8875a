"""What is written is what its name says: a file of another format, or a folder called as a file, is refused at once."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest

from simulacra.render.runtime.errors import RunError
from simulacra.tools.cli import COMMANDS, FAMILIES, main
from simulacra.tools.commands.arguments import check_file, check_folder
from simulacra.tools.commands.outputs import marked_outputs

WORDS = {
    "a splat": ["export", "RUN", "--to", "ply", "--out", "av.splat"],
    "a WebM": ["animate", "RUN", "m.bvh", "--out", "clip.webm"],
    "a moving sheet": ["stage-people", "--out", "sheet.gif"],
    "a TOML of clocks": ["calibrate", "clocks", "SESSION", "RUN/observe", "--json", "clocks.toml"],
    "a run in a page": ["reconstruct", "SESSION", "--out", "report.html"],
    "a session in JSON": ["import", "qualisys", "SRC", "session.json"],
    "a scene in an archive": ["export-session", "SESSION", "--to", "colmap", "--out", "scene.zip"],
    "a stage in a video": ["stage", "--config", "rgbd_ring", "--out", "stage.mp4"],
}


def inputs(place: Path) -> list[Path]:
    """What the commands read, as far as they look at it before they write."""
    for name in ("RUN", "SESSION", "SRC"):
        (place / name).mkdir()
    (place / "SESSION/session.json").write_text("{}")
    (place / "m.bvh").write_text("")
    return sorted(place.iterdir())


@pytest.mark.parametrize("what", WORDS)
def test_a_name_of_another_kind_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = inputs(tmp_path)
    assert main(WORDS[what]) == 2
    said = capsys.readouterr().err
    name = Path(WORDS[what][-1])
    assert (
        f"found: {name.suffix}" in said
        and f"where: {name}" in said
        and f"{name.stem}" in said.split("do: ")[1]
    )
    assert sorted(tmp_path.iterdir()) == before


def test_names_of_the_kind_are_taken(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.M4V", "c"):
        check_file(tmp_path / name, (".mp4", ".m4v"), "a video")
    for name in ("run", "run.2", "take 1.5"):
        check_folder(tmp_path / name, "a run")
    (tmp_path / "d.mp4").mkdir()
    with pytest.raises(RunError, match="folder has the name"):
        check_file(tmp_path / "d.mp4", (".mp4",), "a video")


# Each command that writes where it is told to; OUT stands for the place.
WRITING = {
    "animate": "animate RUN m.bvh --out OUT",
    "calibrate apply": "calibrate apply c.json SESSION OUT",
    "calibrate board": "calibrate board SRC OUT --board b.toml",
    "calibrate clocks": "calibrate clocks SESSION RUN/observe --json OUT",
    "calibrate rig": "calibrate rig SESSION --out OUT",
    "check": "check SESSION --out OUT",
    "compare": "compare RUN RUN2 --out OUT",
    "demo": "demo --out OUT",
    "design": "design --out OUT",
    "evaluate": "evaluate RUN --out OUT",
    "export": "export RUN --to ply --out OUT",
    "export-session": "export-session SESSION --to colmap --out OUT",
    "import": "import qualisys SRC OUT",
    "reconstruct": "reconstruct SESSION --out OUT",
    "soak": "bench soak --out OUT",
    "stage": "stage --config phones --out OUT",
    "stage-people": "stage-people --out OUT",
    "stage-sensors": "stage-sensors --captures CAPTURES --out OUT",
    "sweep": "sweep SESSION --out OUT --avatar.steps 1,2",
    "synchronise": "synchronise SESSION --out OUT",
    "synchronise --json": "synchronise SESSION --out NEW --json OUT",
}
FILES = {"animate", "calibrate clocks", "compare", "stage-people", "stage-sensors", "synchronise --json"}
NEW = {"calibrate apply", "calibrate rig", "export-session", "import", "stage", "synchronise"}


def refused(words: str, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, of a place that is named on the command line."""
    before = sorted(out.parent.parent.rglob("*"))
    assert main([str(out) if word == "OUT" else word for word in words.split()]) == 2
    assert sorted(out.parent.parent.rglob("*")) == before
    return capsys.readouterr().err


@pytest.mark.parametrize("name", WRITING)
def test_a_place_that_cannot_be_written_is_refused_before_anything_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("mine")
    # No input is there: whoever begins with that says something else.
    assert "a file is where a folder has to be" in refused(WRITING[name], tmp_path / "afile/new", capsys)
    if name not in FILES | {"export"}:
        assert "a file, not a folder" in refused(WRITING[name], tmp_path / "afile", capsys)
    inputs(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    if name in FILES | {"export"}:
        assert "a folder has the name of the file" in refused(WRITING[name], tmp_path / "full", capsys)
    if name in NEW:
        assert "there is something already" in refused(WRITING[name], tmp_path / "full", capsys)
    (tmp_path / "shut").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "shut" and real(path, mode))
    said = refused(WRITING[name], tmp_path / "shut/new", capsys)
    assert "nothing can be written there" in said and f"where: {tmp_path / 'shut'}\n" in said


def test_the_folder_of_something_else_is_refused_before_libraries_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    said = refused(WRITING["reconstruct"], tmp_path / "out", capsys)
    assert "is not empty and is not a run" in said


def commands() -> dict[str, Callable[..., None]]:
    """All of them by their names on the command line."""
    families = ((name, each) for name, (_, inner) in FAMILIES.items() for each in inner().items())
    return COMMANDS | {f"{name} {word}": command for name, (word, command) in families}


def test_every_command_declares_what_it_writes() -> None:
    for name, command in commands().items():
        marked = marked_outputs(get_type_hints(command, include_extras=True))
        written = {"out", "json", "answers"} & set(inspect.signature(command).parameters)
        written |= {"session"} if name.startswith("import ") else set()
        written -= {"json"} if name.startswith("bench ") else set()  # a switch there
        assert set(marked) == written, name
