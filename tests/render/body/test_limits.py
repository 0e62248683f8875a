"""Joint limits: in anatomical axes, mirrored, and of a sense that a person would agree with."""

from __future__ import annotations

import torch
from torch import Tensor

from render.body import BodyModel, BodyPose
from render.body.limits import BODY_BONES, EYE_BONES, HAND_BONES, JointLimits, joint_limits
from render.rotation import is_rotation


def flexed(body: BodyModel, limits: JointLimits, degrees: float, *bones: str) -> Tensor:
    """pose33 and both hands, 75 points, with these bones flexed."""
    rotations = torch.zeros(1, len(body.bone_names), 3)
    for name in bones:
        bone = body.bone_names.index(name)
        rotations[0, bone] = torch.deg2rad(torch.tensor(degrees)) * limits.axes[bone, 0]
    zero, rest = body.zero_pose(), body.rest(body.neutral_shape())
    posed = body.pose(rest, BodyPose(rotations, zero.translation, zero.expression))
    return torch.cat([body.keypoints[name](posed)[0] for name in ("pose33", "hand21_left", "hand21_right")])


def test_axes_are_frames_and_zero_pose_is_allowed(body: BodyModel) -> None:
    limits = joint_limits(body)
    assert is_rotation(limits.axes).all()
    assert (limits.lower <= 0).all() and (limits.upper >= 0).all()
    assert limits.excess(body.zero_pose().rotations).abs().max() == 0
    assert set(BODY_BONES + EYE_BONES + HAND_BONES["left"] + HAND_BONES["right"]) <= set(body.bone_names)


def test_sides_mirror_each_other(body: BodyModel) -> None:
    limits = joint_limits(body)
    mirrored = limits.axes[body.mirror_bones] * torch.tensor([1.0, -1.0, -1.0])
    has_range = (limits.upper > limits.lower).any(dim=1)
    is_side = (body.mirror_bones != torch.arange(len(body.bone_names))) & has_range
    # The bones' reference orientations are symmetric to a tenth of a degree.
    assert torch.allclose(mirrored[is_side], limits.axes[is_side], atol=2e-3)
    assert torch.equal(limits.upper[body.mirror_bones], limits.upper)


def test_flexion_goes_where_anatomy_has_it(body: BodyModel) -> None:
    limits = joint_limits(body)
    still = flexed(body, limits, 0.0)
    knee = flexed(body, limits, 90.0, "lowerleg01.L")
    assert (knee - still)[27, 2] < -0.3  # the left ankle goes back
    hip = flexed(body, limits, 90.0, "upperleg01.R")
    assert (hip - still)[26, 2] > 0.3  # the right knee comes forward
    elbow = flexed(body, limits, 90.0, "lowerarm01.L", "lowerarm01.R")
    assert (elbow - elbow[[11]]).norm(dim=-1)[15] < (still - still[[11]]).norm(dim=-1)[15] - 0.1
    arms = flexed(body, limits, 60.0, "upperarm01.L", "upperarm01.R")
    assert ((arms - still)[[13, 14], 1] > 0.1).all()
    fist = flexed(body, limits, 80.0, *(f"finger{i}-{j}.L" for i in range(2, 6) for j in range(1, 4)))
    tips, wrist = [33 + 8, 33 + 12, 33 + 16, 33 + 20], 33
    assert ((fist[tips] - fist[wrist]).norm(dim=-1) < 0.7 * (still[tips] - still[wrist]).norm(dim=-1)).all()


def test_excess_is_what_is_beyond(body: BodyModel) -> None:
    limits = joint_limits(body)
    knee = body.bone_names.index("lowerleg01.L")
    rotations = torch.zeros(2, len(body.bone_names), 3)
    rotations[0, knee] = (limits.upper[knee, 0] + 0.2) * limits.axes[knee, 0]
    rotations[1, knee] = (limits.lower[knee, 2] - 0.1) * limits.axes[knee, 2]
    rotations[:, 0] = 3.0  # the root turns freely
    excess = limits.excess(rotations)
    expected = torch.zeros_like(excess)
    expected[0, knee, 0], expected[1, knee, 2] = 0.2, 0.1
    assert torch.allclose(excess, expected, atol=1e-5)
