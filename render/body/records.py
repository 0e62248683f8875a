"""The records of a parametric person: what shapes and poses it, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class BodyShape:
    """The shape of one person.

    Attributes:
        phenotypes: in the order of `BodyModel.phenotype_names`; 0 to 1 each, clamped outside. `age` goes down
            to -1/3 (0 is one year, 1/3 is twelve, 2/3 is twenty-five, 1 is ninety); `african asian caucasian`
            are relative to their sum.
        local_changes: in the order of `BodyModel.local_change_names`; -1 to 1, 0 is none, not clamped.
    """

    phenotypes: Float[Tensor, "p"]
    local_changes: Float[Tensor, "l"]


@dataclass(frozen=True)
class BodyPose:
    """The poses and expressions of a person in `b` frames.

    Attributes:
        rotations: axis-angle, radians, one for each bone. A bone is turned about its head by it, on top of
            the turn of its parent. The axes are those of the world while the person stands at zero pose: +X
            to the person's left, +Y up, +Z forward. For the root it is the person's orientation in the world.
        translation: metres in the world, by which the root's head is moved from its place at zero pose.
        expression: 0 to 1, in the order of `BodyModel.expression_names`.
    """

    rotations: Float[Tensor, "b j 3"]
    translation: Float[Tensor, "b 3"]
    expression: Float[Tensor, "b e"]


@dataclass(frozen=True)
class RestBody:
    """A shaped person before it is posed, in metres in the world, standing on the floor at zero pose.

    At rest the bones have the orientations that the shape gives them; at zero pose each has its reference
    orientation, which is the same for all shapes and a few degrees away.
    """

    verts: Float[Tensor, "v 3"]
    T_world_bone: Float[Tensor, "j 4 4"]


@dataclass(frozen=True)
class PosedBody:
    """A person in `b` poses, metres in the world.

    Attributes:
        verts: skinned vertices; `v` is fewer where only some were asked for.
        T_world_bone: posed bone frames, origin at the bone's head.
        T_skin: carries rest points that hang on a bone (expression applied) to the pose.
    """

    verts: Float[Tensor, "b v 3"]
    T_world_bone: Float[Tensor, "b j 4 4"]
    T_skin: Float[Tensor, "b j 4 4"]
