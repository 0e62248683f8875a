"""A capture that was drawn from a known avatar: scored with that avatar it is perfect, with a wrong one it is not."""

import math
from pathlib import Path

import pytest
import torch

from simulacra.recon.avatar.record import TrainedResult
from simulacra.recon.evaluate.protocol import lock_protocol
from simulacra.recon.evaluate.reconstruction import evaluate_reconstruction, facing
from simulacra.recon.evaluate.scoring import EvaluateConfig
from simulacra.recon.session import Session
from simulacra.render.avatar import Avatar, drive, rig_body
from simulacra.render.body import BodyModel
from tests.recon.planted_capture import FRAMES, NAMES, planted_avatar, planted_fit, planted_session


@pytest.fixture(scope="module")
def avatar(body: BodyModel) -> Avatar:
    return planted_avatar(body)


@pytest.fixture(scope="module")
def session(body: BodyModel, avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return planted_session(tmp_path_factory.mktemp("session"), body, avatar)


SETTINGS = EvaluateConfig(pictures=1, turntable=2)
PROTOCOL = lock_protocol(NAMES, FRAMES, held_out_cameras=("c",))


def test_the_planted_avatar_is_nearly_perfect_and_a_wrong_pose_is_not(
    body: BodyModel, avatar: Avatar, session: Session, tmp_path: Path
) -> None:
    result = TrainedResult(avatar=avatar)
    right = evaluate_reconstruction(
        tmp_path / "right", session, PROTOCOL, body, None, planted_fit(body, avatar), result, SETTINGS
    )
    # Inside the mask the capture is the render, but for 8 bits and the half-transparent rim that the mask cuts.
    assert right.scores["psnr_fg"].mean is not None
    assert right.scores["psnr_fg"].mean > 45
    assert right.scores["mask_iou"].mean == pytest.approx(1.0, abs=0.01)
    assert right.scores["reprojection_px"].mean == pytest.approx(4.0)
    wrong = planted_fit(body, avatar, shift=-0.15)
    scores = evaluate_reconstruction(
        tmp_path / "wrong", session, PROTOCOL, body, None, wrong, result, SETTINGS
    ).scores["mask_iou"]
    values = {view.frame: value for view, value in scores.values.items()}
    assert values[0] == pytest.approx(1.0, abs=0.01)
    assert values[1] < 0.8


def test_pictures_for_people_are_drawn(
    body: BodyModel, avatar: Avatar, session: Session, tmp_path: Path
) -> None:
    fit = planted_fit(body, avatar)
    evaluate_reconstruction(
        tmp_path, session, PROTOCOL, body, None, fit, TrainedResult(avatar=avatar), SETTINGS
    )
    assert sorted(path.name for path in (tmp_path / "overlay").iterdir()) == ["a.png", "b.png", "c.png"]
    assert len(list((tmp_path / "turntable").iterdir())) == 2
    assert len(list((tmp_path / "views").iterdir())) == 3


def test_free_gaussians_are_scored_without_a_body(
    body: BodyModel, avatar: Avatar, session: Session, tmp_path: Path
) -> None:
    rig = rig_body(body, avatar.shape, avatar.binding)
    free = drive(avatar, rig, planted_fit(body, avatar).pose_of(0))
    protocol = lock_protocol(NAMES, (0,), held_out_cameras=("c",))
    made = evaluate_reconstruction(
        tmp_path, session, protocol, body, None, None, TrainedResult(free=free), SETTINGS
    )
    assert made.scores["mask_iou"].mean == pytest.approx(1.0, abs=0.01)
    assert made.scores["reprojection_px"].reason == "the run has no detected keypoints"
    assert not (tmp_path / "overlay").exists()


def test_facing_turns_with_the_person(body: BodyModel, avatar: Avatar) -> None:
    fit = planted_fit(body, avatar, turn=0.5)
    torch.testing.assert_close(facing(fit, 0), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(facing(fit, 1), torch.tensor([math.sin(0.5), 0.0, math.cos(0.5)]))
