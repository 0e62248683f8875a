"""Poses are corrected by photographs: towards what was planted, held by what the fit knew, between frames in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.avatar.gaussian_trainee import GaussianTrainee
from simulacra.recon.avatar.loop import Schedule, train
from simulacra.recon.avatar.losses import Loss, gaussian_losses, pose_loss
from simulacra.recon.avatar.placement import Person, place_on_body
from simulacra.recon.avatar.poses import (
    POSES,
    USUAL_SPREAD_M,
    PoseCorrections,
    PosesInTraining,
    load_corrections,
    save_corrections,
)
from simulacra.recon.avatar.record import TrainedResult, load_trained, save_trained
from simulacra.recon.avatar.settings import AvatarConfig, LearningRates, LossWeights
from simulacra.recon.avatar.train import avatar_recipe
from simulacra.recon.avatar.views import store_views
from simulacra.recon.fit import BodyFit
from simulacra.render.body import BodyModel
from simulacra.render.runtime.errors import RunError
from tests.recon.planted_capture import FRAMES, NAMES, planted_avatar, planted_fit, planted_session

CPU = torch.device("cpu")
WRONG_BY = 0.2  # radians, of an upper arm, in both frames


def person_of(body: BodyModel, fit: BodyFit) -> Person:
    return Person(body, fit.shape, fit.pose_of, joint_covariance_of=fit.joint_covariance_of)


def wrong_fit(body: BodyModel, fit: BodyFit) -> BodyFit:
    rotations = fit.pose.rotations.clone()
    rotations[:, body.bone_names.index("upperarm01.L"), 2] += WRONG_BY
    return replace(fit, pose=replace(fit.pose, rotations=rotations))


def found(frames: tuple[int, ...], turns: list[float]) -> PoseCorrections:
    """Of one bone, about x, and a move along y of a tenth as many metres."""
    values = np.asarray(turns, np.float32)
    about = values[:, None, None] * np.array([1.0, 0.0, 0.0], np.float32)
    return PoseCorrections(
        np.asarray(frames), np.array([3]), about, 0.1 * values[:, None] * np.eye(3, dtype=np.float32)[1]
    )


def test_frames_between_take_what_lies_between_and_beyond_the_ends_the_nearest() -> None:
    corrections = found((10, 20, 40), [0.1, 0.3, -0.1])
    turns, moves = corrections.at(np.array([0, 10, 15, 20, 35, 99]))
    np.testing.assert_allclose(turns[:, 0, 0], [0.1, 0.1, 0.2, 0.3, 0.0, -0.1], atol=1e-7)
    np.testing.assert_allclose(moves[:, 1], 0.1 * turns[:, 0, 0], atol=1e-7)


def test_applied_to_a_fit_only_its_poses_change(body: BodyModel) -> None:
    fit = planted_fit(body, planted_avatar(body))
    made = found(FRAMES, [0.1, -0.2]).apply(fit)
    moved = made.pose.rotations - fit.pose.rotations
    torch.testing.assert_close(moved[:, 3, 0], torch.tensor([0.1, -0.2]))
    assert int((moved != 0).sum()) == 2
    torch.testing.assert_close(
        (made.pose.translation - fit.pose.translation)[:, 1], torch.tensor([0.01, -0.02])
    )
    assert torch.equal(fit.pose.rotations, planted_fit(body, planted_avatar(body)).pose.rotations)
    assert made.shape is fit.shape


def test_a_move_by_one_standard_deviation_costs_a_half_and_certain_joints_cost_more(body: BodyModel) -> None:
    fit = planted_fit(body, planted_avatar(body))
    sure = np.broadcast_to(np.eye(3) * (USUAL_SPREAD_M / 3) ** 2, (2, 15, 3, 3))
    costs = []
    for known in (None, sure):
        poses = PosesInTraining(person_of(body, replace(fit, joint_covariance=known)), FRAMES, CPU)
        leaves = poses.start()
        correction = poses.correction(leaves, 1)
        assert torch.equal(correction(fit.pose_of(1)).rotations, fit.pose_of(1).rotations)
        assert float(correction.cost) == 0
        leaves["pose_move"] = torch.tensor([USUAL_SPREAD_M, 0.0, 0.0])
        correction = poses.correction(leaves, 1)
        correction(fit.pose_of(1))
        costs.append(float(correction.cost))
    assert costs == pytest.approx([0.5, 4.5], rel=1e-4)


@pytest.fixture(scope="module")
def trained(
    body: BodyModel, tmp_path_factory: pytest.TempPathFactory
) -> dict[float, tuple[BodyFit, PoseCorrections]]:
    """By weight of the fit: the wrong fit and what training made of it."""
    folder = tmp_path_factory.mktemp("poses")
    avatar = planted_avatar(body)
    session = planted_session(folder / "session", body, avatar)
    fit = wrong_fit(body, planted_fit(body, avatar))
    views = store_views(folder / "views", session, session.mask, FRAMES, NAMES, 96)
    still = LearningRates(
        means=0, quats=0, log_scales=0, logit_opacities=0, sh=0, camera_colors=0, camera_poses=0, poses=0.01
    )
    made = {}
    for weight in (1e-4, 10.0):
        recipe = avatar_recipe(AvatarConfig(rates=still, weights=LossWeights(poses=weight)))
        recipe = replace(
            recipe,
            schedule=Schedule(60, 0, 100),
            losses=(*gaussian_losses(LossWeights()), Loss("poses", weight, pose_loss)),
        )
        poses = PosesInTraining(person_of(body, fit), FRAMES, CPU)
        place = place_on_body(person_of(body, fit), avatar.binding, CPU)
        trainee = GaussianTrainee(avatar.gaussians, place, NAMES, recipe, poses=poses)
        training = train(trainee, views, recipe.schedule, folder / f"{weight}")
        made[weight] = fit, poses.corrections(training.tensors)
    return made


def test_photographs_turn_an_arm_back(
    body: BodyModel, trained: dict[float, tuple[BodyFit, PoseCorrections]]
) -> None:
    fit, corrections = trained[1e-4]
    rest = body.rest(fit.shape)
    wrist = body.bone_names.index("wrist.L")

    def wrists(of: BodyFit) -> torch.Tensor:
        return body.pose(rest, of.pose).T_world_bone[:, wrist, :3, 3]

    truth = wrists(planted_fit(body, planted_avatar(body)))
    before = (wrists(fit) - truth).norm(dim=-1)
    after = (wrists(corrections.apply(fit)) - truth).norm(dim=-1)
    assert float(before.min()) > 0.08
    assert float((after / before).max()) < 0.35


def test_a_fit_that_is_held_hardly_moves(trained: dict[float, tuple[BodyFit, PoseCorrections]]) -> None:
    free, held = trained[1e-4][1], trained[10.0][1]
    assert np.square(held.turns).mean() < 0.15 * np.square(free.turns).mean()


def test_they_are_kept_beside_the_avatar_and_damage_is_told(body: BodyModel, tmp_path: Path) -> None:
    corrections = found(FRAMES, [0.1, -0.2])
    save_trained(tmp_path, TrainedResult(avatar=planted_avatar(body), poses=corrections))
    again = load_trained(tmp_path).poses
    assert again is not None
    for name, value in vars(corrections).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    save_corrections(tmp_path / POSES, found((4, 4), [0.1, 0.2]))
    with pytest.raises(RunError):
        load_corrections(tmp_path / POSES)
    (tmp_path / POSES).unlink()
    assert load_trained(tmp_path).poses is None
