"""Novel poses: far from every trained one, by the trained ones alone; walking about and turning round are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from simulacra.recon.evaluate.novel import LEAST_M, Novelty, novelty, own_places, pose_novelty
from simulacra.recon.evaluate.protocol import View, lock_protocol
from simulacra.render.body import BodyModel
from tests.recon.planted_capture import planted_avatar, planted_fit


def places(*moves: float) -> np.ndarray:
    """Twelve joints of which three moved by so many metres."""
    joints = np.zeros((len(moves), 12, 3))
    joints[:, :3, 1] = np.array(moves)[:, None]
    return joints


def test_one_arm_a_thickness_away_is_where_novelty_begins() -> None:
    found = novelty((7, 8), places(0.0999, 0.1001), places(0.0, -0.01, -0.02))
    # Three of twelve joints: the root of a quarter.
    assert found.distances_m == pytest.approx((0.04995, 0.05005)) and found.threshold_m == LEAST_M
    assert found.novel == (8,)


def test_what_is_usual_between_trained_poses_is_nothing_new() -> None:
    trained = places(*np.arange(0, 8, 0.4))
    found = novelty((1, 2), places(8.0, 8.1), trained)
    # Neighbors are 0.4 m apart, 0.2 in the root of the mean square.
    assert found.threshold_m == pytest.approx(0.2) and found.novel == (2,)
    # Control: with denser training the first is new, too.
    assert novelty((1, 2), places(8.0, 8.1), places(*np.arange(0, 7.7, 0.04))).novel == (1, 2)


def test_nothing_trained_or_nothing_held_out_is_no_verdict() -> None:
    assert novelty((1,), places(1.0), places(0.0)) == Novelty((), (), None)
    assert novelty((), places(), places(0.0, 0.1)).novel == ()


def test_a_body_that_walks_and_turns_has_one_pose_and_a_raised_arm_is_another(body: BodyModel) -> None:
    fit = planted_fit(body, planted_avatar(body), shift=2.0, turn=2.5)
    still = own_places(fit, body)
    # Float32 joints two metres from the origin.
    np.testing.assert_allclose(still[0], still[1], atol=1e-5)
    rotations = fit.pose.rotations.clone()
    rotations[1, body.bone_names.index("upperarm01.L"), 2] = 0.6
    raised = own_places(replace(fit, pose=replace(fit.pose, rotations=rotations)), body)
    assert np.sqrt(np.square(raised[1] - raised[0]).sum(-1).mean()) > LEAST_M


def test_of_a_capture_the_frames_that_are_held_out_and_far_judge_novel_pose(body: BodyModel) -> None:
    planted = planted_fit(body, planted_avatar(body))
    rotations = torch.zeros(6, len(body.bone_names), 3)
    rotations[:, body.bone_names.index("upperarm01.L"), 2] = torch.tensor([0.0, 0.02, 0.04, 0.06, 0.08, 0.9])
    pose = replace(
        planted.pose,
        rotations=rotations,
        translation=torch.zeros(6, 3),
        expression=torch.zeros(6, len(body.expression_names)),
    )
    fit = replace(
        planted,
        pose=pose,
        frames=np.arange(6),
        residual_px=np.zeros((6, 2, 33)),
        confidence=np.ones((6, 2, 33)),
    )
    protocol = lock_protocol(("a", "b", "c"), range(6), held_out_cameras=("c",), held_out_last=2)
    assert protocol.held_out_frames == (4, 5) and protocol.training_frames == (0, 1, 2, 3)
    found = pose_novelty(fit, body, protocol)
    assert found.frames == (4, 5) and found.novel == (5,)
    marked = replace(protocol, novel_frames=found.novel)
    assert marked.judges["novel-pose@1"] == (View("a", 5), View("b", 5), View("c", 5))
    assert marked.judges["held-out-view@1"] == (View("c", 4), View("c", 5))
    assert marked.digest == protocol.digest and protocol.kinds == ("held-out-view@1", "held-out-frame@1")
    # Where the person was not seen nothing is known of the pose.
    unseen = fit.confidence.copy()
    unseen[5] = 0
    assert pose_novelty(replace(fit, confidence=unseen), body, protocol).novel == ()
