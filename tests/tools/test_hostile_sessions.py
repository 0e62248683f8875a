"""A session.json that means harm, and what lies where pictures should: commands say so, and wait for nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulacra.recon.preflight import samples
from simulacra.recon.runs.files import read_json, write_json
from simulacra.render.body import load_body
from simulacra.render.runtime.errors import AssetError
from simulacra.tools.cli import main
from tests.recon.ellipsoid_person import synthetic_session
from tests.recon.preflight.blind import Blind
from tests.recon.runs.planted_records import write_records

IMAGE = "images/0/000000.png"
# The longest that a command may take here: a hundred times what it does.
LIMIT_S = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session, and a run that says it is of it, whose records are whole."""
    try:
        load_body()
    except AssetError as error:
        pytest.skip(str(error))
    root = tmp_path_factory.mktemp("whole")
    synthetic_session(root / "session", cameras=2, frames=1)
    write_records(root / "run")
    return root


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No command hangs: it would be stopped, and the test fail."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"longer than {LIMIT_S} s")

    monkeypatch.setattr(samples, "NetworkPersonDetector", Blind)
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


Change = Callable[[Path], object]


def described(change: Callable[[dict[str, Any]], object]) -> Change:
    def edit(session: Path) -> None:
        content = json.loads((session / "session.json").read_text())
        change(content)
        (session / "session.json").write_text(json.dumps(content))

    return edit


def index(value: object) -> Change:
    return described(lambda content: content["frames"][0].update(index=value))


def camera(name: str) -> Change:
    return described(lambda content: content["cameras"][0].update(name=name))


def source(**said: object) -> Change:
    return described(lambda content: content["frames"][0]["sources"]["0"].update(said))


def in_place(file: str, make: Callable[[Path], object]) -> Change:
    def edit(session: Path) -> None:
        (session / file).unlink()
        make(session / file)

    return edit


def pipe_as_video(session: Path) -> None:
    os.mkfifo(session / "0.mp4")
    source(file="0.mp4", number=0)(session)


CHANGES: dict[str, Change] = {
    **{f"index {value}": index(value) for value in (1e30, -1, 2**70, float("nan"), True)},
    "camera of 240 characters": camera("a" * 240),
    "camera of 4096 characters": camera("a" * 4096),
    "file of 240 characters": source(file="a" * 240 + ".png"),
    "file of 4096 characters": source(file="a" * 4096),
    "path of 4096 characters": source(file="a/" * 2048),
    "number 2**70": source(number=2**70),
    "time NaN": source(time=float("nan")),
    "pipe": in_place(IMAGE, os.mkfifo),
    "folder": in_place(IMAGE, Path.mkdir),
    "device": in_place(IMAGE, lambda path: path.symlink_to("/dev/zero")),
    "pipe as mask": in_place("masks/0/000000.png", os.mkfifo),
    "pipe as depth": in_place("depth/0/000000.png", os.mkfifo),
    "pipe as session.json": in_place("session.json", os.mkfifo),
    "pipe as video": pipe_as_video,
}


@pytest.mark.parametrize("name", CHANGES)
def test_commands_say_what_is_wrong_and_end(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    session, run = shutil.copytree(whole / "session", tmp_path / "session"), tmp_path / "run"
    shutil.copytree(whole / "run", run)
    of_session(run, session)
    CHANGES[name](session)
    try:
        status: object = main(["check", str(session), "--out", str(tmp_path / "out")])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    said = "".join(capsys.readouterr())
    assert "Traceback" not in said and "do:" in said
    assert main(["evaluate", str(run)]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and "session" in said
    assert len(said) < 2000


def of_session(run: Path, session: Path) -> None:
    """Makes run.json say that the run is of this session, with the records that it has."""
    says = read_json(run / "run.json")
    digest = read_json(run / "avatar/stage.json")["digest"]
    write_json(run / "run.json", says | {"session": str(session), "stages": {"avatar": {"digest": digest}}})
