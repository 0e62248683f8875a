"""Joint distances: names of other tools are matched, unknown joints do not count, nothing is aligned."""

import numpy as np
import pytest

from simulacra.recon.perception.joints import (
    LIMB_JOINTS,
    canonical_joint_name,
    joint_distances,
    mpjpe,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RHip", "right_hip"),
        ("LShoulder", "left_shoulder"),
        ("L_Knee", "left_knee"),
        ("right ankle", "right_ankle"),
        ("left_wrist", "left_wrist"),
        ("Neck", "neck"),
        ("Rib", "rib"),
    ],
)
def test_names_of_other_tools(name: str, expected: str) -> None:
    assert canonical_joint_name(name) == expected


def test_distances_are_per_joint_whatever_the_order_and_keep_offsets() -> None:
    rng = np.random.default_rng(0)
    names = ("nose", *LIMB_JOINTS)
    joints = rng.normal(size=(5, len(names), 3))
    order = rng.permutation(len(names))
    renamed = [names[i].replace("left_", "L").replace("right_", "R") for i in order]
    renamed = [n[0] + n[1].upper() + n[2:] if n[0] in "LR" else n for n in renamed]
    shift = np.array([0.03, 0.0, 0.04])
    shared, distances = joint_distances(joints, names, joints[:, order] + shift, renamed)
    assert shared == LIMB_JOINTS
    np.testing.assert_allclose(distances, 0.05, atol=1e-12)
    assert mpjpe(distances) == pytest.approx(0.05)


def test_unknown_joints_are_left_out_and_nothing_known_is_none() -> None:
    joints = np.zeros((2, 2, 3))
    reference = np.zeros((2, 2, 3))
    reference[0, 0] = [0.1, 0, 0]
    reference[1] = np.nan
    _, distances = joint_distances(joints, ("left_hip", "right_hip"), reference, ("LHip", "RHip"))
    assert mpjpe(distances) == pytest.approx(0.05)
    assert mpjpe(distances[1:]) is None


def test_left_is_not_right() -> None:
    joints = np.array([[[0.2, 0, 0], [-0.2, 0, 0]]])
    _, distances = joint_distances(joints, ("left_hip", "right_hip"), joints, ("RHip", "LHip"))
    np.testing.assert_allclose(distances, 0.4)
