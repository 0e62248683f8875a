"""The body's motion on skeletons that other programs know: its own, or fewer joints under names that they map by.

A bone's pose is a turn in the world's axes at zero pose, which is what a BVH's channels are; so the body's own skeleton
takes it as it is. A joint of a smaller skeleton turns as the bone that it stands for, seen from the joint above it.

Other skeletons rest as a T. A joint's zero pose may be any: if C turns what hangs on it from our zero pose to another,
then G' = G C^T is its turn from there, offsets are C o, and all joints are where they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from simulacra.recon.motion import Motion
from simulacra.recon.motion.retarget import smallest_turn
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.rotation import axis_angle_to_matrix

Rig = Literal["own", "mixamo", "smpl"]

_FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")


def _mixamo() -> dict[str, str]:
    names = {"Hips": "root", "Spine": "spine05", "Spine1": "spine03", "Spine2": "spine01"}
    names |= {"Neck": "neck01", "Head": "head"}
    for word, side in (("Left", "L"), ("Right", "R")):
        arm = {"Shoulder": "clavicle", "Arm": "upperarm02", "ForeArm": "lowerarm02", "Hand": "wrist"}
        leg = {"UpLeg": "upperleg02", "Leg": "lowerleg02", "Foot": "foot", "ToeBase": "toe3-1"}
        names |= {f"{word}{joint}": f"{bone}.{side}" for joint, bone in (arm | leg).items()}
        for finger, name in enumerate(_FINGERS, 1):
            names |= {f"{word}Hand{name}{k}": f"finger{finger}-{k}.{side}" for k in (1, 2, 3)}
    return {f"mixamorig:{joint}": bone for joint, bone in names.items()}


def _smpl() -> dict[str, str]:
    names = {"Pelvis": "root", "Spine1": "spine05", "Spine2": "spine03", "Spine3": "spine01"}
    names |= {"Neck": "neck01", "Head": "head"}
    for side in "LR":
        limbs = {"Hip": "upperleg02", "Knee": "lowerleg02", "Ankle": "foot", "Foot": "toe3-1"}
        limbs |= {"Collar": "clavicle", "Shoulder": "upperarm02", "Elbow": "lowerarm02", "Wrist": "wrist"}
        names |= {f"{side}_{joint}": f"{bone}.{side}" for joint, bone in limbs.items()}
    return names


RIGS: Mapping[str, Mapping[str, str]] = {"own": {}, "mixamo": _mixamo(), "smpl": _smpl()}
"""Joints of each skeleton and the bones that they turn with; none for the body's own."""
# A limb's first bone stands where its joint is, the second has all of its turn about itself.
_PLACES = {
    "upperarm02": "upperarm01",
    "lowerarm02": "lowerarm01",
    "upperleg02": "upperleg01",
    "lowerleg02": "lowerleg01",
}
# Straight out in a T: from this bone on, towards that one.
_ARM = ("upperarm02", "lowerarm02", "wrist")


def rig_motion(body: BodyModel, rest: RestBody, pose: BodyPose, fps: float, rig: Rig = "own") -> Motion:
    """The motion on a skeleton, in metres, +Y up.

    Args:
        rest: the person's body.
        pose: `t` frames.
        fps: frames a second.
        rig: `own`: all bones of the body, its zero pose at zero; `mixamo` and `smpl`: joints under their names, a T at
            zero. `smpl` has SMPL's joints without the hands'; it is no fit of SMPL's model.
    """
    zero = body.pose(rest, body.zero_pose(), vertices=body.soles[:1]).T_world_bone[0, :, :3, 3]
    heads = zero.double().numpy()
    parents = body.bone_parents.numpy()
    offsets = heads - np.where(parents[:, None] >= 0, heads[parents], 0)
    turns = axis_angle_to_matrix(pose.rotations.detach().double()).numpy()
    root = heads[0] + pose.translation.detach().double().numpy()
    own = Motion(tuple(body.bone_names), parents, offsets, turns, root, fps)
    return own if rig == "own" else _on_fewer(own, heads, RIGS[rig])


def _on_fewer(own: Motion, heads: Float[np.ndarray, "j 3"], rig: Mapping[str, str]) -> Motion:
    bones = [own.names.index(bone) for bone in rig.values()]
    parents = np.array([_parent(own, bone, bones) for bone in bones])
    order = np.argsort([_depth(parents, joint) for joint in range(len(bones))], kind="stable")
    place = np.argsort(order)
    bones = [bones[joint] for joint in order]
    parents = np.array([-1 if parents[joint] < 0 else place[parents[joint]] for joint in order])
    names = tuple(list(rig)[joint] for joint in order)
    corrections = _t_pose(own, heads, bones, parents)
    world = own.global_rotations()[:, bones] @ corrections.transpose(0, 2, 1)
    places = np.array([heads[own.names.index(_place(own.names[bone]))] for bone in bones])
    offsets, local = places.copy(), world.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            offsets[joint] = corrections[parent] @ (places[joint] - places[parent])
            local[:, joint] = world[:, parent].transpose(0, 2, 1) @ world[:, joint]
    return Motion(names, parents, offsets, local, own.root_positions, own.fps)


def _place(bone: str) -> str:
    stem, dot, side = bone.partition(".")
    return _PLACES.get(stem, stem) + dot + side


def _parent(own: Motion, bone: int, bones: list[int]) -> int:
    """Which of the bones is the next above; -1 for the root."""
    above = int(own.parents[bone])
    while above >= 0 and above not in bones:
        above = int(own.parents[above])
    return bones.index(above) if above >= 0 else -1


def _depth(parents: np.ndarray, joint: int) -> int:
    return 0 if parents[joint] < 0 else 1 + _depth(parents, int(parents[joint]))


def _t_pose(
    own: Motion, heads: Float[np.ndarray, "j 3"], bones: list[int], parents: np.ndarray
) -> Float[np.ndarray, "n 3 3"]:
    """C of each joint: of arms and hands to the sides, one joint after the other; of all else none."""
    corrections = np.tile(np.eye(3), (len(bones), 1, 1))
    for joint, bone in enumerate(bones):
        stem, _, side = own.names[bone].partition(".")
        if parents[joint] >= 0:
            corrections[joint] = corrections[parents[joint]]
        if stem in _ARM[:2]:
            end = own.names.index(_place(f"{_ARM[_ARM.index(stem) + 1]}.{side}"))
            start = own.names.index(_place(own.names[bone]))
            corrections[joint] = _turn(heads[end] - heads[start], 1.0 if side == "L" else -1.0)
    return corrections


def _turn(direction: Float[np.ndarray, "3"], left: float) -> Float[np.ndarray, "3 3"]:
    aside = torch.tensor([left, 0.0, 0.0], dtype=torch.float64)
    return smallest_turn(torch.from_numpy(direction), aside).numpy()
