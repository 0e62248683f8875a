"""A drivable person: Gaussians that hang on the faces of a parametric body.

Every Gaussian is bound to one point of one face of the body. Its place, orientation and size are kept at rest, in
the frame of that point, and the point's skin weights carry it: the offset from the surface may be large (a jacket,
hair), so it is moved by the blended bones rather than by the triangle, whose own frame turns abruptly from one face
to the next where a joint bends. Facial actions move a Gaussian by what they do to its point.

Symbols: ``n`` Gaussians, ``j`` bones, ``e`` facial actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyPose, BodyShape, RestBody
from simulacra.render.gaussians.record import Gaussians
from simulacra.render.rotation import matrix_to_quat, quat_conjugate, quat_multiply
from simulacra.render.skinning import Influences, skin
from simulacra.render.skinning import blend as blend_bones

# A blended bone transform is inverted to bring an observed point to rest. Where bones that turn far apart share a
# point the blend collapses; below this determinant the point's strongest bone is taken alone.
_LEAST_DETERMINANT = 0.2


@dataclass(frozen=True)
class Binding:
    """Where Gaussians hang on the body: a face each, and the place in it."""

    faces: Int[Tensor, "n"]
    barycentrics: Float[Tensor, "n 3"]

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, chosen: Tensor) -> Binding:
        return Binding(self.faces[chosen], self.barycentrics[chosen])

    @staticmethod
    def concatenate(parts: Sequence[Binding]) -> Binding:
        """All parts in their order."""
        return Binding(torch.cat([p.faces for p in parts]), torch.cat([p.barycentrics for p in parts]))


@dataclass(frozen=True)
class Avatar:
    """A person's shape and appearance; `drive` gives it a pose.

    Attributes:
        shape: of the body.
        binding: where each Gaussian hangs on it.
        gaussians: at rest, in the rest body's frame (metres, +Y up): where each lies when no bone is turned from
            its rest frame and the face is neutral.
        seen: how many cameras of the capture saw where each hangs on the body. None where nobody knows.
        seen_share: in which share of the training views each was seen, 0..1; what none saw (0) is a guess. None where
            nobody knows.
    """

    shape: BodyShape
    binding: Binding
    gaussians: Gaussians
    seen: Int[Tensor, "n"] | None = None
    seen_share: Float[Tensor, "n"] | None = None

    def __len__(self) -> int:
        return len(self.gaussians)

    def replace(self, **changes: Any) -> Avatar:
        """The same avatar with some fields exchanged."""
        return replace(self, **changes)


@dataclass(frozen=True)
class BodyRig:
    """What driving needs of a body and a binding, computed once.

    Attributes:
        body: of the avatar.
        rest: the body in the avatar's shape.
        influences: the bones that carry each Gaussian.
        acted: the Gaussians that a facial action moves.
        acted_offsets: by how many metres each action does.
    """

    body: BodyModel
    rest: RestBody
    influences: Influences
    acted: Int[Tensor, "m"]
    acted_offsets: Float[Tensor, "e m 3"]


def rig_body(body: BodyModel, shape: BodyShape, binding: Binding) -> BodyRig:
    """Skin weights and facial actions at the bound points."""
    corners = body.faces[binding.faces]
    weights = (body.dense_weights[corners] * binding.barycentrics[..., None]).sum(1)
    slot = torch.full((body.n_verts,), -1, dtype=torch.long, device=corners.device)
    slot[body.expressions.vertices] = torch.arange(len(body.expressions.vertices), device=corners.device)
    acted = (slot[corners] >= 0).any(1).nonzero().squeeze(-1)
    known = body.expressions.offsets.unflatten(-1, (-1, 3))
    padded = torch.cat([known, known.new_zeros(len(known), 1, 3)], 1)
    offsets = (padded[:, slot[corners[acted]]] * binding.barycentrics[acted][None, ..., None]).sum(2)
    return BodyRig(body, body.rest(shape), Influences.of_dense(weights), acted, offsets)


def bone_motion(rig: BodyRig, pose: BodyPose) -> tuple[Float[Tensor, "j 3 4"], Float[Tensor, "j 4"]]:
    """What each bone does to the rest body in one frame: a matrix, and its rotation as a quaternion.

    Raises:
        ValueError: the pose is not of one frame.
    """
    if len(pose.translation) != 1:
        raise ValueError(f"an avatar is driven one frame at a time, not {len(pose.translation)}")
    nobody = torch.zeros(0, dtype=torch.long, device=rig.influences.bones.device)
    T_skin = rig.body.pose(rig.rest, pose, vertices=nobody).T_skin[0, :, :3]
    return T_skin, matrix_to_quat(T_skin[:, :, :3])


def blend(rig: BodyRig, pose: BodyPose) -> tuple[Float[Tensor, "n 3 4"], Float[Tensor, "n 4"]]:
    """The blended bone transform at every bound point, and its rotation as a unit quaternion, for one frame."""
    return blend_bones(rig.influences, *bone_motion(rig, pose))


def act(rig: BodyRig, points: Float[Tensor, "n 3"], expression: Float[Tensor, "e"]) -> Float[Tensor, "n 3"]:
    """Rest points with the facial actions of one frame."""
    if not len(rig.acted) or not bool(expression.any()):
        return points
    moved = (expression @ rig.acted_offsets.flatten(1)).unflatten(0, (-1, 3))
    return points.index_add(0, rig.acted, moved)


def drive(avatar: Avatar, rig: BodyRig, pose: BodyPose) -> Gaussians:
    """The avatar's Gaussians in the world, in one pose. Differentiable in the Gaussians and in the pose.

    Args:
        rig: of the avatar's own shape and binding (`rig_body`).
        pose: of one frame.
    """
    rest = avatar.gaussians
    acted = act(rig, rest.means, pose.expression[0])
    means, quats = skin(acted, rest.quats, rig.influences, *bone_motion(rig, pose))
    return rest.replace(means=means, quats=quats)


def bring_to_rest(
    rig: BodyRig, pose: BodyPose, points: Float[Tensor, "n 3"], quats: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 4"]]:
    """World points and orientations that were observed in one pose, as they lie at rest: `drive`, undone."""
    T_bones, q_bones = bone_motion(rig, pose)
    transforms, rotations = blend_bones(rig.influences, T_bones, q_bones)
    collapsed = torch.linalg.det(transforms[:, :, :3]) < _LEAST_DETERMINANT
    usable = torch.where(collapsed[:, None, None], T_bones[rig.influences.bones[:, 0].long()], transforms)
    rest = torch.linalg.solve(usable[:, :, :3], points - usable[:, :, 3])
    back = act(rig, rest, -pose.expression[0])
    return back, quat_multiply(quat_conjugate(rotations), quats)


def surface_points(body: BodyModel, verts: Float[Tensor, "v 3"], binding: Binding) -> Float[Tensor, "n 3"]:
    """The bound points themselves on a given surface of the body, metres."""
    return (verts[body.faces[binding.faces]] * binding.barycentrics[..., None]).sum(1)
