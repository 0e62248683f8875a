"""Skeletons as many programs write them: one person, in their joints, names and zero poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from simulacra.recon.motion import Motion

# A person of 1.7 m in a T-pose, centimetres, Y up, facing +Z. Left side; of the right, x is negative.
PELVIS, NECK, HEAD, CROWN = (0, 96, 0), (0, 146, -1), (0, 156, 1), (0, 174, 2)
CLAVICLE, SHOULDER, ELBOW, WRIST = (3, 142, 0), (17, 142, -1), (45, 142, -2), (71, 142, -1)
HIP, KNEE, ANKLE, BALL, TOES = (9, 92, 1), (9.5, 50, 2), (10, 8, -1), (11, 2, 12), (11, 2, 19)
KNUCKLES = {"thumb": (74, 140, 3), "index": (80, 142, 2), "middle": (81, 142, 0), "ring": (80, 142, -2)}
KNUCKLES |= {"little": (78, 141, -4)}
FINGERS = tuple(KNUCKLES)
PHALANX = 3.2

Joint = tuple[str, str, tuple[float, float, float], str]
"""Its name, its parent's name, its place in the T-pose, the part of the person that turns it."""


@dataclass(frozen=True)
class Writer:
    """How a program names its joints; * is the side's word, and no name: the program has no such joint.

    Attributes:
        sides: its words for left and right.
        above: joints over the pelvis, on the floor.
        trunk: pelvis, spine, neck, head.
        arm: clavicle, upper arm, forearm, hand.
        leg: thigh, shin, foot, toes.
        finger: the name of a joint from the side's word, the finger's and the phalanx's number.
        fingers: its words for thumb to little finger; none, no fingers.
        palm: whether each finger but the thumb begins with a bone of the palm, numbered 0.
        before: a joint of no length before each leg.
        crown: a joint on top of the head.
        ends: whether chains end with end sites.
        high: whether legs hang on the first joint of the spine, and arms on the neck.
    """

    sides: tuple[str, str]
    trunk: tuple[str, ...]
    neck: tuple[str, ...]
    arm: tuple[str, ...]
    leg: tuple[str, ...]
    above: tuple[str, ...] = ()
    finger: Callable[[str, str, int], str] = lambda side, finger, joint: f"{side}Hand{finger}{joint}"
    fingers: tuple[str, ...] = ()
    palm: bool = False
    before: str = ""
    crown: str = ""
    ends: bool = True
    high: bool = False


MIXED = ("Thumb", "Index", "Middle", "Ring", "Pinky")
MIXAMO_ARM = ("*Shoulder", "*Arm", "*ForeArm", "*Hand")
MIXAMO_LEG = ("*UpLeg", "*Leg", "*Foot", "*ToeBase")
LEFT = ("Left", "Right")
WRITERS = {
    "Mixamo": Writer(
        LEFT,
        ("Hips", "Spine", "Spine1", "Spine2"),
        ("Neck", "Head"),
        MIXAMO_ARM,
        MIXAMO_LEG,
        fingers=MIXED,
        crown="HeadTop_End",
    ),
    "Mixamo of Blender": Writer(
        ("mixamorig:Left", "mixamorig:Right"),
        ("mixamorig:Hips", "mixamorig:Spine", "mixamorig:Spine1", "mixamorig:Spine2"),
        ("mixamorig:Neck", "mixamorig:Head"),
        MIXAMO_ARM,
        MIXAMO_LEG,
        fingers=MIXED,
    ),
    "Mixamo of a game": Writer(
        LEFT, ("Hips", "Spine", "Spine2"), ("Neck", "Head"), MIXAMO_ARM, MIXAMO_LEG, ends=False
    ),
    "MotionBuilder": Writer(
        ("Character1_Left", "Character1_Right"),
        ("Character1_Hips", "Character1_Spine", "Character1_Spine1"),
        ("Character1_Neck", "Character1_Head"),
        MIXAMO_ARM,
        MIXAMO_LEG,
        above=("Character1_Reference",),
    ),
    "LAFAN1": Writer(
        LEFT,
        ("Hips", "Spine", "Spine1", "Spine2"),
        ("Neck", "Head"),
        MIXAMO_ARM,
        ("*UpLeg", "*Leg", "*Foot", "*Toe"),
    ),
    "CMU": Writer(
        LEFT,
        ("Hips", "LowerBack", "Spine", "Spine1"),
        ("Neck", "Neck1", "Head"),
        MIXAMO_ARM,
        MIXAMO_LEG,
        before="*HipJoint",
    ),
    "HDM05": Writer(
        ("l", "r"),
        ("root", "lowerback", "upperback", "thorax"),
        ("lowerneck", "upperneck", "head"),
        ("*clavicle", "*humerus", "*radius", "*wrist"),
        ("*femur", "*tibia", "*foot", "*toes"),
        before="*hipjoint",
    ),
    "Rokoko": Writer(
        LEFT,
        ("Hips", "Spine", "Spine1", "Spine2"),
        ("Neck", "Head"),
        MIXAMO_ARM,
        MIXAMO_LEG,
        fingers=MIXED,
        finger=lambda side, finger, joint: f"{side}Hand{finger}{joint}" if joint else f"{side}InHand{finger}",
        palm=True,
    ),
    "Biovision": Writer(
        LEFT,
        ("Hips", "Chest", "Chest2"),
        ("Neck", "Head"),
        ("*Collar", "*Shoulder", "*Elbow", "*Wrist"),
        ("*Hip", "*Knee", "*Ankle", "*Toe"),
    ),
    "Biovision, short": Writer(
        LEFT,
        ("Hips", "Chest"),
        ("Neck", "Head"),
        ("*Collar", "*Shoulder", "*Elbow", "*Wrist"),
        ("*Hip", "*Knee", "*Ankle"),
    ),
    "SMPL": Writer(
        ("L", "R"),
        ("Pelvis", "Spine1", "Spine2", "Spine3"),
        ("Neck", "Head"),
        ("*_Collar", "*_Shoulder", "*_Elbow", "*_Wrist"),
        ("*_Hip", "*_Knee", "*_Ankle", "*_Foot"),
        ends=False,
    ),
    "SMPL-X": Writer(
        ("left", "right"),
        ("pelvis", "spine1", "spine2", "spine3"),
        ("neck", "head"),
        ("*_collar", "*_shoulder", "*_elbow", "*_wrist"),
        ("*_hip", "*_knee", "*_ankle", "*_foot"),
        fingers=("thumb", "index", "middle", "ring", "pinky"),
        finger=lambda side, finger, joint: f"{side}_{finger}{joint}",
    ),
    "SMPL of Maya": Writer(
        ("L", "R"),
        ("m_avg_Pelvis", "m_avg_Spine1", "m_avg_Spine2", "m_avg_Spine3"),
        ("m_avg_Neck", "m_avg_Head"),
        ("m_avg_*_Collar", "m_avg_*_Shoulder", "m_avg_*_Elbow", "m_avg_*_Wrist"),
        ("m_avg_*_Hip", "m_avg_*_Knee", "m_avg_*_Ankle", "m_avg_*_Foot"),
        above=("m_avg_root",),
        ends=False,
    ),
    "Unreal": Writer(
        ("l", "r"),
        ("pelvis", "spine_01", "spine_02", "spine_03"),
        ("neck_01", "head"),
        ("clavicle_*", "upperarm_*", "lowerarm_*", "hand_*"),
        ("thigh_*", "calf_*", "foot_*", "ball_*"),
        above=("root",),
        fingers=("thumb", "index", "middle", "ring", "pinky"),
        finger=lambda side, finger, joint: f"{finger}_0{joint}_{side}",
    ),
    "3ds Max": Writer(
        ("L", "R"),
        ("Bip01 Pelvis", "Bip01 Spine", "Bip01 Spine1"),
        ("Bip01 Neck", "Bip01 Head"),
        ("Bip01 * Clavicle", "Bip01 * UpperArm", "Bip01 * Forearm", "Bip01 * Hand"),
        ("Bip01 * Thigh", "Bip01 * Calf", "Bip01 * Foot", "Bip01 * Toe0"),
        above=("Bip01",),
        fingers=("0", "1", "2", "3", "4"),
        finger=lambda side, finger, joint: (
            f"Bip01 {side} Finger{finger}" + (f"{joint - 1}" if joint > 1 else "")
        ),
    ),
    "3ds Max, older": Writer(
        ("L", "R"),
        ("Bip01_Pelvis", "Bip01_Spine", "Bip01_Spine1"),
        ("Bip01_Neck", "Bip01_Head"),
        ("Bip01_*_Clavicle", "Bip01_*_UpperArm", "Bip01_*_Forearm", "Bip01_*_Hand"),
        ("Bip01_*_Thigh", "Bip01_*_Calf", "Bip01_*_Foot", "Bip01_*_Toe0"),
        above=("Bip01",),
        high=True,
    ),
    "Poser": Writer(
        ("l", "r"),
        ("hip", "abdomen", "chest"),
        ("neck", "head"),
        ("*Collar", "*Shldr", "*ForeArm", "*Hand"),
        ("*Thigh", "*Shin", "*Foot"),
        before="*Buttock",
    ),
    "OptiTrack": Writer(
        ("L", "R"),
        ("Skeleton_Hip", "Skeleton_Ab", "Skeleton_Chest"),
        ("Skeleton_Neck", "Skeleton_Head"),
        ("Skeleton_*Shoulder", "Skeleton_*UArm", "Skeleton_*FArm", "Skeleton_*Hand"),
        ("Skeleton_*Thigh", "Skeleton_*Shin", "Skeleton_*Foot", "Skeleton_*Toe"),
    ),
    "Xsens": Writer(
        LEFT,
        ("Pelvis", "L5", "L3", "T12", "T8"),
        ("Neck", "Head"),
        ("*Shoulder", "*UpperArm", "*ForeArm", "*Hand"),
        ("*UpperLeg", "*LowerLeg", "*Foot", "*Toe"),
    ),
    "VRM": Writer(
        ("L", "R"),
        ("J_Bip_C_Hips", "J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest"),
        ("J_Bip_C_Neck", "J_Bip_C_Head"),
        ("J_Bip_*_Shoulder", "J_Bip_*_UpperArm", "J_Bip_*_LowerArm", "J_Bip_*_Hand"),
        ("J_Bip_*_UpperLeg", "J_Bip_*_LowerLeg", "J_Bip_*_Foot", "J_Bip_*_ToeBase"),
        fingers=("Thumb", "Index", "Middle", "Ring", "Little"),
        finger=lambda side, finger, joint: f"J_Bip_{side}_{finger}{joint}",
    ),
    "ARKit": Writer(
        ("left", "right"),
        ("hips_joint", *(f"spine_{i}_joint" for i in range(1, 8))),
        ("neck_1_joint", "neck_2_joint", "neck_3_joint", "head_joint"),
        ("*_shoulder_1_joint", "*_arm_joint", "*_forearm_joint", "*_hand_joint"),
        ("*_upLeg_joint", "*_leg_joint", "*_foot_joint", "*_toes_joint"),
        above=("root",),
    ),
    "Kinect": Writer(
        LEFT,
        ("HipCenter", "Spine"),
        ("ShoulderCenter", "Head"),
        ("", "Shoulder*", "Elbow*", "Wrist*"),
        ("Hip*", "Knee*", "Ankle*", "Foot*"),
        ends=False,
    ),
    "DeepMotion": Writer(
        ("l", "r"),
        ("hips_JNT", "spine_JNT", "spine1_JNT", "spine2_JNT"),
        ("neck_JNT", "head_JNT"),
        ("*_shoulder_JNT", "*_arm_JNT", "*_forearm_JNT", "*_hand_JNT"),
        ("*_upleg_JNT", "*_leg_JNT", "*_foot_JNT", "*_toebase_JNT"),
        fingers=MIXED,
        finger=lambda side, finger, joint: f"{side}_hand{finger}{joint}_JNT",
    ),
    "MikuMikuDance": Writer(
        ("左", "右"),
        ("センター", "上半身", "上半身2"),
        ("首", "頭"),
        ("*肩", "*腕", "*ひじ", "*手首"),
        ("*足", "*ひざ", "*足首", "*つま先"),
    ),
    "Rigify": Writer(
        ("L", "R"),
        ("spine", "spine.001", "spine.002", "spine.003"),
        ("spine.004", "spine.006"),
        ("shoulder.*", "upper_arm.*", "forearm.*", "hand.*"),
        ("thigh.*", "shin.*", "foot.*", "toe.*"),
        fingers=("thumb", "f_index", "f_middle", "f_ring", "f_pinky"),
        finger=lambda side, finger, joint: f"{finger}.0{joint}.{side}",
    ),
    "no names": Writer(
        ("A", "B"),
        ("J1", "J2", "J3"),
        ("J4", "J5"),
        ("K*1", "K*2", "K*3", "K*4"),
        ("M*1", "M*2", "M*3", "M*4"),
    ),
}


def joints_of(writer: Writer) -> tuple[list[Joint], dict[str, tuple[str, ...]]]:
    """The hierarchy of a writer's person, and the parts that its joints are."""
    joints: list[Joint] = []
    parent = ""
    for name in writer.above:
        joints.append((name, parent, (0, 0, 0), "pelvis"))
        parent = name
    pelvis, *spine = writer.trunk
    joints.append((pelvis, parent, PELVIS, "pelvis"))
    parent = pelvis
    for i, name in enumerate(spine, 1):
        place = np.array(PELVIS) + (np.array(NECK) - PELVIS) * i / (len(spine) + 1)
        joints.append((name, parent, tuple(place), "chest" if i == len(spine) else "pelvis"))
        parent = name
    chest, (*necks, head) = parent, writer.neck
    for i, name in enumerate(necks):
        place = np.array(NECK) + (np.array(HEAD) - NECK) * i / len(necks)
        joints.append((name, parent, tuple(place), "neck"))
        parent = name
    joints.append((head, parent, HEAD, "head"))
    if writer.crown:
        joints.append((writer.crown, head, CROWN, "head"))
    parts = {"pelvis": (pelvis,), "spine": tuple(spine), "neck": tuple(necks), "head": (head,)}
    if writer.high:
        pelvis, chest = spine.pop(0), necks[0]
        parts |= {"pelvis": (pelvis,), "spine": tuple(spine)}
    for word, side, sign in zip(writer.sides, ("left", "right"), (1, -1), strict=True):
        added, of = _side(writer, word, sign, chest, pelvis)
        joints += added
        parts |= {f"{side}_{part}": names for part, names in of.items()}
    return joints, {part: names for part, names in parts.items() if names}


def _side(
    writer: Writer, word: str, sign: int, chest: str, pelvis: str
) -> tuple[list[Joint], dict[str, tuple[str, ...]]]:
    joints: list[Joint] = []
    parts: dict[str, tuple[str, ...]] = {}

    def add(name: str, parent: str, place: tuple[float, float, float], segment: str) -> str:
        joints.append((name, parent, (sign * place[0], place[1], place[2]), f"{segment} {sign}"))
        return name

    words = ("clavicle", "upper_arm", "forearm", "hand")
    segments = ("clavicle", "upper", "fore", "hand")
    parent = chest
    for name, place, part, segment in zip(
        writer.arm, (CLAVICLE, SHOULDER, ELBOW, WRIST), words, segments, strict=True
    ):
        if name:
            parent = add(name.replace("*", word), parent, place, segment)
            parts[part] = (parent,)
    for finger, its in zip(FINGERS, writer.fingers, strict=False):
        above, knuckle, names = parent, np.array(KNUCKLES[finger]), []
        if writer.palm and finger != "thumb":
            palm = np.array(WRIST) + (knuckle - WRIST) / 3
            above = add(writer.finger(word, its, 0), above, tuple(palm), "hand")
        for phalanx in range(1, 4):
            place = knuckle + PHALANX * (phalanx - 1) * np.array([1.0, 0, 0.3 if finger == "thumb" else 0])
            above = add(writer.finger(word, its, phalanx), above, tuple(place), f"{finger}{phalanx}")
            names.append(above)
        parts[finger] = tuple(names)
    parent = pelvis
    if writer.before:
        parent = add(writer.before.replace("*", word), parent, (0, 94, 0), "pelvis")
    for name, place, part, segment in zip(
        writer.leg,
        (HIP, KNEE, ANKLE, BALL),
        ("thigh", "shin", "foot", "toes"),
        ("thigh", "shin", "foot", "toes"),
        strict=False,
    ):
        parent = add(name.replace("*", word), parent, place, segment)
        parts[part] = (parent,)
    return joints, parts


Turns = dict[str, Float[np.ndarray, "t 3"]]
"""Rotation vectors in the world of the segments that turn, in each frame."""


def write(
    writer: Writer,
    zero: str = "stance",
    turns: Turns | None = None,
    frames: int = 3,
    world: Float[np.ndarray, "3 3"] | None = None,
) -> tuple[Motion, dict[str, tuple[str, ...]]]:
    """A person's motion as a writer has it, and the parts of the person by its joints.

    Args:
        zero: stance: no joint turned is the T-pose. line: all bones along +X. own: each bone along an axis of its own.
        turns: of `pelvis`, `chest`, `neck`, `head`, or a segment with the side's sign behind it, as `upper -1`: turned
            about its joint on top of the segment that it hangs on.
        world: axes of the file from Y up, facing +Z; of the frames, not of the zero pose.
    """
    joints, parts = joints_of(writer)
    names = [name for name, *_ in joints]
    parents = np.array([names.index(parent) if parent else -1 for _, parent, _, _ in joints])
    places = np.array([place for _, _, place, _ in joints], dtype=np.float64)
    axes = _joint_axes(zero, parents, places)
    turned = _turned(joints, parents, turns or {}, frames)
    world = np.eye(3) if world is None else world
    whole = world @ turned @ axes
    local = np.stack(
        [
            whole[:, j] if p < 0 else np.swapaxes(whole[:, p], -1, -2) @ whole[:, j]
            for j, p in enumerate(parents)
        ],
        1,
    )
    offsets = places.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            offsets[joint] = axes[parent].T @ (places[joint] - places[parent])
    ends = _end_sites(names, parents, axes) if writer.ends else ([], [], [])
    motion = Motion(
        names=(*names, *ends[0]),
        parents=np.concatenate([parents, np.array(ends[1], dtype=parents.dtype)]),
        offsets=np.concatenate([offsets, np.array(ends[2]).reshape(-1, 3)]),
        rotations=np.concatenate([local, np.tile(np.eye(3), (frames, len(ends[0]), 1, 1))], 1),
        root_positions=np.tile(world @ places[0], (frames, 1)),
        fps=30.0,
    )
    return motion, parts


def _joint_axes(zero: str, parents: np.ndarray, places: np.ndarray) -> Float[np.ndarray, "n 3 3"]:
    """How each joint's own axes are turned in the T-pose."""
    count = len(parents)
    if zero == "stance":
        return np.tile(np.eye(3), (count, 1, 1))
    if zero == "own":
        return Rotation.random(count, random_state=4).as_matrix()
    axes = np.tile(np.eye(3), (count, 1, 1))
    for joint in range(count):
        below = np.flatnonzero(parents == joint)
        if len(below) and np.linalg.norm(bone := places[below[-1]] - places[joint]) > 1e-6:
            axes[joint] = Rotation.align_vectors(bone[None], np.array([[1.0, 0, 0]]))[0].as_matrix()
    return axes


def _turned(
    joints: list[Joint], parents: np.ndarray, turns: Turns, frames: int
) -> Float[np.ndarray, "t n 3 3"]:
    turned = np.tile(np.eye(3), (frames, len(joints), 1, 1))
    for joint, (_, _, _, segment) in enumerate(joints):
        parent = parents[joint]
        above = turned[:, parent] if parent >= 0 else np.tile(np.eye(3), (frames, 1, 1))
        starts = parent < 0 or joints[parent][3] != segment
        own = Rotation.from_rotvec(turns[segment]).as_matrix() if starts and segment in turns else np.eye(3)
        turned[:, joint] = above @ own
    return turned


def _end_sites(
    names: list[str], parents: np.ndarray, axes: np.ndarray
) -> tuple[list[str], list[int], list[Float[np.ndarray, "3"]]]:
    leaves = [joint for joint in range(len(names)) if joint not in parents]
    return [f"{names[j]}_end" for j in leaves], leaves, [axes[j].T @ np.array([0, 2.0, 0]) for j in leaves]
