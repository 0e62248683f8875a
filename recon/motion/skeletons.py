"""Which joint of a foreign skeleton each bone of the body follows.

A bone follows the joint that turns the same part of the person. Two joints separated by a comma: halfway between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    """A naming of joints.

    Attributes:
        name: for messages.
        bones: joint, or two joints with a comma between, by bone of the body.
        required: joints without which a file is not of this naming.
    """

    name: str
    bones: dict[str, str]

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(self.bones[bone] for bone in REQUIRED_BONES)


_SIDES = ((".L", "Left", "L"), (".R", "Right", "R"))
_FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")
REQUIRED_BONES = (
    "root",
    "spine01",
    "head",
    *(f"{bone}{side}" for bone in ("upperarm01", "lowerarm01", "wrist") for side in (".L", ".R")),
    *(f"{bone}{side}" for bone in ("upperleg01", "lowerleg01", "foot") for side in (".L", ".R")),
)
"""What a skeleton must have for its motion to be transferred."""


def _both_sides(bones: Callable[[str, str], dict[str, str]]) -> dict[str, str]:
    return {
        f"{bone}{suffix}": joint
        for suffix, word, letter in _SIDES
        for bone, joint in bones(word, letter).items()
    }


def _toes(joint: str) -> dict[str, str]:
    return {f"toe{toe}-1": joint for toe in range(1, 6)}


def _fingers(joint: Callable[[str, int], str]) -> dict[str, str]:
    return {
        f"finger{finger}-{phalanx}": joint(name, phalanx)
        for finger, name in enumerate(_FINGERS, 1)
        for phalanx in range(1, 4)
    }


CMU = Skeleton(
    "CMU",
    {
        "root": "Hips",
        "spine05": "LowerBack",
        "spine04": "LowerBack,Spine",
        "spine03": "Spine",
        "spine02": "Spine,Spine1",
        "spine01": "Spine1",
        "neck01": "Neck",
        "neck02": "Neck,Neck1",
        "neck03": "Neck1",
        "head": "Head",
        **_both_sides(
            lambda side, _: {
                "clavicle": f"{side}Shoulder",
                "upperarm01": f"{side}Arm",
                "lowerarm01": f"{side}ForeArm",
                "wrist": f"{side}Hand",
                "upperleg01": f"{side}UpLeg",
                "lowerleg01": f"{side}Leg",
                "foot": f"{side}Foot",
                **_toes(f"{side}ToeBase"),
            }
        ),
    },
)

MAKEHUMAN_GAME = Skeleton(
    "MakeHuman animation",
    {
        "root": "Hips",
        "spine05": "Spine1",
        "spine04": "Spine1,Spine2",
        "spine03": "Spine2",
        "spine02": "Spine2,Spine3",
        "spine01": "Spine3",
        "neck01": "Neck",
        "neck03": "Neck,Head",
        "head": "Head",
        **_both_sides(
            lambda _, side: {
                "clavicle": f"Clavicle_{side}",
                "upperarm01": f"UpArm_{side}",
                "lowerarm01": f"LoArm_{side}",
                "wrist": f"Hand_{side}",
                **_fingers(lambda finger, phalanx: f"{finger}{phalanx}_{side}"),
                "upperleg01": f"UpLeg_{side}",
                "lowerleg01": f"LoLeg_{side}",
                "foot": f"Foot_{side}",
                **_toes(f"Toe_{side}"),
            }
        ),
    },
)

MIXAMO = Skeleton(
    "Mixamo",
    {
        "root": "Hips",
        "spine05": "Spine",
        "spine03": "Spine1",
        "spine01": "Spine2",
        "neck01": "Neck",
        "neck03": "Neck,Head",
        "head": "Head",
        **_both_sides(
            lambda side, _: {
                "clavicle": f"{side}Shoulder",
                "upperarm01": f"{side}Arm",
                "lowerarm01": f"{side}ForeArm",
                "wrist": f"{side}Hand",
                **_fingers(lambda finger, phalanx: f"{side}Hand{finger}{phalanx}"),
                "upperleg01": f"{side}UpLeg",
                "lowerleg01": f"{side}Leg",
                "foot": f"{side}Foot",
                **_toes(f"{side}ToeBase"),
            }
        ),
    },
)

_MAKEHUMAN_TWISTED = ("upperarm", "lowerarm", "upperleg", "lowerleg")
MAKEHUMAN_DEFAULT = Skeleton(
    "MakeHuman default rig",
    {
        "root": "root",
        **{f"spine0{i}": f"spine0{i}" for i in range(1, 6)},
        **{f"neck0{i}": f"neck0{i}" for i in range(1, 4)},
        "head": "head",
        **{
            f"{bone}{side}": f"{bone}{side}"
            for side in (".L", ".R")
            for bone in (
                *("clavicle", "shoulder01", "wrist", "foot", "eye"),
                *(f"{limb}0{i}" for limb in _MAKEHUMAN_TWISTED for i in (1, 2)),
                *(f"finger{finger}-{i}" for finger in range(1, 6) for i in range(1, 4)),
                *(f"metacarpal{i}" for i in range(1, 5)),
                *(f"toe{toe}-1" for toe in range(1, 6)),
            )
        },
    },
)

SKELETONS = (MAKEHUMAN_DEFAULT, MAKEHUMAN_GAME, CMU, MIXAMO)
"""Tried in this order."""
