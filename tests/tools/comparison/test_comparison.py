"""Many runs: which there are and how far they got, which may be compared, and by how much they differ."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from simulacra.recon.evaluate.protocol import View, lock_protocol
from simulacra.recon.evaluate.scoring import EvaluateConfig
from simulacra.recon.runs.configuration import dump_config
from simulacra.recon.runs.files import write_json
from simulacra.recon.runs.stages import digest_folder
from simulacra.render.runtime.errors import ConfigError, RunError
from simulacra.tools.cli import main
from simulacra.tools.comparison.choosing import choose
from simulacra.tools.comparison.comparing import changes_between, compare_runs, worst_views
from simulacra.tools.comparison.listing import list_runs
from simulacra.tools.comparison.page import say_verdict, write_comparison
from simulacra.tools.comparison.summaries import COMPLETE, find_runs, summarize
from tests.tools.comparison.planted_runs import CAMERAS, FRAMES, SETTINGS, plant_run

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run(name, gain=..., steps=..., protocol=..., session=...)`: a planted run."""
    return lambda name, gain=0.0, steps=10, **facts: plant_run(
        tmp_path / "runs" / name, gain=gain, steps=steps, **facts
    )


def test_runs_are_found_and_told_apart_by_what_differs(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run("a"), make_run("deep/b", gain=1.0, steps=60)
    (tmp_path / "runs" / ".hidden").mkdir()
    shutil.copytree(first, tmp_path / "runs" / ".hidden" / "c")
    assert find_runs(tmp_path) == [first, second] and find_runs(second) == [second]
    runs = [summarize(run, tmp_path / "runs") for run in (first, second)]
    assert [(run.name, run.state, run.title) for run in runs] == [
        ("a", COMPLETE, "smoke"),
        ("deep/b", COMPLETE, "smoke with avatar.steps 60"),
    ]
    assert runs[1].scores["psnr_fg"] - runs[0].scores["psnr_fg"] == pytest.approx(1.0, abs=0.02)
    lines = list(list_runs(runs, 80))
    assert lines[0].split() == ["name", "config", "psnr_fg", "seconds", "state"]
    assert lines[3].strip() == "avatar.steps 60" and len(lines) == 4


def test_how_far_a_run_got(make_run: MakeRun) -> None:
    run = make_run("a")
    write_json(run / ".lock", {"pid": os.getpid(), "host": platform.node(), "since": ""})
    assert summarize(run).state == f"being written by process {os.getpid()} on {platform.node()}"
    # No process has this number: the lock was left behind.
    write_json(run / ".lock", {"pid": 2**22 + 1, "host": platform.node(), "since": ""})
    assert summarize(run).state == COMPLETE
    shutil.rmtree(run / "evaluate")
    assert summarize(run).state == "stopped in evaluate" and summarize(run).scores == {}
    described = json.loads((run / "avatar" / "stage.json").read_text())
    (run / "evaluate").mkdir()
    write_json(run / "evaluate" / "stage.json", {})
    write_json(run / "avatar" / "stage.json", described | {"digest": "another"})
    assert summarize(run).state == "stopped in another reconstruction, after avatar"
    shutil.rmtree(run / "preflight")
    assert summarize(run).state == "stopped before preflight"
    (run / "run.json").write_text("{")
    assert summarize(run).state == "damaged: a run's own file cannot be read"
    with pytest.raises(RunError, match="not the folder of a run"):
        summarize(run / "avatar")


def test_runs_are_chosen_and_sorted(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        summarize(make_run(name, gain, steps))
        for name, gain, steps in (("a", 0, 10), ("b", 2, 60), ("c", 1, 120))
    ]

    def names(*where: str, sort: str = "name") -> list[str]:
        return [run.name for run in choose(runs, where, sort)]

    assert names(sort="psnr_fg") == ["b", "c", "a"] and names(sort="avatar.steps") == ["a", "b", "c"]
    assert names("psnr_fg>20.5") == ["b", "c"] and names("avatar.steps != 60", "name=a") == ["a"]
    assert names("depth_median_mm<5") == [] and names("depth_median_mm!=5") == ["a", "b", "c"]
    for wrong, said in (
        ("psnr", "a key, a sign"),
        ("psnr>3", "nothing of this name"),
        ("state<3", "neither more"),
    ):
        with pytest.raises(ConfigError, match=said):
            names(wrong)
    folder = str(runs[0].path.parent)
    assert main(["runs", folder, "--where", "avatar.steps>=60", "--sort", "psnr_fg", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(run["name"], run["changes"]) for run in listed] == [
        ("b", {"avatar.steps": 60}),
        ("c", {"avatar.steps": 120}),
    ]
    assert main(["runs", folder, "--where", "name=nobody"]) == 0
    assert "no runs in" in capsys.readouterr().out


def test_a_comparison_is_paired_and_says_what_differs(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    first, better = make_run("a"), make_run("b", gain=0.3, steps=60)
    found = compare_runs([first, better])
    assert found.changes == {"avatar.steps": (10, 60)} == changes_between(found.runs)
    (differences,) = found.differences
    # Views differ by up to 6 dB, the differences by 0.014 (both runs' noise): eight of them.
    assert differences["psnr_fg"].mean == pytest.approx(0.3, abs=0.02)
    assert differences["psnr_fg"].told == "better"
    assert say_verdict(found, "psnr_fg") == "PSNR, person: b is better than a by 0.30 dB."
    # sin is least at frame 5 of 0 to 7.
    assert worst_views(found, "psnr_fg", 2)[0] == View("2", 5)
    with pytest.raises(RunError, match="metric of views"):
        worst_views(found, "mpjpe_mm", 2)
    assert main(["compare", str(first), str(better), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["against"] == "a" and told["differences"][0]["metrics"]["psnr_fg"]["told"] == "better"
    assert main(["compare", str(first), str(better)]) == 0
    assert "+0.30 better" in capsys.readouterr().out


def test_the_page_shows_the_worst_views_side_by_side(make_run: MakeRun, tmp_path: Path) -> None:
    found = compare_runs([make_run("a"), make_run("b", gain=0.3, steps=60)])
    page = write_comparison(tmp_path / "page.html", found).read_text("utf-8")
    titles = re.findall(r'data-view="(Camera[^"]*)"', page)
    assert titles[0] == "Camera 2, frame 0" and len(titles) == 3
    assert re.findall(r'data-kind="([^"]*)"', page)[:5] == [
        "photo",
        "a",
        "b",
        "a, difference",
        "b, difference",
    ]
    assert "Of 8 scored views, 3 have pictures in every run" in page
    assert 'class="delta better"' in page and not re.search(r"https?://", page)


def test_what_cannot_be_compared_is_refused_with_the_reason(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    first = make_run("a")

    def refused(other: Path) -> str:
        assert main(["compare", str(first), str(other)]) == 2
        return capsys.readouterr().err

    said = refused(make_run("session", session="t"))
    assert "different sessions" in said and "/captures/s (ssss" in said and "/captures/t (tttt" in said
    said = refused(make_run("views", protocol=lock_protocol(CAMERAS, FRAMES, ("1",))))
    assert (
        "scored on different views" in said
        and "only the first: camera 2 frame 0" in said
        and "5 more" in said
    )
    seen = make_run("seen")
    scored = json.loads((seen / "evaluate" / "metrics.json").read_text())
    for view in scored["held_out"]["views"]:
        view["seen_in_training"] = True
    _rewrite(seen, scored)
    assert "the other was trained on" in refused(seen)
    smaller = make_run("smaller")
    _rewrite(smaller, scored | {"settings": SETTINGS | {"longest_side": 256}, **_held_out(smaller)})
    said = refused(smaller)
    assert "different evaluations" in said and "longest_side 512" in said and "longest_side 256" in said
    for what, change in (
        ("protocol held-out-view", lambda s: s["protocol"].update(kinds=["held-out-view@0"])),
        ("metric psnr_fg", lambda s: s["scores"]["psnr_fg"].update(version=1)),
    ):
        older = make_run(what.rpartition(" ")[2])
        scored = json.loads((older / "evaluate" / "metrics.json").read_text())
        change(scored)
        _rewrite(older, scored)
        said = refused(older)
        assert f"the {what} changed its meaning" in said and "`simulacra evaluate` on both" in said
    unscored = make_run("unscored")
    shutil.rmtree(unscored / "evaluate")
    assert "was not scored" in refused(unscored)
    damaged = make_run("damaged")
    (damaged / "evaluate" / "metrics.json").write_text("{}")
    assert "content of the stage evaluate is not what was written" in refused(damaged)
    assert "given twice" in refused(first)
    assert main(["compare", str(first)]) == 2
    # Control: the same settings and views in another folder of the same name.
    assert main(["compare", str(first), str(make_run("again/a"))]) == 0


def test_runs_of_another_training_are_compared_with_a_word(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, fewer = make_run("first"), make_run("fewer")
    scored = json.loads((fewer / "evaluate" / "metrics.json").read_text())
    scored["protocol"]["training_cameras"] = ["0"]
    _rewrite(fewer, scored)
    said = "fewer was trained on 1 cameras where first was trained on 2: the difference is of that, too."
    page = tmp_path / "page.html"
    assert main(["compare", str(first), str(fewer), "--out", str(page)]) == 0
    assert said in " ".join(capsys.readouterr().out.split()) and said in page.read_text("utf-8")
    assert compare_runs([first, fewer]).as_json()["doubts"] == [said]
    # Control: of one training nothing is said.
    assert compare_runs([first, make_run("other")]).doubts == []


def _held_out(run: Path) -> dict[str, object]:
    return {"held_out": json.loads((run / "evaluate" / "metrics.json").read_text())["held_out"]}


def _rewrite(run: Path, scored: dict[str, object]) -> None:
    """Other scores in a run, and the digest of them, as if they had been written so."""
    write_json(run / "evaluate" / "metrics.json", scored)
    said = json.loads((run / "evaluate" / "stage.json").read_text())
    write_json(run / "evaluate" / "stage.json", said | {"digest": digest_folder(run / "evaluate")})


def test_settings_of_an_evaluation_that_were_compared_are_those_that_it_has() -> None:
    assert set(SETTINGS) <= {key.rpartition(".")[2] for key in _keys(dump_config(EvaluateConfig()))}


def _keys(tree: dict[str, object], prefix: str = "") -> list[str]:
    nested = [(f"{prefix}{name}", value) for name, value in tree.items()]
    return [
        key
        for name, value in nested
        for key in (_keys(value, f"{name}.") if isinstance(value, dict) else [name])
    ]
