"""Bodies as vectors of unknowns: what is sought, and the shape, pose and landmarks that it means.

Symbols: ``t`` frames, ``k`` landmarks, ``d`` degrees of freedom of the pose, ``v`` chosen vertices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.fit.collapse import CollapsedMap
from simulacra.recon.fit.joints import JointSpace
from simulacra.recon.fit.shape_space import ShapeSpace
from simulacra.recon.fit.tracks import POSE
from simulacra.render.body import BodyModel, BodyPose, BodyShape, PosedBody, RestBody
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle

MAPS = ("pose33", "hand21_left", "hand21_right", "face478")
"""The body's keypoint maps whose landmarks follow one another along every ``k`` axis."""


@dataclass(frozen=True)
class Unknowns:
    """What is sought; all of order one.

    Attributes:
        shape: standard deviations of the shape space.
        joints: standard deviations of the joint space.
        turn: of the root away from its first guess, radians.
        place: of the root away from its first guess, decimetres.
        expression: of the facial actions, 0..1 where sound.
        bias: of each pose landmark in its bone's frame, in units of the prior.
    """

    shape: Float[Tensor, " s"]
    joints: Float[Tensor, "t d"]
    turn: Float[Tensor, "t 3"]
    place: Float[Tensor, "t 3"]
    expression: Float[Tensor, "t e"]
    bias: Float[Tensor, "33 3"]


@dataclass(frozen=True)
class BodySpace:
    """The body and the spaces in which it is sought, with the first guess of where it stands.

    Attributes:
        orientation: world orientation of the root, first guess.
        translation: of the root, first guess, metres.
        vertices: those that any cost needs, ascending.
        pose33: the pose landmarks, without their vertices.
        bias_bones: the bone in whose frame each pose landmark's offset lives.
        bias_m: standard deviations of these offsets.
    """

    body: BodyModel
    joints: JointSpace
    shapes: ShapeSpace
    orientation: Float[Tensor, "t 3 3"]
    translation: Float[Tensor, "t 3"]
    vertices: Int[Tensor, " v"]
    pose33: CollapsedMap
    bias_bones: Int[Tensor, " 33"]
    bias_m: Float[Tensor, " 33"]

    def shape(self, unknowns: Unknowns) -> BodyShape:
        """The person's shape."""
        return self.shapes.shape(unknowns.shape)

    def pose(self, unknowns: Unknowns) -> BodyPose:
        """The pose in every frame."""
        rotations = self.joints.rotations(unknowns.joints)
        root = matrix_to_axis_angle(self.orientation @ axis_angle_to_matrix(unknowns.turn))
        rotations = torch.cat([root[:, None], rotations[:, 1:]], 1)
        return BodyPose(rotations, self.translation + 0.1 * unknowns.place, unknowns.expression.clamp(0, 1))

    def state(self, unknowns: Unknowns, rest: RestBody | None = None) -> BodyState:
        """The body posed.

        Args:
            rest: the shaped body where it is known, so that it is not built again.
        """
        if rest is None:
            rest = self.body.rest(self.shape(unknowns))
        posed = self.body.pose(rest, self.pose(unknowns), vertices=self.vertices)
        return BodyState(self, unknowns, rest, posed)


@dataclass(frozen=True)
class BodyState:
    """One point of a body space, posed once for all costs.

    Attributes:
        rest: the shaped body.
        posed: bones, and those vertices that the space has chosen.
    """

    space: BodySpace
    unknowns: Unknowns
    rest: RestBody
    posed: PosedBody

    def landmarks(self, maps: tuple[str, ...]) -> Float[Tensor, "t k 3"]:
        """The places of the detectors' landmarks in the world, metres, offsets learned from this capture included.

        Args:
            maps: names of keypoint maps of the body, of which the first is ``pose33``.
        """
        space, posed = self.space, self.posed
        pose33 = space.pose33(self.rest, posed)
        bias = (
            posed.T_world_bone[:, space.bias_bones, :3, :3]
            @ (space.bias_m[:, None] * self.unknowns.bias)[..., None]
        )
        return torch.cat([pose33 + bias.squeeze(-1), *(self._keypoints(name) for name in maps[1:])], 1)

    def _keypoints(self, name: str) -> Float[Tensor, "t k 3"]:
        keypoints = self.space.body.keypoints[name]
        subset = self.posed.verts[:, self.columns(keypoints.used_vertices)]
        return keypoints.from_subset(replace(self.posed, verts=subset))

    def columns(self, vertices: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Where some of the chosen vertices lie among these."""
        return torch.searchsorted(self.space.vertices, vertices)


def first_unknowns(frames: int, shape: int, joints: int, expressions: int) -> Unknowns:
    """The first guess: all zero."""
    return Unknowns(
        torch.zeros(shape),
        torch.zeros(frames, joints),
        torch.zeros(frames, 3),
        torch.zeros(frames, 3),
        torch.zeros(frames, expressions),
        torch.zeros(POSE.stop, 3),
    )
