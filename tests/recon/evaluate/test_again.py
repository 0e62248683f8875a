"""A finished run scored again: the same numbers, other cameras beside them, and nothing harmed by an error."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulacra.recon.avatar.record import TrainedResult, save_trained
from simulacra.recon.evaluate.again import evaluate_run
from simulacra.recon.fit import save_fit
from simulacra.recon.pipeline import ReconstructionConfig, protocol_of
from simulacra.recon.runs.chain import check_records
from simulacra.recon.runs.configuration import changed_config, dump_config, format_config
from simulacra.recon.runs.files import read_json, write_json
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.run_facts import record_run
from simulacra.recon.runs.run_folder import open_run
from simulacra.recon.runs.stages import StageResult, digest_folder, run_stage
from simulacra.recon.session import Session, load_session
from simulacra.recon.session.truth import evidence_fingerprint
from simulacra.render.body import BodyModel
from simulacra.render.runtime.errors import ConfigError, RunError
from tests.recon.planted_capture import planted_avatar, planted_fit, planted_session


@pytest.fixture(scope="module")
def finished(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session, and a run of it as the pipeline leaves one, with camera c held out."""
    root = tmp_path_factory.mktemp("finished")
    avatar = planted_avatar(body)
    session = planted_session(root / "session", body, avatar)
    run = root / "run"
    save_run(run, session, body)
    evaluate_run(run)
    return root


SETTINGS = changed_config(
    ReconstructionConfig(),
    {"views": {"held_out_cameras": ["c"]}, "evaluate": {"pictures": 1, "turntable": 0}},
    "this test",
)


def save_run(root: Path, session: Session, body: BodyModel, shift: float = 0.15) -> None:
    avatar, run = planted_avatar(body), open_run(root, session.fingerprint())
    made: list[StageResult] = []
    protocol = protocol_of(session, SETTINGS.views)

    def keep(name: str, config: object, inputs: dict[str, str], save: Callable[[Path], None]) -> None:
        said: dict[str, Any] = {"version": 1, "config": config, "inputs": inputs, "load": lambda _: None}
        made.append(run_stage(run, name, compute=save, **said)[1])

    def digests() -> dict[str, str]:
        return {result.name: result.digest for result in made}

    views = {"cameras": "a,b", "frames": "0,1", "colors": "0,1"}
    keep("fit", {}, views, lambda folder: save_fit(planted_fit(body, avatar, shift), folder))
    keep("avatar", {}, views | digests(), lambda folder: save_trained(folder, TrainedResult(avatar=avatar)))
    said = {"protocol": json.dumps(protocol.as_json()), "evidence": evidence_fingerprint(session)}
    said |= {"perception": ",".join(SETTINGS.evaluate.view.able())}
    scores = dump_config(SETTINGS.evaluate)
    keep("evaluate", scores, views | said | digests(), lambda folder: write_json(folder / "old.json", {}))
    record_run(run, dump_config(SETTINGS), made, session=str(session.root))


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
    assert stage["digest"] == digest_folder(folder)
    check_records(run, ["evaluate"])
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
    with pytest.raises(RunError, match="not the folder of a finished run"):
        evaluate_run(tmp_path / "nowhere")
    (run / "avatar" / "stage.json").unlink()
    with pytest.raises(RunError, match="not the folder of a finished run"):
        evaluate_run(run)


def other_views(**views: object) -> ReconstructionConfig:
    return changed_config(SETTINGS, {f"views.{name}": value for name, value in views.items()}, "this test")


def test_a_configuration_that_was_never_trained_with_decides_nothing(run: Path) -> None:
    """As it lies in the folder of a run whose later reconstruction with other views was stopped."""
    before = (run / "evaluate" / "metrics.json").read_bytes()
    (run / "config.yaml").write_text(format_config(other_views(held_out_cameras=["b"])))
    evaluate_run(run)
    assert (run / "evaluate" / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("views", [{"held_out_cameras": ["b"]}, {"held_out_every": 2}, {"most_frames": 1}])
def test_a_protocol_that_does_not_fit_what_was_trained_is_refused(run: Path, views: dict[str, Any]) -> None:
    before = (run / "evaluate" / "metrics.json").read_bytes()
    said = read_json(run / "run.json")
    write_json(run / "run.json", said | {"config": dump_config(other_views(**views))})
    with pytest.raises(RunError, match=r"not trained on[\s\S]*expected[\s\S]*found[\s\S]*reconstruct"):
        evaluate_run(run)
    assert (run / "evaluate" / "metrics.json").read_bytes() == before


def test_an_avatar_beside_another_fit_is_not_scored(
    run: Path, finished: Path, body: BodyModel, tmp_path: Path
) -> None:
    save_run(tmp_path / "other", load_session(finished / "session"), body, shift=0.3)
    for stage in ("fit", "avatar"):
        shutil.rmtree(run / stage)
        shutil.copytree(tmp_path / "other" / stage, run / stage)
        with pytest.raises(RunError, match=r"made of another fit|describes another"):
            evaluate_run(run)


def test_a_stage_that_was_removed_or_changed_is_named(run: Path) -> None:
    content = bytearray((run / "fit" / "fit.npz").read_bytes())
    content[200] ^= 1
    (run / "fit" / "fit.npz").write_bytes(content)
    with pytest.raises(RunError, match="content of the stage fit"):
        evaluate_run(run)
    shutil.rmtree(run / "fit")
    with pytest.raises(RunError, match="stage fit is not in this run"):
        evaluate_run(run)


def test_a_run_that_somebody_writes_into_is_not_evaluated(run: Path) -> None:
    with write_lock(run), pytest.raises(RunError, match="another process"):
        evaluate_run(run)
