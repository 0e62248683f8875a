"""Keypoint maps: on the body, symmetric, where anatomy has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.render.body import BodyModel, BodyPose, PosedBody, RestBody, model
from simulacra.render.body.landmarks import POSE33_NAMES

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def at_zero_pose(body: BodyModel, name: str) -> Tensor:
    return body.keypoints_at(name, body.rest(body.neutral_shape()), body.zero_pose())[0]


def test_pose33_is_symmetric(body: BodyModel) -> None:
    points = at_zero_pose(body, "pose33")
    swapped = [
        n.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right") for n in POSE33_NAMES
    ]
    partner = [POSE33_NAMES.index(name) for name in swapped]
    # anny's regressors are symmetric to a few tenths of a millimetre.
    assert (points[partner] * MIRROR - points).norm(dim=-1).max() < 1e-3
    assert len(points) == 33 and (points[POSE33_NAMES.index("left_shoulder"), 0] > 0.1)


def test_hands_mirror_each_other(body: BodyModel) -> None:
    left, right = at_zero_pose(body, "hand21_left"), at_zero_pose(body, "hand21_right")
    assert left.shape == (21, 3) and (left[:, 0] > 0.2).all()
    assert (left * MIRROR - right).norm(dim=-1).max() < 1e-5


def test_fingers_run_outwards(body: BodyModel) -> None:
    left = at_zero_pose(body, "hand21_left")
    reach = (left[1:] - left[0]).norm(dim=-1).reshape(5, 4)
    assert (reach.diff(dim=1) > 0.01).all()
    assert reach[1:, 3].argmax() == 1  # the middle finger is the longest


def test_face_is_symmetric_and_anatomical(body: BodyModel) -> None:
    face = at_zero_pose(body, "face478")
    pairs = {
        33: 263,
        133: 362,
        61: 291,
        159: 386,
        145: 374,
        105: 334,
        205: 425,
        468: 473,
        1: 1,
        152: 152,
        10: 10,
    }
    for right, left in pairs.items():
        assert (face[right] * MIRROR - face[left]).norm() < 1e-3
        assert right == left or face[left, 0] > 0.005  # the person's left is +X
    eye, nose, mouth, chin = face[[33, 133, 263, 362]].mean(0), face[4], face[13], face[152]
    assert eye[1] > nose[1] > mouth[1] > chin[1]
    assert nose[2] > mouth[2] > eye[2]
    assert 0.085 < (face[33] - face[263]).norm() < 0.11  # outer eye corners of adults are 9 to 10 cm apart
    assert face[159, 1] > face[468, 1] > face[145, 1]  # the iris between its lids
    assert 0.055 < (face[468] - face[473]).norm() < 0.070  # pupils


def test_lids_and_lips_are_on_their_own_side(body: BodyModel) -> None:
    """Opening the jaw takes the lower lip down and leaves the upper; closing an eye takes its upper lid down."""
    rest, zero = body.rest(body.neutral_shape()), body.zero_pose()

    def face(**actions: float) -> Tensor:
        expression = zero.expression.clone()
        for name, value in actions.items():
            expression[0, body.expression_names.index(name)] = value
        return body.keypoints_at("face468", rest, BodyPose(zero.rotations, zero.translation, expression))[0]

    still, opened, blinked = face(), face(jawOpen=1.0), face(eyeBlinkLeft=1.0)
    gap = opened[13] - opened[14]
    assert gap[1] > 0.02 and (still[13] - still[14])[1].abs() < 0.006
    assert (opened[[14, 87, 317, 17]] - still[[14, 87, 317, 17]])[:, 1].max() < -0.015
    assert (opened[[13, 82, 312, 0]] - still[[13, 82, 312, 0]])[:, 1].abs().max() < 0.01
    assert (blinked[386] - still[386])[1] < -0.005
    assert (blinked[159] - still[159]).norm() < 1e-4  # the other eye


def test_untrusted_face_points_are_the_outline(body: BodyModel) -> None:
    valid = body.keypoints["face478"].valid
    assert 0.85 * 478 < int(valid.sum()) < 478
    assert not valid[torch.tensor([234, 454, 132, 361, 58, 288])].any()
    assert valid[torch.tensor([4, 33, 133, 263, 362, 61, 291, 13, 14, 152, 468, 473])].all()
    assert body.keypoints["pose33"].valid.all()


@pytest.mark.parametrize("name", ["pose33", "hand21_left", "hand21_right", "face468", "face478", "coco23"])
def test_maps_are_means_and_subsets_agree(body: BodyModel, name: str) -> None:
    keypoints = body.keypoints[name]
    total = torch.zeros(len(keypoints.names))
    total.index_add_(0, keypoints.vertex_keypoint, keypoints.vertex_weight)
    total.index_add_(0, keypoints.bone_keypoint, keypoints.bone_weight)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)
    rng = np.random.default_rng(0)
    rest = body.rest(body.neutral_shape())
    pose = BodyPose(
        torch.from_numpy(rng.normal(0, 0.3, (2, 104, 3)).astype(np.float32)),
        torch.zeros(2, 3),
        torch.from_numpy(rng.uniform(0, 1, (2, 52)).astype(np.float32)),
    )
    whole = keypoints(body.pose(rest, pose))
    assert torch.allclose(body.keypoints_at(name, rest, pose), whole, atol=1e-5)


def test_many_frames_are_posed_some_at_a_time(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vertices of 2 of 9 frames at once, and the points of all."""
    frames = []
    posed = BodyModel.pose

    def counted(self: BodyModel, rest: RestBody, pose: BodyPose, vertices: Tensor | None = None) -> PosedBody:
        frames.append(len(pose.translation))
        return posed(self, rest, pose, vertices)

    zero = body.zero_pose(9)
    moved = torch.arange(27.0).reshape(9, 3)
    rest, pose = body.rest(body.neutral_shape()), BodyPose(zero.rotations, moved, zero.expression)
    whole = body.keypoints_at("pose33", rest, pose)
    monkeypatch.setattr(BodyModel, "pose", counted)
    monkeypatch.setattr(model, "KEYPOINT_FRAMES", 2)
    assert torch.allclose(body.keypoints_at("pose33", rest, pose), whole, atol=1e-6)
    assert frames == [2, 2, 2, 2, 1]
