"""Which joints of a recorded skeleton each bone of the body follows.

A bone follows the joint that turns the same part of the person. Spines and necks differ in how many joints they have:
a bone of the body follows the joint, or both joints, that turn the same height of the trunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion.anatomy import SIDES, Anatomy, find_anatomy
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.names import FINGERS
from simulacra.recon.motion.table import load_names

Follow = tuple[int, int, float]
"""A joint, another, and the share of the second: a bone turns that much from the first to the second."""

SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
NECK = ("neck01", "neck02", "neck03")

_SUFFIX = {"left": ".L", "right": ".R"}
_ONE_JOINT = {
    "clavicle": ("clavicle",),
    "upper_arm": ("upperarm01",),
    "forearm": ("lowerarm01",),
    "hand": ("wrist",),
    "thigh": ("upperleg01",),
    "shin": ("lowerleg01",),
    "foot": ("foot",),
    "toes": tuple(f"toe{toe}-1" for toe in range(1, 6)),
}

_TWISTED = ("upperarm", "lowerarm", "upperleg", "lowerleg")
MAKEHUMAN = (
    *("root", *SPINE, *NECK, "head"),
    *(
        f"{bone}{side}"
        for side in _SUFFIX.values()
        for bone in (
            *("clavicle", "shoulder01", "wrist", "foot", "eye"),
            *(f"{limb}0{i}" for limb in _TWISTED for i in (1, 2)),
            *(f"finger{finger}-{i}" for finger in range(1, 6) for i in range(1, 4)),
            *(f"metacarpal{i}" for i in range(1, 5)),
            *(f"toe{toe}-1" for toe in range(1, 6)),
        )
    ),
)
"""Bones of MakeHuman's default rig, whose names the body's bones have: one to one."""

# Joints, as they are read without sides and namespaces, that only this writer's skeletons have together.
_WRITERS = (
    ("MakeHuman's names", ("clavicle", "uparm", "loarm", "upleg", "loleg")),
    ("CMU's names", ("lowerback", "hipjoint", "upleg", "forearm")),
    ("HDM05 or CMU's names", ("lowerback", "femur", "tibia", "humerus")),
    ("Rokoko or Perception Neuron's names", ("inhandindex", "upleg", "forearm")),
    ("Mixamo's names", ("spine2", "upleg", "leg", "forearm", "toebase")),
    ("LAFAN1's names", ("spine2", "upleg", "leg", "forearm", "toe")),
    ("MotionBuilder's names", ("upleg", "leg", "forearm", "hand")),
    ("SMPL's names", ("spine1", "hip", "knee", "ankle", "foot", "collar", "elbow", "wrist")),
    ("Biovision's names", ("hip", "knee", "ankle", "collar", "elbow", "wrist")),
    ("Unreal's names", ("thigh", "calf", "ball", "upperarm", "lowerarm")),
    ("3ds Max Biped's names", ("thigh", "calf", "foot", "upperarm", "forearm")),
    ("Poser or Daz's names", ("thigh", "shin", "shldr", "forearm")),
    ("OptiTrack's names", ("thigh", "shin", "uarm", "farm")),
    ("Unity or VRM's names", ("upperleg", "lowerleg", "upperarm", "lowerarm")),
    ("Xsens' names", ("upperleg", "lowerleg", "upperarm", "forearm")),
)


_OWN_NAMES = "names of its own, read by the hierarchy"


@dataclass(frozen=True)
class Skeleton:
    """A recorded skeleton, understood.

    Attributes:
        name: whose names its joints have, for messages.
        anatomy: its parts.
        direct: joints whose names are those of the body's bones, all of them; none if it is not the same rig.
        unused: names of joints that nothing of the body follows, nor anything that hangs on them.
    """

    name: str
    anatomy: Anatomy
    direct: Mapping[str, int]
    unused: tuple[str, ...]


def find_skeleton(motion: Motion, names: Path | None = None) -> Skeleton:
    """The parts of the motion's skeleton.

    Args:
        names: a table of joints by part (`table`), for what is not to be looked for.

    Raises:
        InputError: the skeleton is not a person's, or the table cannot be read or says joints that are not there.
    """
    table = load_names(names) if names is not None else None
    anatomy = find_anatomy(motion, table.parts if table else None)
    index = {name: i for i, name in enumerate(motion.names)}
    direct = {bone: index[bone] for bone in MAKEHUMAN if bone in index}
    same = table is None and {"root", "spine05", "spine01", "upperleg02.L", "lowerarm02.R"} <= direct.keys()
    followed = {j for joints in anatomy.parts.values() for j in joints} | (
        set(direct.values()) if same else set()
    )
    return Skeleton(
        name=f"the names of {table.name}"
        if table
        else "MakeHuman's default rig"
        if same
        else _writer(anatomy),
        anatomy=anatomy,
        direct=direct if same else {},
        unused=_unused(motion, followed),
    )


def _writer(anatomy: Anatomy) -> str:
    texts = {name.text for name in anatomy.names}
    return next((name for name, joints in _WRITERS if texts.issuperset(joints)), _OWN_NAMES)


def _unused(motion: Motion, followed: set[int]) -> tuple[str, ...]:
    used = set(followed)
    for joint in range(len(motion.names) - 1, 0, -1):
        if joint in used:
            used.add(int(motion.parents[joint]))
    used |= motion.end_sites()
    return tuple(name for joint, name in enumerate(motion.names) if joint not in used)


def describe_skeleton(motion: Motion, skeleton: Skeleton, shown: int = 6) -> str:
    """What was recognized, what the file lacks and what is not used, in one line."""
    facts = [
        f"{len(motion)} frame{'s' * (len(motion) > 1)} at {motion.fps:.4g} a second",
        f"{len(motion.names) - len(motion.end_sites())} joints, {skeleton.name}",
    ]
    parts = skeleton.anatomy.parts
    lacking = [part for part in ("spine", "neck", "head") if part not in parts]
    if not skeleton.anatomy.fingers():
        lacking.append("fingers")
    elif gone := [f for f in FINGERS if any(f"{side}_{f}" not in parts for side in SIDES)]:
        lacking.append(f"{' and '.join(gone)} fingers")
    if not any(f"{side}_toes" in parts for side in SIDES):
        lacking.append("toes")
    if lacking:
        facts.append(f"without {', '.join(lacking)} (they keep still)")
    unused = skeleton.unused
    more = f" and {len(unused) - shown} more" if len(unused) > shown else ""
    facts.append(f"not used: {', '.join(unused[:shown])}{more}" if unused else "all joints used")
    return "; ".join(facts)


def follow_joints(
    skeleton: Skeleton,
    places: Float[np.ndarray, "n 3"],
    heads: Mapping[str, Float[np.ndarray, "3"]],
) -> dict[str, Follow]:
    """What each bone of the body follows; bones that follow nothing are left out.

    Args:
        places: of the joints in the stance, +Y up.
        heads: of the body's bones at zero pose.
    """
    if skeleton.direct:
        return {bone: (joint, joint, 0.0) for bone, joint in skeleton.direct.items()}
    parts = skeleton.anatomy.parts
    found = {"root": _whole(parts["pelvis"][0])}
    found |= _follow_spine(skeleton.anatomy, places, heads) | _follow_neck(skeleton.anatomy, places, heads)
    for side, suffix in _SUFFIX.items():
        for part, bones in _ONE_JOINT.items():
            for joint in parts.get(f"{side}_{part}", ())[:1]:
                found |= {f"{bone}{suffix}": _whole(joint) for bone in bones}
        for finger, name in enumerate(FINGERS, 1):
            for phalanx, joint in enumerate(parts.get(f"{side}_{name}", ()), 1):
                found[f"finger{finger}-{phalanx}{suffix}"] = _whole(joint)
    return found


def _whole(joint: int) -> Follow:
    return (joint, joint, 0.0)


def _follow_spine(
    anatomy: Anatomy, places: Float[np.ndarray, "n 3"], heads: Mapping[str, Float[np.ndarray, "3"]]
) -> dict[str, Follow]:
    """Each bone the joint at its height between hips and neck; the uppermost the last joint, which carries the arms."""
    joints = (anatomy.joint("pelvis"), *anatomy.parts.get("spine", ()))
    hips = (places[anatomy.joint("left_thigh")] + places[anatomy.joint("right_thigh")]) / 2
    theirs = _heights(places[list(joints[1:])], hips, places[list(anatomy.top())].mean(0))
    middle = (heads["upperleg01.L"] + heads["upperleg01.R"]) / 2
    ours = _heights(np.stack([heads[bone] for bone in SPINE]), middle, heads["neck01"])
    found = _overlap(SPINE, ours, joints, np.concatenate([[0.0], theirs]))
    return found | {SPINE[-1]: _whole(joints[-1])}


def _follow_neck(
    anatomy: Anatomy, places: Float[np.ndarray, "n 3"], heads: Mapping[str, Float[np.ndarray, "3"]]
) -> dict[str, Follow]:
    chain = (*anatomy.parts.get("neck", ()), *anatomy.parts.get("head", ()))
    if not chain:
        return {}
    head, neck = chain[-1], chain[:-1]
    if not neck:
        chest = (*anatomy.parts["pelvis"], *anatomy.parts.get("spine", ()))[-1]
        return {bone: (chest, head, share / 4) for share, bone in enumerate(NECK, 1)} | {"head": _whole(head)}
    theirs = _heights(places[list(neck)], places[neck[0]], places[head])
    ours = _heights(np.stack([heads[bone] for bone in NECK]), heads[NECK[0]], heads["head"])
    found = _overlap(NECK, ours, neck, theirs)
    if len(neck) == 1:
        # A nod of one joint: half of it in the neck, as skin is.
        found[NECK[-1]] = (neck[0], head, 0.5)
    return found | {"head": _whole(head)}


def _heights(
    points: Float[np.ndarray, "m 3"], low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "m"]:
    """How far along a line points are, rising, from 0 to 1."""
    line = high - low
    along = (points - low) @ line / max(float(line @ line), 1e-12)
    return np.maximum.accumulate(np.clip(along, 0, 1))


def _overlap(
    bones: tuple[str, ...],
    ours: Float[np.ndarray, "m"],
    joints: tuple[int, ...],
    theirs: Float[np.ndarray, "k"],
) -> dict[str, Follow]:
    """The two neighbouring joints that turn the most of each bone's height, by what of it they turn."""
    ends, tops = np.append(ours[1:], 1.0), np.append(theirs[1:], 1.0)
    found = {}
    for bone, low, high in zip(bones, ours, ends, strict=True):
        shared = np.clip(np.minimum(tops, high) - np.maximum(theirs, low), 0, None)
        if len(joints) == 1 or shared.sum() == 0:
            found[bone] = _whole(joints[int(np.searchsorted(theirs, (low + high) / 2, side="right")) - 1])
            continue
        first = int((shared[:-1] + shared[1:]).argmax())
        share = float(shared[first + 1] / (shared[first] + shared[first + 1]))
        found[bone] = (joints[first], joints[first + 1], share)
    return found
