"""Which ways the joints of the body turn, how far, and how a pose is written in these.

A bone of the body can turn about any axis; a person cannot. Each degree of freedom here is one axis of one bone with
a typical size (the standard deviation of a prior) and limits. Axes are those of the world at zero pose (see
`render.body.BodyPose`): `twist` runs along the bone, `bend` is the hinge of a knee, elbow or finger, `side` is
across both. Ranges are after the joint ranges of the American Academy of Orthopaedic Surgeons (1965), widened a
little because chains of bones stand in for one joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.body import BodyModel

Axis = Literal["x", "y", "z", "twist", "bend", "side"]


@dataclass(frozen=True)
class Freedom:
    """One axis of a joint: radians."""

    bone: str
    axis: Axis
    sigma: float
    low: float
    high: float


def _ball(bone: str, swing: float, twist: float, reach: float = 3.0) -> list[Freedom]:
    """Swing in two directions and twist; limits at ``reach`` standard deviations."""
    pairs: tuple[tuple[Axis, float], ...] = (("bend", swing), ("side", swing), ("twist", twist))
    return [Freedom(bone, axis, sigma, -reach * sigma, reach * sigma) for axis, sigma in pairs]


def _spine(bone: str, sigma: float) -> list[Freedom]:
    axes: tuple[Axis, ...] = ("x", "y", "z")
    return [Freedom(bone, axis, sigma, -2.5 * sigma, 2.5 * sigma) for axis in axes]


def _side(side: str) -> list[Freedom]:
    """Arm and leg of one side; the bend of an elbow at zero pose is about 40 degrees already."""
    arm = [
        *_ball(f"clavicle.{side}", 0.15, 0.05),
        *_ball(f"shoulder01.{side}", 0.20, 0.10),
        *_ball(f"upperarm01.{side}", 0.90, 0.50),
        Freedom(f"upperarm02.{side}", "twist", 0.35, -0.9, 0.9),
        Freedom(f"lowerarm01.{side}", "bend", 0.80, -0.75, 2.0),
        Freedom(f"lowerarm01.{side}", "side", 0.06, -0.15, 0.15),
        Freedom(f"lowerarm01.{side}", "twist", 0.25, -0.7, 0.7),
        Freedom(f"lowerarm02.{side}", "twist", 0.50, -1.2, 1.2),
        *_ball(f"wrist.{side}", 0.35, 0.15),
    ]
    leg = [
        *_ball(f"upperleg01.{side}", 0.70, 0.25, reach=3.2),
        Freedom(f"upperleg02.{side}", "twist", 0.20, -0.5, 0.5),
        Freedom(f"lowerleg01.{side}", "bend", 0.80, -0.12, 2.6),
        Freedom(f"lowerleg01.{side}", "side", 0.05, -0.12, 0.12),
        Freedom(f"lowerleg01.{side}", "twist", 0.15, -0.5, 0.5),
        Freedom(f"lowerleg02.{side}", "twist", 0.10, -0.3, 0.3),
        Freedom(f"foot.{side}", "x", 0.35, -0.9, 0.6),
        Freedom(f"foot.{side}", "y", 0.20, -0.5, 0.5),
        Freedom(f"foot.{side}", "z", 0.20, -0.5, 0.5),
    ]
    return arm + leg


def _hand(side: str) -> list[Freedom]:
    """Fingers; at zero pose they are half bent."""
    thumb = [*_ball(f"finger1-1.{side}", 0.30, 0.20, reach=2.5)]
    thumb += [Freedom(f"finger1-{n}.{side}", "bend", 0.35, -0.7, 1.2) for n in (2, 3)]
    fingers = []
    for finger in (2, 3, 4, 5):
        fingers.append(Freedom(f"finger{finger}-1.{side}", "bend", 0.45, -0.8, 1.4))
        fingers.append(Freedom(f"finger{finger}-1.{side}", "side", 0.12, -0.35, 0.35))
        fingers += [Freedom(f"finger{finger}-{n}.{side}", "bend", 0.45, -0.7, 1.5) for n in (2, 3)]
    return thumb + fingers


SPINE = [f for bone in ("spine05", "spine04", "spine03", "spine02", "spine01") for f in _spine(bone, 0.14)]
HEAD = [f for bone in ("neck01", "neck02", "neck03") for f in _spine(bone, 0.14)] + _spine("head", 0.22)
BODY = [*SPINE, *HEAD, *_side("L"), *_side("R")]
HANDS = [*_hand("L"), *_hand("R")]


@dataclass(frozen=True)
class JointSpace:
    """Poses as vectors of standard deviations of each degree of freedom.

    Attributes:
        bones: that each freedom turns.
        axes: unit vectors in the world's axes at zero pose.
        sigma: radians.
        low: limit, radians.
        high: limit, radians.
        is_hand: whether the freedom is one of a finger.
        rotations_count: bones of the body.
    """

    bones: Int[Tensor, " d"]
    axes: Float[Tensor, "d 3"]
    sigma: Float[Tensor, " d"]
    low: Float[Tensor, " d"]
    high: Float[Tensor, " d"]
    is_hand: Tensor
    rotations_count: int

    def rotations(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b j 3"]:
        """Axis-angle of every bone; zero for the root and all bones without freedoms."""
        turned = (z * self.sigma)[..., None] * self.axes
        return z.new_zeros(len(z), self.rotations_count, 3).index_add(1, self.bones, turned)

    def beyond(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """How far past their limits the joints are, radians."""
        angle = z * self.sigma
        return torch.relu(angle - self.high) + torch.relu(self.low - angle)


def joint_space(body: BodyModel) -> JointSpace:
    """The degrees of freedom of the default body.

    Raises:
        KeyError: the body lacks one of the bones.
    """
    names = {name: index for index, name in enumerate(body.bone_names)}
    rest = body.rest(body.neutral_shape())
    heads = body.pose(rest, body.zero_pose(), vertices=body.soles[:1]).T_world_bone[0, :, :3, 3]
    freedoms = [*BODY, *HANDS]
    axes = torch.stack([_axis(freedom, names, heads, body) for freedom in freedoms])
    mirrored = {"L": "R", "R": "L"}
    for index, freedom in enumerate(freedoms):  # the right side is the mirror of the left to the last bit
        if freedom.bone.endswith(".R"):
            twin = freedoms.index(
                Freedom(
                    freedom.bone[:-1] + mirrored["R"], freedom.axis, freedom.sigma, freedom.low, freedom.high
                )
            )
            axes[index] = axes[twin] * axes.new_tensor([1.0, -1.0, -1.0])  # rotations are axial vectors

    def column(field: str) -> Tensor:
        return torch.tensor([getattr(freedom, field) for freedom in freedoms], dtype=body.dtype)

    return JointSpace(
        bones=torch.tensor([names[freedom.bone] for freedom in freedoms]),
        axes=axes,
        sigma=column("sigma"),
        low=column("low"),
        high=column("high"),
        is_hand=torch.tensor([False] * len(BODY) + [True] * len(HANDS)),
        rotations_count=len(names),
    )


def _axis(
    freedom: Freedom, names: dict[str, int], heads: Float[Tensor, "j 3"], body: BodyModel
) -> Float[Tensor, "3"]:
    """Unit axis of a freedom."""
    if freedom.axis in ("x", "y", "z"):
        return torch.eye(3, dtype=body.dtype)["xyz".index(freedom.axis)]
    bone = names[freedom.bone]
    along = body.bone_reference[bone][:, 1]
    hinge = _hinge(freedom.bone, names, heads, body)
    hinge = torch.nn.functional.normalize(hinge - (hinge @ along) * along, dim=0)
    if freedom.axis == "bend":
        return hinge
    return along if freedom.axis == "twist" else torch.linalg.cross(hinge, along)


def _hinge(
    bone: str, names: dict[str, int], heads: Float[Tensor, "j 3"], body: BodyModel
) -> Float[Tensor, "3"]:
    """The axis about which a positive angle bends the joint further.

    Knees bend backwards about +X, fingers about the row of knuckles. Elbows and thumbs are bent at zero pose,
    so the plane of the limb gives theirs. Written for the left side; `joint_space` mirrors it to the right.
    """
    stem, side = bone[:-2], bone[-1]
    if stem.startswith(("upperleg", "lowerleg", "foot")):
        return heads.new_tensor([1.0, 0.0, 0.0])
    if stem.startswith("finger") and stem[6] != "1":
        return heads[names[f"finger5-1.{side}"]] - heads[names[f"finger2-1.{side}"]]
    if stem.startswith("finger"):
        first, second, third = (heads[names[f"{stem[:-1]}{n}.{side}"]] for n in (1, 2, 3))
        tip = third + body.bone_reference[names[f"{stem[:-1]}3.{side}"]][:, 1] * 0.02
        return torch.linalg.cross(second - first, tip - second)
    upper = heads[names[f"lowerarm01.{side}"]] - heads[names[f"upperarm01.{side}"]]
    fore = heads[names[f"wrist.{side}"]] - heads[names[f"lowerarm01.{side}"]]
    return torch.linalg.cross(upper, fore)
