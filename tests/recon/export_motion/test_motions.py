"""Motions that other programs read: the same joints in the same places, and angles whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.export_motion import (
    RIGS,
    joint_angles,
    joint_markers,
    rig_motion,
    write_arrays_of,
    write_bvh,
    write_c3d,
    write_csv,
    write_mot,
    write_trc,
)
from simulacra.recon.export_motion.bvh import euler_zxy
from simulacra.recon.export_motion.rigs import Rig
from simulacra.recon.motion import describe_skeleton, find_skeleton, load_bvh, retarget
from simulacra.render.body import BodyModel, BodyPose, RestBody
from tests.node_programs import run_node

FRAMES, FPS = 6, 50.0
# Metres: BVH has five digits of a centimetre and of a degree.
PLACES_AGREE = 1e-5


@pytest.fixture(scope="module")
def rest(body: BodyModel) -> RestBody:
    return body.rest(body.neutral_shape())


@pytest.fixture(scope="module")
def pose(body: BodyModel) -> BodyPose:
    generator = torch.Generator().manual_seed(3)
    still = body.zero_pose(FRAMES)
    rotations = 0.2 * torch.randn(still.rotations.shape, generator=generator)
    rotations[:, 0, 1] = torch.linspace(-3.0, 3.5, FRAMES)
    return BodyPose(rotations, 0.5 * torch.randn(FRAMES, 3, generator=generator), still.expression)


def heads(body: BodyModel, rest: RestBody, pose: BodyPose) -> dict[str, np.ndarray]:
    T = body.pose(rest, pose, vertices=body.soles[:1]).T_world_bone[:, :, :3, 3].double().numpy()
    return dict(zip(body.bone_names, T.swapaxes(0, 1), strict=True))


@pytest.mark.parametrize("rig", RIGS)
def test_bvh_joints_are_where_they_were(
    body: BodyModel, rest: RestBody, pose: BodyPose, rig: Rig, tmp_path: Path
) -> None:
    names = RIGS[rig] or {name: name for name in body.bone_names}
    places = {joint: first_bone(bone) if rig != "own" else bone for joint, bone in names.items()}
    # Fewer joints have what their bones do: those in between keep still.
    moving = torch.tensor([bone in places.values() for bone in body.bone_names])
    moved = BodyPose(pose.rotations * moving[:, None], pose.translation, pose.expression)
    write_bvh(tmp_path / "a.bvh", rig_motion(body, rest, moved, FPS, rig))
    back = load_bvh(tmp_path / "a.bvh")
    assert len(back) == FRAMES and abs(back.fps - FPS) < 1e-3
    ours, theirs = heads(body, rest, moved), back.positions() / 100
    for joint, bone in places.items():
        off = np.abs(theirs[:, back.names.index(joint)] - ours[bone]).max()
        assert off < PLACES_AGREE, joint


def first_bone(bone: str) -> str:
    """Where a limb's segment begins, whose second bone has all of its turn."""
    stem, dot, side = bone.partition(".")
    return (stem[:-1] + "1" if stem.startswith(("upper", "lower")) else stem) + dot + side


@pytest.mark.parametrize("rig", ["mixamo", "smpl"])
def test_common_skeletons_are_known_and_stand_as_a_t(
    body: BodyModel, rest: RestBody, rig: Rig, tmp_path: Path
) -> None:
    write_bvh(tmp_path / "a.bvh", rig_motion(body, rest, body.zero_pose(), FPS, rig))
    back = load_bvh(tmp_path / "a.bvh")
    assert {"mixamo": "Mixamo", "smpl": "SMPL"}[rig] in describe_skeleton(back, find_skeleton(back))
    zero = back.rest_positions()
    shoulder, wrist = {
        "mixamo": ("mixamorig:LeftArm", "mixamorig:LeftHand"),
        "smpl": ("L_Shoulder", "L_Wrist"),
    }[rig]
    arm = zero[back.names.index(wrist)] - zero[back.names.index(shoulder)]
    np.testing.assert_allclose(arm / np.linalg.norm(arm), [1, 0, 0], atol=1e-4)


@pytest.mark.parametrize("rig", RIGS)
def test_a_motion_that_goes_out_and_in_again_is_the_same(
    body: BodyModel, rest: RestBody, rig: Rig, tmp_path: Path
) -> None:
    """An arm raised, a knee bent and a step ahead, by our own transfer of recorded motion."""
    still = body.zero_pose(3)
    rotations = still.rotations.clone()
    rotations[:, body.bone_names.index("upperarm01.L"), 2] = torch.tensor([0.0, 0.3, 0.6])
    rotations[:, body.bone_names.index("lowerleg01.R"), 0] = torch.tensor([0.0, 0.2, 0.5])
    translation = torch.tensor([[0.0, 0, 0], [0, 0, 0.1], [0, 0, 0.3]])
    moved = BodyPose(rotations, translation, still.expression)
    write_bvh(tmp_path / "a.bvh", rig_motion(body, rest, moved, FPS, rig))
    back = retarget(load_bvh(tmp_path / "a.bvh"), body, rest)
    ours, theirs = heads(body, rest, moved), heads(body, rest, back)
    for bone in ("wrist.L", "lowerarm01.L", "foot.R", "lowerleg01.R", "head", "foot.L"):
        relative = [each[bone] - each["root"] for each in (ours, theirs)]
        assert np.abs(relative[0] - relative[1]).max() < 0.025, bone


def test_threes_reader_finds_the_same_joints(
    body: BodyModel, rest: RestBody, pose: BodyPose, tmp_path: Path
) -> None:
    write_bvh(tmp_path / "a.bvh", rig_motion(body, rest, pose, FPS))
    program = """
    import { readFileSync } from 'fs';
    import { AnimationMixer, Vector3 } from 'three';
    import { BVHLoader } from 'three/addons/loaders/BVHLoader.js';
    const { skeleton, clip } = new BVHLoader().parse(readFileSync(process.argv[2], 'utf8'));
    const root = skeleton.bones[0];
    const mixer = new AnimationMixer(root);
    mixer.clipAction(clip).play();
    mixer.setTime(Number(process.argv[3]));
    root.updateMatrixWorld(true);
    const at = {};
    for (const bone of skeleton.bones) at[bone.name] = new Vector3().setFromMatrixPosition(bone.matrixWorld).toArray();
    console.log(JSON.stringify(at));
    """
    found = run_node(program, tmp_path, "three", words=(str(tmp_path / "a.bvh"), str(2 / FPS)))
    for bone, places in heads(body, rest, pose).items():
        # three leaves dots out of names; its quaternions are of single precision.
        name = bone if bone in found else bone.replace(".", "")
        np.testing.assert_allclose(np.array(found[name]) / 100, places[2], atol=1e-4)


def test_angles_of_a_bvh_are_those_of_the_matrix() -> None:
    from scipy.spatial.transform import Rotation

    turns = Rotation.random(200, rng=np.random.default_rng(0)).as_matrix()
    locked = Rotation.from_euler("ZXY", [[0.3, np.pi / 2, 0.4], [0.3, -np.pi / 2, 0.4]]).as_matrix()
    matrices = np.concatenate([turns, locked])
    back = Rotation.from_euler("ZXY", euler_zxy(matrices)).as_matrix()
    np.testing.assert_allclose(back, matrices, atol=1e-7)


def test_markers_come_back(body: BodyModel, rest: RestBody, pose: BodyPose, tmp_path: Path) -> None:
    markers = joint_markers(body, rest, pose, FPS)
    ours = heads(body, rest, pose)
    np.testing.assert_allclose(
        markers.points[:, markers.names.index("RKnee")], ours["lowerleg01.R"], atol=1e-6
    )
    write_trc(tmp_path / "a.trc", markers)
    lines = (tmp_path / "a.trc").read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    said = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    assert (said["NumFrames"], said["NumMarkers"], said["Units"]) == (
        str(FRAMES),
        str(len(markers.names)),
        "mm",
    )
    assert [name for name in lines[3].split("\t")[2:] if name] == list(markers.names)
    table = np.array([line.split("\t") for line in lines[6:]], float)
    np.testing.assert_allclose(table[:, 1], np.arange(FRAMES) / FPS, atol=1e-6)
    np.testing.assert_allclose(table[:, 2:].reshape(FRAMES, -1, 3), markers.points * 1000, atol=6e-4)


def test_c3d_is_read_by_another_library(
    body: BodyModel, rest: RestBody, pose: BodyPose, tmp_path: Path
) -> None:
    pytest.importorskip("ezc3d", reason="ezc3d is not installed (extra c3d)")
    reader = pytest.importorskip("c3d", reason="the library c3d is not installed")
    markers = joint_markers(body, rest, pose, FPS)
    write_c3d(tmp_path / "a.c3d", markers)
    with (tmp_path / "a.c3d").open("rb") as stream:
        with pytest.warns(UserWarning, match="No analog"):  # and so it is
            file = reader.Reader(stream)
        frames = np.array([points[:, :3] for _, points, _ in file.read_frames()])
        labels = [label.strip() for label in file.point_labels]
        assert file.point_rate == FPS and file.get("POINT:UNITS").string_value.strip() == "mm"
        assert file.get("POINT:Y_SCREEN").string_value.strip() == "+Y"
    assert labels == list(markers.names)
    np.testing.assert_allclose(
        frames, markers.points * 1000, atol=1e-2
    )  # single precision of a metre in millimetres


def turned(body: BodyModel, bone: str, axis: int, degrees: float) -> BodyPose:
    still = body.zero_pose()
    still.rotations[0, body.bone_names.index(bone), axis] = np.radians(degrees)
    return still


@pytest.mark.parametrize(
    ("bone", "axis", "degrees", "name", "wanted"),
    [
        # About X: the upper end of a trunk goes ahead, a foot goes back.
        ("root", 0, 20, "pelvis_tilt", 20),
        ("spine03", 0, 20, "trunk_flexion", 20),
        ("upperleg01.R", 0, -30, "hip_flexion_r", 30),
        ("upperleg01.L", 0, -30, "hip_flexion_l", 30),
        ("foot.L", 0, -15, "ankle_dorsiflexion_l", 15),
        # About Z: the head goes to the person's right, the right foot inwards, the left one outwards.
        ("neck01", 2, 12, "neck_bending", 12),
        ("upperleg01.R", 2, 10, "hip_adduction_r", 10),
        ("upperleg01.L", 2, -10, "hip_adduction_l", 10),
        # About Y: everything ahead goes to the left, inwards for the right leg.
        ("head", 1, 25, "neck_rotation", 25),
        ("upperleg01.R", 1, 10, "hip_rotation_r", 10),
        ("upperleg01.L", 1, 10, "hip_rotation_l", -10),
        ("upperarm01.L", 0, -40, "shoulder_flexion_l", 40),
    ],
)  # fmt: skip
def test_one_turn_is_one_angle(
    body: BodyModel, rest: RestBody, bone: str, axis: int, degrees: float, name: str, wanted: float
) -> None:
    angles = joint_angles(rig_motion(body, rest, turned(body, bone, axis, degrees), FPS))
    assert abs(angles[name][0] - wanted) < 1e-3
    others = [n for n in angles if n != name and not n.startswith("pelvis_t")]
    zero = joint_angles(rig_motion(body, rest, body.zero_pose(), FPS))
    moved = {n for n in others if abs(angles[n][0] - zero[n][0]) > 1e-3}
    # A joint that is seen from the bone turned in between.
    assert not moved, moved


def test_knees_and_elbows_bend_by_the_angle_of_their_segments(body: BodyModel, rest: RestBody) -> None:
    zero = joint_angles(rig_motion(body, rest, body.zero_pose(), FPS))
    bent = joint_angles(rig_motion(body, rest, turned(body, "lowerleg01.R", 0, 60), FPS))
    assert 0 <= zero["knee_flexion_r"][0] < 12
    assert abs(bent["knee_flexion_r"][0] - 60) < 12 and bent["knee_flexion_l"][0] == zero["knee_flexion_l"][0]
    assert 20 < zero["elbow_flexion_l"][0] < 60  # at zero pose it is half bent
    assert abs(zero["elbow_flexion_l"][0] - zero["elbow_flexion_r"][0]) < 0.1


def test_tables_of_angles_are_what_opensim_reads(
    body: BodyModel, rest: RestBody, pose: BodyPose, tmp_path: Path
) -> None:
    motion = rig_motion(body, rest, pose, FPS)
    write_mot(tmp_path / "a.mot", motion)
    write_csv(tmp_path / "a.csv", motion)
    head, _, table = (tmp_path / "a.mot").read_text().partition("endheader\n")
    assert f"nRows={FRAMES}\n" in head and "inDegrees=yes" in head
    names = table.splitlines()[0].split("\t")
    assert f"nColumns={len(names)}\n" in head and names[0] == "time"
    rows = np.array([line.split("\t") for line in table.splitlines()[1:]], float)
    csv = (tmp_path / "a.csv").read_text().splitlines()
    assert csv[0].split(",") == names
    assert np.array_equal(rows, np.array([line.split(",") for line in csv[1:]], float))
    np.testing.assert_allclose(rows[:, names.index("pelvis_ty")], motion.root_positions[:, 1], atol=1e-6)
    # Turning by more than half a turn does not jump.
    assert np.abs(np.diff(rows[:, names.index("pelvis_rotation")])).max() < 180


def test_arrays_are_enough_to_pose_the_person_again(
    body: BodyModel, rest: RestBody, pose: BodyPose, tmp_path: Path
) -> None:
    write_arrays_of(tmp_path / "a.npz", body, body.neutral_shape(), rest, pose, FPS)
    with np.load(tmp_path / "a.npz") as arrays:
        skin = arrays["T_world_bone"] @ np.linalg.inv(arrays["rest_T_world_bone"])
        points = np.concatenate([arrays["rest_vertices"], np.ones((body.n_verts, 1))], 1)
        posed = np.einsum("vk,vkij,vj->vi", arrays["skin_weights"], skin[2][arrays["skin_bones"]], points)
        np.testing.assert_allclose(posed[:, :3], body.pose(rest, pose).verts[2].numpy(), atol=1e-5)
        assert list(arrays["bone_names"]) == list(body.bone_names) and arrays["fps"] == FPS
