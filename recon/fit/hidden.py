"""Limbs that no camera ever shows, and what they may be doing: legs under a desk, everything below a portrait.

What a network says of such a limb is a guess, which is left out. The limb takes one of a few stances that people rest
in; which one, the floor, the lenses and the space that cameras see empty decide (`recon.fit.costs.hidden`).

Symbols: ``t`` frames, ``c`` cameras, ``d`` degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.recon.fit.joints import JointSpace
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.observe.presence import SURE

Kind = Literal["leg", "shin", "arm", "forearm"]

# A landmark that fewer of the frames than this show was taken for something else there.
_LEAST_SHARE = 0.1
# From the trunk outwards, of the left side; the right side's landmarks have the next numbers.
_CHAINS = (((25,), (27,), (29, 31)), ((13,), (15,), (17, 19, 21)))
# Which landmark being hidden hides which limb, the longer limb first.
_LIMBS: tuple[tuple[Kind, int], ...] = (("leg", 25), ("shin", 27), ("arm", 13), ("forearm", 15))
_SIDES = ("L", "R")


@dataclass(frozen=True)
class HiddenLimb:
    """One kind of limb, of the sides of which nothing is seen."""

    kind: Kind
    sides: tuple[str, ...]


@dataclass(frozen=True)
class Stance:
    """Where the bones of a limb point; degrees.

    Attributes:
        upper: thigh or upper arm forward of hanging down; None where the limb begins below it.
        lower: shin backward of hanging down; of a forearm how much further it bends than at zero pose.
    """

    upper: float | None
    lower: float


# The likelier ones first.
STANCES: dict[Kind, tuple[Stance, ...]] = {
    "leg": (Stance(0.0, 0.0), Stance(85.0, 0.0), Stance(85.0, 25.0), Stance(85.0, -45.0), Stance(60.0, 0.0)),
    "shin": (Stance(None, 0.0), Stance(None, 25.0), Stance(None, -45.0), Stance(None, 70.0)),
    "arm": (Stance(0.0, 0.0), Stance(15.0, 50.0), Stance(-15.0, 0.0)),
    "forearm": (Stance(None, 0.0), Stance(None, 50.0), Stance(None, -30.0)),
}
# Arms hang beside the body: inwards from where they are at zero pose.
_ARM_INWARDS = 24.0
_BONES: dict[Kind, tuple[str, ...]] = {
    "leg": ("upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot"),
    "shin": ("lowerleg01", "lowerleg02", "foot"),
    "arm": ("upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist"),
    "forearm": ("lowerarm01", "lowerarm02", "wrist"),
}


def shown_landmarks(
    pose: Detections, guessed: Bool[np.ndarray, "t 33"], sizes: Int[np.ndarray, "c 2"]
) -> Bool[np.ndarray, "33"]:
    """The pose landmarks that some camera shows in a tenth of the frames that show anything of the person.

    Who is shown to the wrist is shown to the elbow: what lies further out brings along what it hangs on.

    Args:
        guessed: of each frame, those that other cameras say are in nobody's picture.
        sizes: width and height of the pictures.
    """
    with np.errstate(invalid="ignore"):
        within = ((pose.pixels >= 0) & (pose.pixels <= sizes[None, :, None])).all(-1)
    seen = (within & (np.nan_to_num(pose.confidence) >= SURE)).any(1) & ~guessed
    there = seen.any(1)
    shown = seen[there].mean(0) >= _LEAST_SHARE if there.any() else np.ones(seen.shape[1], bool)
    for chain in _CHAINS:
        for side in (0, 1):
            for near, far in ((1, 2), (0, 1)):
                shown[[k + side for k in chain[near]]] |= shown[[k + side for k in chain[far]]].any()
    return shown


def hidden_landmarks(shown: Bool[np.ndarray, "33"]) -> Bool[np.ndarray, "33"]:
    """Those of hidden limbs: what a network says of them is left out. The trunk's are kept: they are never far off."""
    limbs = sorted(k + side for chain in _CHAINS for part in chain for k in part for side in (0, 1))
    return ~shown & np.isin(np.arange(len(shown)), limbs)


def hidden_limbs(shown: Bool[np.ndarray, "33"]) -> list[HiddenLimb]:
    """The limbs of which nothing is seen from a joint on."""
    found: list[HiddenLimb] = []
    taken: set[tuple[str, str]] = set()
    for kind, joint in _LIMBS:
        group = "leg" if kind in ("leg", "shin") else "arm"
        sides = tuple(
            side for k, side in enumerate(_SIDES) if not shown[joint + k] and (group, side) not in taken
        )
        taken |= {(group, side) for side in sides}
        if sides:
            found.append(HiddenLimb(kind, sides))
    return found


def held_freedoms(limb: HiddenLimb, joints: JointSpace, bone_names: Sequence[str]) -> Int[Tensor, " h"]:
    """The degrees of freedom that a hidden limb has."""
    bones = [bone_names.index(f"{bone}.{side}") for bone in _BONES[limb.kind] for side in limb.sides]
    return torch.isin(joints.bones, torch.tensor(bones)).nonzero().squeeze(-1)


def stance_joints(
    stance: Stance,
    limb: HiddenLimb,
    joints: JointSpace,
    bone_names: Sequence[str],
    lean: Float[Tensor, " t"],
    thigh: Float[Tensor, "t s"],
) -> Float[Tensor, "t d"]:
    """The joints that put a limb into a stance, in standard deviations within their limits; 0 of all other joints.

    Args:
        lean: how far the trunk leans forward, radians.
        thigh: how far each side's thigh (of a shin's) points forward of hanging down, radians.
    """
    angle = lean.new_zeros(len(lean), len(joints.bones))

    def turn(bone: str, side: str, vector: Sequence[Tensor | float]) -> None:
        """About the world's axes at zero pose; what turns the left side turns the right one as in a mirror."""
        own = joints.bones == bone_names.index(f"{bone}.{side}")
        sign = (1.0, 1.0, 1.0) if side == "L" else (1.0, -1.0, -1.0)
        columns = [torch.as_tensor(v, dtype=lean.dtype).expand(len(lean)) * s for v, s in zip(vector, sign)]
        angle[:, own] += torch.stack(columns, -1) @ joints.axes[own].mT

    lower = float(np.radians(stance.lower))
    for place, side in enumerate(limb.sides):
        if limb.kind in ("leg", "shin"):
            forward = thigh[:, place]
            if stance.upper is not None:
                forward = torch.full_like(lean, float(np.radians(stance.upper)))
                turn("upperleg01", side, (-forward - lean, 0.0, 0.0))
            turn("lowerleg01", side, (forward + lower, 0.0, 0.0))
            turn("foot", side, (torch.full_like(lean, -lower), 0.0, 0.0))
            continue
        if stance.upper is not None:
            turn(
                "upperarm01", side, (-lean - float(np.radians(stance.upper)), 0.0, -np.radians(_ARM_INWARDS))
            )
        elbow = joints.bones == bone_names.index(f"lowerarm01.{side}")
        # The first freedom of the elbow is its bend.
        angle[:, elbow.nonzero()[0]] += lower
    return torch.minimum(torch.maximum(angle, joints.low), joints.high) / joints.sigma
