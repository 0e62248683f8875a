"""An avatar in another session: right where that shows the same person so, refused where it cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from simulacra.recon.evaluate.across import check_pair, evaluate_across
from simulacra.recon.evaluate.again import ScoredRun, open_scored
from simulacra.recon.session import load_session
from simulacra.render.body import BodyModel
from simulacra.render.runtime.errors import RunError
from tests.recon.evaluate.test_again import save_run
from tests.recon.planted_capture import planted_avatar, planted_session


@pytest.fixture(scope="module")
def runs(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A run, one of another session that shows the same avatar, and one of that session whose fit is 0.3 m off."""
    root = tmp_path_factory.mktemp("across")
    for name in ("first", "second"):
        session = planted_session(root / name / "session", body, planted_avatar(body))
        about = json.loads((session.root / "session.json").read_text())
        about["about"]["day"] = name
        (session.root / "session.json").write_text(json.dumps(about))
        save_run(root / name / "run", load_session(session.root), body)
    save_run(root / "second" / "wrong", load_session(root / "second" / "session"), body, shift=-0.15)
    return root / "first" / "run", root / "second" / "run", root / "second" / "wrong"


def test_an_avatar_in_the_poses_of_another_session_is_scored_on_what_that_held_out(
    runs: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    made, folder = evaluate_across(runs[0], runs[1], tmp_path)
    assert folder == tmp_path / "evaluate_across_run"
    said = json.loads((folder / "metrics.json").read_text())
    assert said["protocol"]["kinds"] == ["cross-session@1"] and said["protocol"]["name"] == "another session"
    assert (
        said["protocol"]["across"]["session"] == "session" and said["protocol"]["across"]["person"] == "S01"
    )
    assert [view["camera"] for view in said["protocol"]["judges"]["cross-session@1"]] == ["c", "c"]
    assert not said["protocol"]["seen_in_training"]
    assert said["scores"]["mask_iou"]["mean"] == pytest.approx(1.0, abs=0.01)
    assert list(said["by_protocol"]) == ["cross-session@1"]
    assert "which its training used nothing" in said["protocol"]["statement"]
    assert made.protocol.digest != replace(made.protocol, across=None).digest
    # The poses are the other run's: where its fit is wrong in frame 1, so is this.
    wrong, _ = evaluate_across(runs[0], runs[2], tmp_path)
    by_frame = {view.frame: value for view, value in wrong.scores["mask_iou"].values.items()}
    assert by_frame[0] == pytest.approx(1.0, abs=0.01) and by_frame[1] < 0.8


def test_one_session_and_other_people_are_refused(runs: tuple[Path, Path, Path]) -> None:
    ours, theirs = open_scored(runs[0]), open_scored(runs[1])
    with pytest.raises(RunError, match="both runs are of one session"):
        check_pair(runs[1], runs[2], theirs, theirs, False)

    def of(subject: str | None) -> ScoredRun:
        about = {} if subject is None else {"subject": subject}
        return replace(theirs, session=replace(theirs.session, about=about))

    assert check_pair(runs[0], runs[1], ours, of("S01"), False) == "S01"
    with pytest.raises(RunError, match="different people"):
        check_pair(runs[0], runs[1], ours, of("S02"), True)
    with pytest.raises(RunError, match="nothing says that the sessions are of one person"):
        check_pair(runs[0], runs[1], ours, of(None), False)
    assert check_pair(runs[0], runs[1], ours, of(None), True) is None
    with pytest.raises(RunError, match="without a body"):
        check_pair(runs[0], runs[1], ours, replace(theirs, fit=None), False)
