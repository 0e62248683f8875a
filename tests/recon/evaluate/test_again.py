"""A finished run scored again: the same numbers, other cameras beside them, and nothing harmed by an error."""

import json
import shutil
from pathlib import Path

import pytest

from simulacra.recon.avatar.record import TrainedResult, save_trained
from simulacra.recon.evaluate.again import evaluate_run
from simulacra.recon.fit import save_fit
from simulacra.recon.session import Session
from simulacra.render.body import BodyModel, load_body
from simulacra.render.runtime.errors import AssetError, ConfigError, RunError
from tests.recon.planted_capture import planted_avatar, planted_fit, planted_session


@pytest.fixture(scope="module")
def body() -> BodyModel:
    try:
        return load_body()
    except AssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def finished(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session, and a run of it as the pipeline leaves one, with camera c held out."""
    root = tmp_path_factory.mktemp("finished")
    avatar = planted_avatar(body)
    session = planted_session(root / "session", body, avatar)
    run = root / "run"
    save_splat_stage(run, session, body)
    evaluate_run(run)
    return root


def save_splat_stage(run: Path, session: Session, body: BodyModel) -> None:
    avatar = planted_avatar(body)
    for stage in ("avatar", "fit", "evaluate"):
        (run / stage).mkdir(parents=True)
        (run / stage / "stage.json").write_text(json.dumps({"key": stage, "digest": ""}))
    save_trained(run / "avatar", TrainedResult(avatar=avatar))
    save_fit(planted_fit(body, avatar), run / "fit")
    (run / "config.yaml").write_text(
        "views:\n  held_out_cameras: ['c']\nevaluate:\n  pictures: 1\n  turntable: 0\n"
    )
    described = {"session": str(session.root), "session_fingerprint": session.fingerprint()}
    (run / "run.json").write_text(json.dumps(described))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_again_gives_the_same_bytes_under_the_stages_own_key(run: Path) -> None:
    before = (run / "evaluate" / "metrics.json").read_bytes()
    _, folder = evaluate_run(run)
    assert folder == run / "evaluate"
    assert (folder / "metrics.json").read_bytes() == before
    stage = json.loads((folder / "stage.json").read_text())
    assert stage["key"] == "evaluate"
    assert len(stage["digest"]) == 64
    assert not list(run.glob(".*"))


def test_naming_the_held_out_cameras_changes_nothing(run: Path) -> None:
    before = (run / "evaluate" / "metrics.json").read_bytes()
    _, folder = evaluate_run(run, ("c",))
    assert (folder / "metrics.json").read_bytes() == before


def test_a_camera_of_the_training_is_scored_beside_and_flagged(run: Path) -> None:
    before = (run / "evaluate" / "metrics.json").read_bytes()
    _, folder = evaluate_run(run, ("a", "c"))
    assert folder == run / "evaluate_a_c"
    found = metrics(folder)
    assert found["protocol"]["seen_in_training"] is True
    assert found["protocol"]["locked"] is False
    assert found["protocol"]["name"] == "views seen in training"
    assert {(v["camera"], v["seen_in_training"]) for v in found["held_out"]["views"]} == {
        ("a", True),
        ("c", False),
    }
    assert (run / "evaluate" / "metrics.json").read_bytes() == before


def test_an_unknown_camera_harms_nothing(run: Path) -> None:
    before = (run / "evaluate" / "metrics.json").read_bytes()
    with pytest.raises(ConfigError, match="zebra"):
        evaluate_run(run, ("zebra",))
    assert (run / "evaluate" / "metrics.json").read_bytes() == before
    assert not list(run.glob(".*"))


def test_a_session_that_has_changed_is_refused(run: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "session", tmp_path / "session")
    picture = tmp_path / "session" / "images" / "a" / "000000.png"
    picture.write_bytes(picture.read_bytes() + b"0")
    described = json.loads((run / "run.json").read_text()) | {"session": str(tmp_path / "session")}
    (run / "run.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match="session has changed"):
        evaluate_run(run)


def test_a_folder_without_a_finished_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no finished run"):
        evaluate_run(tmp_path / "nowhere")
    (run / "avatar" / "stage.json").unlink()
    with pytest.raises(RunError, match="no finished run"):
        evaluate_run(run)
