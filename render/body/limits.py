"""How far each joint of a person turns, and which bones are worth fitting to what.

Ranges are those of healthy adults (American Academy of Orthopaedic Surgeons, "Joint Motion", 1965, rounded
up), in degrees, of the axis-angle of a bone's pose along three axes of the joint: `flex`, `side` and `twist`.
Twist is about the bone; flex about the hinge; side completes a right-handed frame. They are counted from zero
pose, in which arms hang away from the sides and elbows, knees and fingers are a little bent. The right side
mirrors the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from render.body.model import BodyModel

Range = tuple[int, int]

_LOCKED: Range = (0, 0)
# Stem of the bone's name without its side: flex, side, twist in degrees from zero pose, and an axis near the
# flex axis (in zero-pose world axes, left side) or the name of a rule in `_flex_hint`.
_RANGES: dict[str, tuple[Range, Range, Range, tuple[int, int, int] | str]] = {
    "spine": ((-12, 25), (-12, 12), (-12, 12), (1, 0, 0)),
    "neck": ((-15, 15), (-12, 12), (-20, 20), (1, 0, 0)),
    "head": ((-25, 25), (-15, 15), (-30, 30), (1, 0, 0)),
    "eye": ((-30, 30), (-35, 35), _LOCKED, (1, 0, 0)),
    # Of shoulder girdle and shoulder, flex raises the arm sideways and side brings it forward.
    "clavicle": ((-10, 30), (-20, 25), (-10, 10), (0, 0, 1)),
    "shoulder01": ((-15, 15), (-15, 15), (-15, 15), (0, 0, 1)),
    "upperarm01": ((-60, 140), (-60, 130), (-90, 90), (0, 0, 1)),
    "upperarm02": (_LOCKED, _LOCKED, (-45, 45), (0, 0, 1)),
    "lowerarm01": ((-5, 150), (-5, 5), (-20, 20), "bend"),
    "lowerarm02": (_LOCKED, _LOCKED, (-90, 90), "bend"),
    "wrist": ((-80, 80), (-35, 35), (-15, 15), "knuckles"),
    "metacarpal": ((-8, 8), (-5, 5), (-5, 5), "knuckles"),
    "finger1-1": ((-35, 35), (-35, 35), (-35, 35), "bend"),
    "finger1-2": ((-20, 60), (-15, 15), (-15, 15), "bend"),
    "finger1-3": ((-20, 80), (-5, 5), (-5, 5), "bend"),
    "finger-1": ((-25, 95), (-20, 20), (-8, 8), "knuckles"),
    "finger-2": ((-5, 105), (-3, 3), (-3, 3), "knuckles"),
    "finger-3": ((-5, 85), (-3, 3), (-3, 3), "knuckles"),
    # Of the hip, flex lifts the knee and side crosses the legs; of the ankle, flex points the toes.
    "upperleg01": ((-30, 130), (-50, 30), (-45, 45), (-1, 0, 0)),
    "upperleg02": (_LOCKED, _LOCKED, (-25, 25), (-1, 0, 0)),
    "lowerleg01": ((-5, 150), (-4, 4), (-15, 15), (1, 0, 0)),
    "lowerleg02": (_LOCKED, _LOCKED, (-10, 10), (1, 0, 0)),
    "foot": ((-30, 55), (-25, 25), (-25, 25), (1, 0, 0)),
    "toe": ((-60, 40), (-5, 5), (-3, 3), (1, 0, 0)),
}
# From full extension, where zero pose is bent already: the rest of the bend is what is left of the range.
_COUNTED_FROM_STRAIGHT = ("lowerarm01", "finger-2", "finger-3")

SPINE_BONES = ("spine05", "spine04", "spine03", "spine02", "spine01")
"""From the pelvis up."""
NECK_BONES = ("neck01", "neck02", "neck03", "head")
_LIMB_BONES = (
    "clavicle",
    "upperarm01",
    "lowerarm01",
    "lowerarm02",
    "wrist",
    "upperleg01",
    "lowerleg01",
    "foot",
)
BODY_BONES = ("root", *SPINE_BONES, *NECK_BONES, *(f"{bone}.{side}" for side in "LR" for bone in _LIMB_BONES))
"""What body keypoints, masks and depth determine. The five spine and four neck bones look alike to them."""
EYE_BONES = ("eye.L", "eye.R")
HAND_BONES = {
    side: tuple(f"finger{finger}-{joint}.{letter}" for finger in range(1, 6) for joint in range(1, 4))
    for side, letter in (("left", "L"), ("right", "R"))
}
"""What the 21 points of a hand determine. Metacarpals, toes and the twist bones of limbs are better left at zero."""


@dataclass(frozen=True)
class JointLimits:
    """Ranges of all bones of a body.

    Attributes:
        axes: rows are the flex, side and twist axis of each bone, in zero-pose world axes.
        lower, upper: radians along them; infinite for the root.
    """

    axes: Float[Tensor, "j 3 3"]
    lower: Float[Tensor, "j 3"]
    upper: Float[Tensor, "j 3"]

    def along_axes(self, rotations: Float[Tensor, "b j 3"]) -> Float[Tensor, "b j 3"]:
        """Flex, side and twist of a pose's axis-angles, radians."""
        return (self.axes @ rotations[..., None]).squeeze(-1)

    def excess(self, rotations: Float[Tensor, "b j 3"]) -> Float[Tensor, "b j 3"]:
        """By how many radians each flex, side and twist is outside its range; zero inside. Differentiable."""
        turned = self.along_axes(rotations)
        return (turned - self.upper).clamp(min=0) + (self.lower - turned).clamp(min=0)


def joint_limits(body: BodyModel) -> JointLimits:
    """The ranges of the joints of `body`. Axes come from the neutral body's bones at zero pose."""
    zero = body.pose(body.rest(body.neutral_shape()), body.zero_pose())
    heads = {name: zero.T_world_bone[0, i, :3, 3] for i, name in enumerate(body.bone_names)}
    heads |= {f"tip{i}.{side}": tip for side in "LR" for i, tip in _fingertips(body, side).items()}
    axes = torch.eye(3, dtype=body.dtype, device=body.device).repeat(len(body.bone_names), 1, 1)
    lower, upper = torch.zeros_like(axes[:, 0]), torch.zeros_like(axes[:, 0])
    axial_mirror = axes.new_tensor([1.0, -1.0, -1.0])
    for i, name in enumerate(body.bone_names):
        stem, left = name.removesuffix(".L").removesuffix(".R"), name.replace(".R", ".L")
        if name == "root":
            lower[i], upper[i] = -math.inf, math.inf
            continue
        entry = _RANGES.get(_table_key(stem))
        if entry is None:
            continue
        twist = _direction(heads, left)
        flex = _flex_axis(heads, left, twist, entry[3])
        axes[i] = torch.stack([flex, torch.linalg.cross(twist, flex), twist])
        if name.endswith(".R"):
            axes[i] *= axial_mirror
        bent = math.degrees(_bend(heads, left)) if _table_key(stem) in _COUNTED_FROM_STRAIGHT else 0.0
        ranges = [(entry[0][0] - bent, entry[0][1] - bent), entry[1], entry[2]]
        lower[i] = torch.deg2rad(lower.new_tensor([low for low, _ in ranges]))
        upper[i] = torch.deg2rad(upper.new_tensor([high for _, high in ranges]))
    return JointLimits(axes, lower, upper)


def _table_key(stem: str) -> str:
    """The key of `_RANGES` for a bone without its side: spine03 is spine, finger4-2 is finger-2."""
    if stem in _RANGES:
        return stem
    if stem.startswith("finger"):
        return f"finger-{stem[-1]}"
    return stem.rstrip("0123456789-")


def _fingertips(body: BodyModel, side: str) -> dict[int, Tensor]:
    points = body.keypoints_at(
        "hand21_left" if side == "L" else "hand21_right", body.rest(body.neutral_shape()), body.zero_pose()
    )
    return {finger: points[0, 4 * finger] for finger in range(1, 6)}


_CHILD = {
    "eye.L": None,
    "head": None,
    "foot.L": "toe3-1.L",
    "wrist.L": "finger3-1.L",
    "spine01": "neck01",
    "metacarpal1.L": "finger2-1.L",
    "metacarpal2.L": "finger3-1.L",
    "metacarpal3.L": "finger4-1.L",
    "metacarpal4.L": "finger5-1.L",
    "clavicle.L": "shoulder01.L",
}
_CHAIN = (
    *(*SPINE_BONES, *NECK_BONES),
    *("shoulder01.L", "upperarm01.L", "upperarm02.L", "lowerarm01.L", "lowerarm02.L", "wrist.L"),
    *("upperleg01.L", "upperleg02.L", "lowerleg01.L", "lowerleg02.L", "foot.L"),
)


def _end(left: str) -> str | None:
    """Where a bone of the middle or the left side points: the name of the next head, or None."""
    if left in _CHILD:
        return _CHILD[left]
    if left.startswith("finger"):
        finger, joint = int(left[6]), int(left[8])
        return f"finger{finger}-{joint + 1}.L" if joint < 3 else f"tip{finger}.L"
    if left.startswith("toe"):
        return None
    return _CHAIN[_CHAIN.index(left) + 1]


def _direction(heads: dict[str, Tensor], left: str) -> Float[Tensor, "3"]:
    end = _end(left)
    if end is None:  # the head points up, eyes and toes forward
        return heads[left].new_tensor([0.0, 1.0, 0.0] if left == "head" else [0.0, 0.0, 1.0])
    return torch.nn.functional.normalize(heads[end] - heads[left], dim=0)


def _bend(heads: dict[str, Tensor], left: str) -> float:
    """By how much the joint is bent at zero pose, radians."""
    before = _direction(heads, _previous(left))
    return float(torch.acos((before * _direction(heads, left)).sum().clamp(-1, 1)))


def _previous(left: str) -> str:
    if left.startswith("finger"):
        return f"{left[:8]}{int(left[8]) - 1}.L"
    return _CHAIN[_CHAIN.index(left) - 1]


def _hinge(heads: dict[str, Tensor], before: str, after: str) -> Float[Tensor, "3"]:
    """The axis about which a bone is bent against the one before, times the sine of the bend."""
    return torch.linalg.cross(_direction(heads, before), _direction(heads, after))


def _flex_axis(
    heads: dict[str, Tensor], left: str, twist: Float[Tensor, "3"], hint: tuple[int, int, int] | str
) -> Float[Tensor, "3"]:
    """The hinge: the hint made perpendicular to the bone."""
    if hint == "knuckles":
        across = heads["finger2-1.L"] - heads["finger5-1.L"]
        # All fingers are a little bent towards the palm, which tells its side.
        bends = sum(_hinge(heads, f"finger{finger}-1.L", f"finger{finger}-2.L") for finger in range(2, 6))
        near = across * torch.sign((across * bends).sum())
    elif hint == "bend" and left.startswith("finger"):
        near = _hinge(heads, f"{left[:8]}2.L", f"{left[:8]}3.L")
    elif hint == "bend":
        near = _hinge(heads, "upperarm02.L", "lowerarm01.L")
    else:
        near = twist.new_tensor(hint)
    return torch.nn.functional.normalize(near - (near * twist).sum() * twist, dim=0)
