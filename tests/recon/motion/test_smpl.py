"""Poses of SMPL's kind: which numbers turn which joint, which way is up, and files that are not what they should be."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.motion import find_skeleton, load_motion
from simulacra.recon.motion.stance import find_stance
from simulacra.render.runtime.errors import InputError

FRAMES = 3
# Numbers of joints by the `smplx` package's joint_names.py.
LEFT_KNEE, LEFT_ELBOW, RIGHT_SHOULDER, RIGHT_WRIST = 4, 18, 17, 21
SMPLX_LEFT_INDEX1, SMPLX_RIGHT_THUMB3, SMPLH_LEFT_INDEX1 = 25, 54, 22
ELBOW_FORWARD, KNEE_BACK, ARM_DOWN = [0, -np.pi / 2, 0], [np.pi / 2, 0, 0], [0, 0, np.pi / 2]
Z_UP = [np.pi / 2, 0, 0]


def posed(joints: int, root: list[float] | None = None) -> np.ndarray:
    poses = np.zeros((FRAMES, joints, 3))
    poses[:, 0] = root or [0, 0, 0]
    poses[:, LEFT_ELBOW], poses[:, LEFT_KNEE], poses[:, RIGHT_SHOULDER] = ELBOW_FORWARD, KNEE_BACK, ARM_DOWN
    return poses


def amass(path: Path, poses: np.ndarray, /, **more: object) -> Path:
    """As AMASS writes it: with the shape and the markers, which are not used."""
    arrays = {
        "poses": poses.reshape(FRAMES, -1), "trans": np.array([[0.0, 0, 0.9]] * FRAMES), "betas": np.zeros(16),
        "gender": np.array("neutral"), "mocap_frame_rate": np.array(120.0),
    }  # fmt: skip
    np.savez(path, **{name: value for name, value in (arrays | more).items() if value is not None})
    return path


@pytest.mark.parametrize("joints", [24, 52, 55])
def test_joints_turn_as_the_models_do(joints: int, tmp_path: Path) -> None:
    motion, unused = load_motion(amass(tmp_path / "a.npz", posed(joints)))
    assert (len(motion), len(motion.names), motion.fps) == (FRAMES, joints, 120.0)
    assert unused == "not used: betas, gender; the shape (betas) is the avatar's own"
    places = dict(zip(motion.names, motion.positions()[0], strict=True))

    def towards(start: str, end: str) -> np.ndarray:
        step = places[end] - places[start]
        return step / np.linalg.norm(step)

    # The T-pose is known to a few degrees: a tenth of a unit vector.
    for start, end, way in (
        ("left_elbow", "left_wrist", [0, 0, 1]), ("left_knee", "left_ankle", [0, 0, -1]),
        ("right_shoulder", "right_elbow", [0, -1, 0]), ("right_elbow", "right_wrist", [0, -1, 0]),
        ("left_shoulder", "left_elbow", [1, 0, 0]), ("pelvis", "neck", [0, 1, 0]),
    ):  # fmt: skip
        assert np.allclose(towards(start, end), way, atol=0.2), (start, end)


def test_fingers_come_after_the_face_in_smplx_and_after_the_wrists_in_smplh(tmp_path: Path) -> None:
    for joints, number, name in (
        (55, SMPLX_LEFT_INDEX1, "left_index1"), (55, SMPLX_RIGHT_THUMB3, "right_thumb3"),
        (52, SMPLH_LEFT_INDEX1, "left_index1"), (55, RIGHT_WRIST, "right_wrist"), (55, 22, "jaw"),
    ):  # fmt: skip
        poses = np.zeros((FRAMES, joints, 3))
        poses[:, number] = [0.1, 0.2, 0.3]
        motion, _ = load_motion(amass(tmp_path / "a.npz", poses))
        turned = [
            n for n, R in zip(motion.names, motion.rotations[0], strict=True) if not np.allclose(R, np.eye(3))
        ]
        assert turned == [name]
        expected = Rotation.from_rotvec([0.1, 0.2, 0.3]).as_matrix()
        np.testing.assert_allclose(motion.rotations[0, motion.names.index(name)], expected, atol=1e-12)


def test_parts_are_the_whole(tmp_path: Path) -> None:
    whole = posed(55)
    whole[:, 22:25] = 0
    whole[:, SMPLX_LEFT_INDEX1] = [0, 0, 0.4]
    flat = whole.reshape(FRAMES, -1)
    body, hands = flat[:, 3:66], flat[:, 75:]
    parts = {"root_orient": flat[:, :3], "pose_body": body, "pose_hand": hands, "pose_jaw": flat[:, 66:69]}
    theirs = {"global_orient": flat[:, :3], "body_pose": body.reshape(FRAMES, 21, 3)}
    theirs |= {"left_hand_pose": hands[:, :45], "right_hand_pose": hands[:, 45:]}
    expected = load_motion(amass(tmp_path / "a.npz", whole))[0]
    for names in (parts, theirs):
        found, _ = load_motion(amass(tmp_path / "b.npz", whole, **{**names, "poses": None}))
        same = [expected.names.index(name) for name in found.names]
        np.testing.assert_allclose(found.rotations, expected.rotations[:, same], atol=1e-12)
    # Hands as principal components are none: the wrists are kept.
    few, _ = load_motion(
        amass(tmp_path / "c.npz", whole, **{**parts, "pose_hand": hands[:, :24], "poses": None})
    )
    assert few.names == expected.names[:22]


def test_which_way_is_up_the_poses_say(tmp_path: Path) -> None:
    """AMASS is Z up: the root turns every frame."""
    motion, _ = load_motion(amass(tmp_path / "a.npz", posed(55, Z_UP)))
    skeleton = find_skeleton(motion)
    stance = find_stance(motion, skeleton.anatomy)
    up = stance.world @ np.array([0.0, 0, 1])
    np.testing.assert_allclose(up, [0, 1, 0], atol=1e-6)
    parts = skeleton.anatomy.parts
    assert motion.names[parts["left_forearm"][0]] == "left_elbow"
    assert motion.names[parts["right_thumb"][0]] == "right_thumb1"
    assert motion.names[parts["left_toes"][0]] == "left_foot"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ({"poses": np.zeros((FRAMES, 100))}, "no poses"),
        ({"poses": None}, "no poses"),
        ({"poses": np.full((FRAMES, 165), np.nan)}, "not finite"),
        ({"poses": np.array([{"a": 1}], dtype=object)}, "cannot be read"),
        ({"trans": np.zeros((FRAMES + 1, 3))}, "does not fit"),
        ({"mocap_frame_rate": None}, "how many frames a second"),
        ({"mocap_frame_rate": np.array(0.0)}, "how many frames a second"),
        ({"poses": None, "root_orient": np.zeros((FRAMES, 3)), "pose_body": np.zeros((2, 63))}, "no poses"),
    ],
    ids=range(8),
)
def test_what_is_no_motion_is_refused(harm: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        load_motion(amass(tmp_path / "a.npz", posed(55), **harm))


def test_no_file_and_no_archive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        load_motion(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="cannot be read"):
        load_motion(tmp_path / "a.npz")
