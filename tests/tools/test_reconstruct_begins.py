"""The first seconds of a reconstruction: the run is there, it is said what is held out and what is waited for."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from simulacra.recon.runs import progress
from simulacra.recon.runs.run_facts import record_begin, record_run
from simulacra.recon.runs.run_folder import RunFolder, open_run
from simulacra.recon.runs.stages import StageResult
from simulacra.tools.cli import main
from simulacra.tools.commands import warmup
from simulacra.tools.comparison.summaries import summarize
from tests.recon.ellipsoid_person import synthetic_session

WARM_UP = "simulacra.tools.commands.reconstruct.warm_up"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_session(tmp_path_factory.mktemp("begins") / "s01", cameras=8, size=32).root


def stopped(session: Path, run: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """How the run is listed while kernels are compiled, in the middle of which it is stopped."""
    seen = []

    def compile_kernels(**_: object) -> None:
        seen.append(summarize(run).state)
        raise KeyboardInterrupt

    monkeypatch.setattr(WARM_UP, compile_kernels)
    assert main(["reconstruct", str(session), "--out", str(run), *words]) == 130
    return seen[0]


def test_a_run_is_there_while_kernels_are_compiled_and_is_kept_when_that_is_stopped(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert stopped(session, run, monkeypatch).startswith("being written by process ")
    assert "the same command continues from there" in capsys.readouterr().err
    described = json.loads((run / "run.json").read_text())
    assert (described["state"], described["stages"]) == ("begun", {})
    assert (described["session"], described["config_name"]) == (str(session), "studio_rgbd")
    assert described["config"]["views"]["held_out_cameras"] == ["3", "6"]
    assert summarize(run).state == "stopped before preflight"
    # The same command takes it, and other settings do too.
    stopped(session, run, monkeypatch, "--avatar.steps", "7")
    assert json.loads((run / "run.json").read_text())["config"]["avatar"]["steps"] == 7


def test_what_a_finished_run_says_of_itself_stays_until_the_next_is_finished(tmp_path: Path) -> None:
    run: RunFolder = open_run(tmp_path / "run", "s")
    record_begin(run, {"avatar": {"steps": 5}})
    assert json.loads((run.root / "run.json").read_text())["state"] == "begun"
    record_run(run, {"avatar": {"steps": 5}}, [StageResult("fit", "d", 1.0, 1.0, skipped=False)])
    finished = (run.root / "run.json").read_bytes()
    assert json.loads(finished)["state"] == "complete"
    record_begin(open_run(run.root, "s"), {"avatar": {"steps": 6}})
    assert (run.root / "run.json").read_bytes() == finished


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "held out: 2 cameras (3, 6)\n"),
        (("--config", "studio_rgbd"), "held out: 2 cameras (3, 6)\n"),
        (("--config", "smoke", "--views.held-out-cameras", "1"), "held out: 1 camera (1)\n"),
        (("--config", "multiview_video", "--views.held_out_every", "0"), "held out: nothing; the scores will be of"),
    ],
)  # fmt: skip
def test_what_is_held_out_is_said_with_every_configuration(
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    stopped(session, tmp_path / "run", monkeypatch, *words)
    assert capsys.readouterr().err.count(said) == 1


def test_what_is_compiled_is_said_after_seconds_and_what_is_loaded_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compiling() -> None:
        """Half a second of a processor's time."""
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass

    monkeypatch.setattr(warmup, "LOADED_S", 0.2)
    monkeypatch.setattr("simulacra.render.gaussians.warmup", compiling)
    monkeypatch.setattr(
        "simulacra.render.mesh.warmup", lambda: time.sleep(0.3)
    )  # a busy machine loads slowly
    monkeypatch.setattr("simulacra.render.body.load_body", lambda: None)
    monkeypatch.setattr("simulacra.recon.avatar.warm.warmup", lambda: None)
    assert progress.EVERY_S > 5
    warmup.warm_up(quiet=True)
    said = capsys.readouterr()
    assert re.match(
        r"  compiling kernels \(Gaussians, 1 of 3\), once per installation: a minute or two in all: \d s so far\n",
        said.err,
    )
    assert re.fullmatch(r"Gaussians: \d\.\d s, once per installation\n", said.out)


def test_the_libraries_are_named_while_they_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    named = []
    real = progress.working

    def heard(description: str, first_s: float | None = None) -> object:
        named.append(description)
        return real(description, first_s)

    monkeypatch.setattr(progress, "working", heard)
    session = tmp_path / "session"
    session.mkdir()
    (session / "session.json").write_text("{}")  # which only the libraries find out
    assert main(["reconstruct", str(session), "--out", str(tmp_path / "run")]) == 2
    assert "loading the libraries" in named
