"""Transfer of motion: the same world directions on another skeleton, feet on the floor, whatever the file's axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from simulacra.recon.motion import Motion, load_bvh, load_motion, retarget
from simulacra.recon.motion.retarget import find_skeleton, lowest_soles, smallest_turn
from simulacra.recon.motion.stance import find_stance
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.runtime.errors import InputError
from tests.recon.motion.planted import in_other_axes, own_skeleton, sticks
from tests.recon.motion.test_anatomy import Z_UP, walk
from tests.recon.motion.test_smpl import amass, posed
from tests.recon.motion.writers import WRITERS, write

LIMBS = [
    ("upperarm01", "lowerarm01"),
    ("lowerarm01", "wrist"),
    ("upperleg01", "lowerleg01"),
    ("lowerleg01", "foot"),
]
RECORDED = [("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot")]


@pytest.fixture(scope="module")
def rest(body: BodyModel) -> RestBody:
    return body.rest(body.neutral_shape())


def heads(body: BodyModel, rest: RestBody, pose: BodyPose) -> dict[str, Tensor]:
    places = body.pose(rest, pose, vertices=body.soles[:1]).T_world_bone[..., :3, 3]
    return dict(zip(body.bone_names, places.unbind(1), strict=True))


def direction(places: dict[str, Tensor], start: str, end: str) -> Tensor:
    return torch.nn.functional.normalize(places[end] - places[start], dim=-1)


def limb_angles(body: BodyModel, rest: RestBody, motion: Motion, pose: BodyPose) -> Tensor:
    """Angles between limbs of the body and of the recorded skeleton, radians, `t limbs`."""
    anatomy = find_skeleton(motion).anatomy
    turn = find_stance(motion, anatomy).world
    recorded = torch.from_numpy(motion.positions() @ turn.T)
    posed = heads(body, rest, pose)
    angles = []
    for side, word in ((".L", "left"), (".R", "right")):
        for (start, end), (first, second) in zip(LIMBS, RECORDED, strict=True):
            ends = [recorded[:, anatomy.joint(f"{word}_{part}")] for part in (first, second)]
            theirs = torch.nn.functional.normalize(ends[1] - ends[0], dim=-1)
            ours = direction(posed, start + side, end + side).double()
            angles.append(torch.acos((theirs * ours).sum(-1).clamp(-1, 1)))
    return torch.stack(angles, -1)


def trunk_angles(body: BodyModel, rest: RestBody, motion: Motion, pose: BodyPose, shoulders: bool) -> Tensor:
    """Angles between the body's trunk and the recorded one, radians, `t`: from between the hips to the neck, or to
    between the shoulders.
    """
    anatomy = find_skeleton(motion).anatomy
    recorded = torch.from_numpy(motion.positions() @ find_stance(motion, anatomy).world.T)
    posed = heads(body, rest, pose)

    def middle(part: str) -> Tensor:
        return sum(recorded[:, anatomy.joint(f"{side}_{part}")] for side in ("left", "right")) / 2

    top = middle("upper_arm") if shoulders else recorded[:, anatomy.joint("neck")]
    ours = (posed["upperarm01.L"] + posed["upperarm01.R"]) / 2 if shoulders else posed["neck01"]
    theirs = torch.nn.functional.normalize(top - middle("thigh"), dim=-1)
    ours = torch.nn.functional.normalize(ours - (posed["upperleg01.L"] + posed["upperleg01.R"]) / 2, dim=-1)
    return torch.acos((theirs * ours.double()).sum(-1).clamp(-1, 1))


def test_a_t_pose_is_a_t_pose(body: BodyModel, rest: RestBody) -> None:
    pose = retarget(sticks(), body, rest)
    places = heads(body, rest, pose)
    for start, end in (("upperarm01", "lowerarm01"), ("lowerarm01", "wrist")):
        # The body's two bones of a limb are not quite in line, so that half its twist moves its middle by a degree.
        assert torch.allclose(
            direction(places, f"{start}.L", f"{end}.L")[0], torch.tensor([1.0, 0, 0]), atol=0.03
        )
        assert torch.allclose(
            direction(places, f"{start}.R", f"{end}.R")[0], torch.tensor([-1.0, 0, 0]), atol=0.03
        )
    assert torch.allclose(
        direction(places, "upperleg01.L", "foot.L")[0], torch.tensor([0, -1.0, 0]), atol=0.03
    )
    posed = body.pose(rest, pose)
    palm = body.keypoints["hand21_left"](posed)[0]
    across = torch.linalg.cross(palm[5] - palm[0], palm[17] - palm[0])
    assert across[1] / across.norm() > 0.5  # index in front of little finger: palms down
    assert posed.verts[..., 1].min().abs() < 1e-3
    face = body.keypoints["pose33"](posed)[0]
    assert face[0, 2] > face[7:9, 2].mean() + 0.05


def test_a_bent_elbow_and_a_lifted_knee(body: BodyModel, rest: RestBody) -> None:
    quarter = np.pi / 2
    pose = retarget(sticks({"LeftForeArm": [0, -quarter, 0], "RightUpLeg": [-quarter, 0, 0]}), body, rest)
    places = heads(body, rest, pose)
    assert torch.allclose(
        direction(places, "lowerarm01.L", "wrist.L")[0], torch.tensor([0, 0, 1.0]), atol=0.03
    )
    assert torch.allclose(
        direction(places, "upperleg01.R", "lowerleg01.R")[0], torch.tensor([0, 0, 1.0]), atol=0.03
    )
    assert torch.allclose(
        direction(places, "upperarm01.R", "lowerarm01.R")[0], torch.tensor([-1.0, 0, 0]), atol=0.03
    )
    elbow = body.bone_names.index("lowerarm02.L")
    assert pose.rotations[0, elbow].norm() < 0.35  # a hinge is no twist of the forearm


def test_turning_the_hand_wrings_the_forearm_evenly(body: BodyModel, rest: RestBody) -> None:
    """The turn of a forearm about itself is taken by its second bone, not at the elbow."""
    still = retarget(sticks(), body, rest)
    turned = retarget(sticks({"LeftForeArm": [1.2, 0, 0]}), body, rest)
    change = (turned.rotations - still.rotations)[0].norm(dim=-1)
    first, second = body.bone_names.index("lowerarm01.L"), body.bone_names.index("lowerarm02.L")
    assert change[first] < 0.05 and change[second] == pytest.approx(1.2, abs=0.05)


def test_root_motion_is_scaled_by_the_legs(body: BodyModel, rest: RestBody) -> None:
    pose = retarget(sticks(frames=3, shift=(0.0, 0.0, 2.0)), body, rest)
    places = heads(body, rest, pose)
    legs = sum(
        (places[end + side] - places[start + side])[0].norm()
        for side in (".L", ".R")
        for start, end in (("upperleg01", "lowerleg01"), ("lowerleg01", "foot"))
    )
    step = (pose.translation[1] - pose.translation[0]).numpy()
    assert np.allclose(step, [0, 0, 2.0 * float(legs) / 16.0], atol=1e-5)
    hips = (places["upperleg01.L"] + places["upperleg01.R"])[0] / 2
    assert hips[[0, 2]].abs().max() < 1e-5  # starts above the origin


def test_axes_and_units_of_the_file_do_not_matter(body: BodyModel, rest: RestBody) -> None:
    motion = sticks({"LeftArm": [0.3, 0.2, -0.6], "Hips": [0.1, 0.5, 0.0]}, frames=2, shift=(0.5, 0.1, 0.2))
    z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    expected, found = retarget(motion, body, rest), retarget(in_other_axes(motion, z_up, 2.54), body, rest)
    assert torch.allclose(found.rotations, expected.rotations, atol=1e-5)
    assert torch.allclose(found.translation, expected.translation, atol=1e-5)


def test_the_bodys_own_skeleton_comes_back(body: BodyModel, rest: RestBody) -> None:
    """Exactly, bone by bone: no correction is needed where both rest in the same pose."""
    rng = np.random.default_rng(3)
    followed = find_skeleton(own_skeleton(body, rest, np.zeros((1, 104, 3)))).direct
    rotations = (
        rng.normal(0, 0.3, (2, 104, 3)) * np.array([name in followed for name in body.bone_names])[:, None]
    )
    pose = retarget(own_skeleton(body, rest, rotations), body, rest)
    assert torch.allclose(pose.rotations, torch.from_numpy(rotations).float(), atol=1e-4)


@pytest.mark.parametrize(
    ("writer", "zero", "frames"),
    [
        ("LAFAN1", "line", 4),
        ("Rokoko", "own", 4),
        ("SMPL of Maya", "stance", 4),
        ("Biovision, short", "own", 1),
        ("no names", "line", 1),
    ],
)
def test_every_writers_person_moves_as_recorded(
    body: BodyModel, rest: RestBody, writer: str, zero: str, frames: int
) -> None:
    """Also of one frame only, and in axes with Z up: limbs within 3 degrees, the trunk within 5."""
    motion, _ = write(WRITERS[writer], zero, walk(frames), frames, Z_UP)
    pose = retarget(motion, body, rest)
    assert limb_angles(body, rest, motion, pose).max() < np.radians(3)
    if frames > 1:  # the control: of other frames they are not
        assert limb_angles(body, rest, motion.frames(np.arange(frames)[::-1]), pose).max() > np.radians(10)
    assert trunk_angles(body, rest, motion, pose, shoulders=False).max() < np.radians(5)
    assert trunk_angles(body, rest, motion, pose, shoulders=True).max() < np.radians(5)
    places = heads(body, rest, pose)
    upright, across = (
        direction(places, "upperleg01.L", "head"),
        direction(places, "upperleg01.R", "upperleg01.L"),
    )
    assert upright[:, 1].min() > 0.95 and across[:, 0].min() > 0.95
    face = body.keypoints["pose33"](body.pose(rest, pose))
    assert (face[:, 0, 2] > face[:, 7:9, 2].mean(1) + 0.05).all()  # the nose before the ears, towards +Z


def test_poses_of_smplx_move_the_body_as_they_say(body: BodyModel, rest: RestBody, tmp_path: Path) -> None:
    poses = posed(55, [np.pi / 2, 0, 0])
    motion, _ = load_motion(amass(tmp_path / "walk.npz", poses))
    pose = retarget(motion, body, rest)
    assert limb_angles(body, rest, motion, pose).max() < np.radians(3)
    assert trunk_angles(body, rest, motion, pose, shoulders=True).max() < np.radians(5)
    places = heads(body, rest, pose)
    # Bent forwards at the elbow and backwards at the knee, upright: to what the T-pose is known.
    assert direction(places, "lowerarm01.L", "wrist.L")[0, 2] > 0.95
    assert direction(places, "lowerleg01.L", "foot.L")[0, 2] < -0.95


def test_fingers_close_and_the_chest_bends(body: BodyModel, rest: RestBody) -> None:
    """Mixamo's names without its own: fists by 80 degrees a joint, and the uppermost of three joints by 40."""
    quarter, bend = np.radians(80), np.radians(40)
    closing = {
        f"{finger}{phalanx} {sign}": np.array([[0, 0, 0], [0, 0, -sign * quarter]])
        for finger in ("index", "little")
        for phalanx in (1, 2, 3)
        for sign in (1, -1)
    }
    bending = {"chest": np.array([[0, 0, 0], [bend, 0, 0]]), "neck": np.array([[0, 0, 0], [-bend, 0, 0]])}
    pose = retarget(write(WRITERS["Mixamo"], "stance", closing | bending, 2)[0], body, rest)
    still, moved = body.pose(rest, pose, vertices=body.soles[:1]).T_world_bone[..., :3, :3]
    turn = dict(zip(body.bone_names, moved @ still.transpose(-1, -2), strict=True))

    def angle(a: str, b: str | None = None) -> float:
        change = turn[a] if b is None else turn[b].T @ turn[a]
        return float(torch.rad2deg(torch.acos(((change.trace() - 1) / 2).clamp(-1, 1))))

    for side in (".L", ".R"):
        for finger in (2, 5):
            for upper, lower in ((f"finger{finger}-1", "wrist"), (f"finger{finger}-3", f"finger{finger}-2")):
                assert angle(upper + side, lower + side) == pytest.approx(80, abs=0.5)
        assert angle(f"finger3-2{side}", f"wrist{side}") < 0.5
    # The skeleton's bend is at one joint, the body's spread over bones: the line from hips to neck is kept.
    assert angle("spine01") == pytest.approx(40, abs=5) and angle("root") < 0.5 and angle("head") < 0.5


def test_hands_without_fingers_stay_as_they_are(body: BodyModel, rest: RestBody) -> None:
    pose = retarget(write(WRITERS["Mixamo of a game"], "stance", walk(2), 2)[0], body, rest)
    fingers = [i for i, name in enumerate(body.bone_names) if name.startswith(("finger", "metacarpal"))]
    assert pose.rotations[:, fingers].abs().max() < 1e-5


def test_feet_that_rest_along_the_shin_stand_flat(body: BodyModel, rest: RestBody) -> None:
    """Some zero poses have toes straight below the ankle; the frames bend them forward."""
    motion, _ = write(WRITERS["Mixamo of a game"])
    for side in ("Left", "Right"):
        foot, toe = (motion.names.index(f"{side}{name}") for name in ("Foot", "ToeBase"))
        motion.offsets[toe] = [0, -13, 0]
        motion.rotations[:, foot] = Rotation.from_rotvec([-np.pi / 2, 0, 0]).as_matrix()
    places = heads(body, rest, retarget(motion, body, rest))
    assert direction(places, "foot.L", "toe3-1.L")[0, 2] > 0.95


def test_impossible_skeletons(body: BodyModel, rest: RestBody) -> None:
    motion, _ = write(WRITERS["Mixamo of a game"])
    far = replace(
        motion, root_positions=motion.root_positions + np.arange(3)[:, None] * np.array([1e8, 0, 0])
    )
    with pytest.raises(InputError, match="goes where nobody does"):
        retarget(far, body, rest)
    names = motion.names
    for joint in ("LeftLeg", "RightLeg"):
        motion.offsets[names.index(joint)] *= 1e5
    with pytest.raises(InputError, match="no person's"):
        retarget(motion, body, rest)


def test_smallest_turn() -> None:
    a, b = torch.randn(10, 3, dtype=torch.float64), torch.randn(10, 3, dtype=torch.float64)
    turned = (smallest_turn(a, b) @ a[..., None]).squeeze(-1)
    assert torch.allclose(turned / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True), atol=1e-9)
    assert torch.allclose(smallest_turn(a, a), torch.eye(3, dtype=torch.float64).expand(10, 3, 3), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "fps"), [("cmu_01_01", 4.0), ("mh_walk1", 24.0), ("mh_dance1", 24.0), ("mh_benchmark", 24.0)]
)
def test_recorded_motions(
    body: BodyModel, rest: RestBody, capture_folder: Callable[[str], Path], name: str, fps: float
) -> None:
    """Limbs point where the recorded ones do, in every frame, and the clip stands on the floor."""
    motion = load_bvh(capture_folder("motion_bvh") / f"{name}.bvh").resampled(fps)
    pose = retarget(motion, body, rest)
    assert torch.isfinite(pose.rotations).all()
    assert limb_angles(body, rest, motion, pose).max() < np.radians(3)
    assert trunk_angles(body, rest, motion, pose, shoulders=True).max() < np.radians(5)
    soles = lowest_soles(body, rest, pose)
    # At most a twentieth of the frames is below the floor, and half of them stand on it or step over it closely.
    assert (soles < -2e-3).float().mean() <= 0.06 and soles.median() < 0.05
