"""The bench of quality: which captures and methods it is of, that nothing is made twice, and its table's arithmetic."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.configuration import load_config
from simulacra.recon.runs.files import read_json, write_json
from simulacra.render.runtime.errors import CaptureError, ConfigError, RunError
from simulacra.tools.bench import quality
from simulacra.tools.bench.quality import Done, Work
from simulacra.tools.bench.quality_table import OverCaptures, collect_table, markdown, write_table
from simulacra.tools.cli import main
from simulacra.tools.commands import warmup
from simulacra.tools.commands.configurations import brought_configs, config_file
from simulacra.tools.report.wording import shown_change
from simulacra.tools.virtual.config import VirtualCaptureConfig
from simulacra.tools.virtual.sensors.depth import Stereo
from tests.recon.ellipsoid_person import synthetic_session
from tests.tools.comparison.planted_runs import plant_run

RING = load_config(VirtualCaptureConfig, brought_configs()["stage/rgbd_ring"])
STUDIO = load_config(ReconstructionConfig, brought_configs()["studio_rgbd"])


def test_people_differ_by_their_seed_and_their_sensors_by_what_errors_they_have() -> None:
    made = {person.name: person.stage for person in quality.people(RING, 2, 31, ("perfect", "real"))}
    assert list(made) == ["person31-perfect", "person31-real", "person32-perfect", "person32-real"]
    perfect, real = made["person31-perfect"], made["person31-real"]
    assert perfect.person == real.person and perfect.person.seed == perfect.seed == perfect.light_seed == 31
    assert made["person32-real"].person.seed == 32
    assert (perfect.calibration_deg, perfect.calibration_mm) == (0, 0)
    assert (perfect.color.noise, perfect.color.bayer, perfect.color.defocus_px) == (False, False, 0.3)
    depth: Any = perfect.depth
    assert (depth.noise_m, depth.wiggling_m, depth.multipath, depth.kind) == (0, 0, 0, "time_of_flight")
    assert (real.calibration_deg, real.calibration_mm) == (0.15, 2.0)
    assert (real.color, real.depth, real.rig) == (RING.color, RING.depth, perfect.rig)
    with pytest.raises(ConfigError, match="time of flight"):
        list(quality.people(replace(RING, depth=Stereo(kind="stereo")), 1, 0, ("perfect",)))
    assert len(list(quality.people(replace(RING, depth=None), 1, 0, ("perfect",)))) == 1


def test_methods_are_ours_baselines_and_files(tmp_path: Path) -> None:
    own = tmp_path / "blobs.yaml"
    own.write_text("avatar: {kind: free_splats, steps: 7}\nviews: {held_out_cameras: ['5']}\n")
    found = quality.methods_of(("ours", "depth_splats", "body_only", str(own)), config_file)
    assert [method.name for method in found] == ["ours", "depth_splats", "body_only", "blobs"]
    assert found[0].avatar is None and found[1].avatar.kind == "depth_splats" and found[3].avatar.steps == 7
    body = found[2].avatar
    assert (body.kind, body.wrap, body.mesh_rates.verts) == ("mesh", False, 0)
    for names in (("ours", "ours"), ()):
        with pytest.raises(ConfigError, match="told apart"):
            quality.methods_of(names, config_file)
    with pytest.raises(ConfigError, match="no such configuration"):
        quality.methods_of(("free_splatz",), config_file)


def test_methods_differ_in_their_avatar_alone_and_one_that_fails_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, Any, str, tuple[str, ...]]] = []

    def stand_in(session: Path, config: Any, out: Path, name: str, *, siblings: tuple[Path, ...]) -> None:
        called.append((out.name, config, name, tuple(path.name for path in siblings)))
        if config.avatar.kind == "depth_splats":
            raise CaptureError("there is no depth")
        out.mkdir(parents=True)

    monkeypatch.setattr(quality, "reconstruct", stand_in)
    methods = quality.methods_of(("ours", "depth_splats", "free_splats"), config_file)
    work = Work("s", tmp_path / "s", STUDIO, "studio_rgbd")
    done = quality.run_methods(work, methods, tmp_path / "runs")
    assert [(out, name, siblings) for out, _, name, siblings in called] == [
        ("ours", "studio_rgbd", ()),
        ("depth_splats", "depth_splats", ("ours",)),
        ("free_splats", "free_splats", ("ours",)),
    ]
    assert called[0][1] == STUDIO
    assert all(replace(config, avatar=STUDIO.avatar) == STUDIO for _, config, _, _ in called)
    assert [each.failed is None for each in done.values()] == [True, False, True]
    assert "no depth" in str(done["depth_splats"].failed)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of people that were recorded; a folder stands for their session."""
    seeds: list[int] = []

    def stand_in(settings: VirtualCaptureConfig, out: Path) -> None:
        seeds.append(settings.seed)
        out.mkdir()

    monkeypatch.setattr(quality, "record_session", stand_in)
    return seeds


def test_people_that_are_there_are_not_recorded_again(tmp_path: Path, recorded: list[int]) -> None:
    folder = tmp_path / "people"
    for _ in range(2):
        for person in quality.people(RING, 2, 5, ("real",)):
            assert quality.record_person(person, folder) == folder / person.name
    assert recorded == [5, 6]
    (other,) = quality.people(replace(RING, frames=2), 1, 5, ("real",))
    with pytest.raises(RunError, match="other settings"):
        quality.record_person(other, folder)
    # One that was stopped while it was recorded is begun again.
    (stopped,) = quality.people(RING, 1, 9, ("real",))
    write_json(folder / f"{stopped.name}.json", {"seed": 9})
    quality.record_person(stopped, folder)
    assert recorded == [5, 6, 9]


def test_captures_of_one_name_are_refused(tmp_path: Path) -> None:
    resolve: Callable[[Path], tuple[str, ReconstructionConfig]] = lambda _: ("studio_rgbd", STUDIO)  # noqa: E731
    twice = [tmp_path / "a" / "s", tmp_path / "b" / "s"]
    with pytest.raises(ConfigError, match="folders' names"):
        next(quality.captures_of(twice, [], tmp_path / "people", resolve))


def planted(tmp_path: Path, gains: list[float]) -> dict[str, dict[str, Done]]:
    """Of every capture a run of 20 dB, one that is so much worse, and one that failed."""
    done = {}
    for index, gain in enumerate(gains):
        folder = tmp_path / f"c{index}"
        ours = plant_run(folder / "ours", steps=10, session="abcdef"[index])
        theirs = plant_run(folder / "theirs", gain=-gain, steps=11, session="abcdef"[index])
        done[f"c{index}"] = {"ours": Done(ours), "theirs": Done(theirs), "third": Done(folder, "no\n depth")}
    return done


def test_the_table_has_every_number_and_differences_over_captures(tmp_path: Path) -> None:
    gains = [2.0, 1.0, -1.0, 3.0, 2.5]
    table = collect_table(("ours", "theirs", "third"), planted(tmp_path, gains))
    (over,) = table.over_captures("theirs").values()
    # 0.01 dB of noise a view.
    assert list(over.values.values()) == pytest.approx(gains, abs=0.02)
    assert over.mean == pytest.approx(1.5, abs=0.02) and over.better == 4
    low, high = over.interval or (0, 0)
    assert -1 < low < 1.5 < high < 3
    assert table.over_captures("third") == {}
    text = write_table(tmp_path, table)
    assert text == (tmp_path / "quality.md").read_text()
    assert "third failed: no depth" in text
    written = read_json(tmp_path / "quality.json")
    first = written["captures"][0]
    assert first["runs"]["ours"]["scores"] == pytest.approx(table.runs["c0"]["ours"].scores)
    assert first["differences"]["theirs"]["psnr_fg"]["told"] == "better"
    assert first["differences"]["theirs"]["psnr_fg"]["views"] == 8
    assert first["failed"] == {"third": "no\n depth"}
    assert written["over_captures"]["theirs"]["psnr_fg"]["captures"] == 5
    lines = list(markdown(table))
    assert any(line.startswith("| psnr_fg, dB ↑ | ") for line in lines)
    assert shown_change("psnr_fg", over.mean) in text and "; 4 of 5" in text


def test_of_few_captures_there_is_no_interval_and_less_may_be_better() -> None:
    error = OverCaptures("depth_median_mm", {"a": -1.0, "b": 2.0, "c": -3.0})
    assert error.interval is None and error.better == 2
    offset = OverCaptures("outline_offset_px", {"a": -0.5})  # of distances from 0
    assert offset.better == 1


def test_the_command_measures_tells_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], recorded: list[int]
) -> None:
    """From words to table; what takes long is a stand-in, which is asked for each method of each capture."""
    session = synthetic_session(tmp_path / "session", cameras=4, size=32).root
    asked: list[tuple[str, str]] = []

    def stand_in(of: Path, config: Any, out: Path, name: str, *, siblings: tuple[Path, ...]) -> None:
        asked.append((out.parent.name, out.name))
        if not out.exists():
            plant_run(out, steps=len(asked) + 1, session="s")

    monkeypatch.setattr(quality, "reconstruct", stand_in)
    monkeypatch.setattr(warmup, "warm_up", lambda **_: None)
    out = tmp_path / "bench"
    words = ["bench", "quality", str(session), "--out", str(out), "--config", "studio_rgbd", "--people", "1",
             "--sensors", "perfect", "--methods", "ours", "mesh_only"]  # fmt: skip
    for _ in range(2):
        asked.clear()
        assert main(words) == 0
        both = ("session", "person0-perfect")
        assert asked == [(capture, method) for capture in both for method in ("ours", "mesh_only")]
    assert recorded == [0]
    said = capsys.readouterr().out
    assert "## session" in said and "## ours minus each, over captures" in said
    assert [each["name"] for each in json.loads((out / "quality.json").read_text())["captures"]] == list(both)
    assert main(["bench", "quality", "--out", str(out)]) == 2
    assert "no capture" in capsys.readouterr().err
