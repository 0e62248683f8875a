"""A triangle mesh that hangs on a body: finer than the body's own, at some distance from it, posed by the same bones.

Every vertex is bound to a point of the body, as a Gaussian of `render.avatar` is, and moves as that point's skin
weights and facial actions say.

Symbols: ``n`` vertices, ``f`` triangles, ``t`` texture coordinates, ``v`` vertices of the body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.avatar import Binding, BodyRig, act, blend, bone_motion, rig_body, surface_points
from simulacra.render.body.model import BodyModel
from simulacra.render.body.offsets import OffsetBlock
from simulacra.render.body.records import BodyPose, BodyShape, RestBody
from simulacra.render.skinning import skin


@dataclass(frozen=True)
class SkinnedMesh:
    """A mesh bound to a body.

    Attributes:
        binding: the point of the body that each vertex hangs on.
        verts: at rest, metres, in the rest body's frame.
        faces: triangles, counter-clockwise seen from outside.
        uvs: texture coordinates, origin bottom-left.
        face_uvs: the rows of ``uvs`` for each triangle.
    """

    binding: Binding
    verts: Float[Tensor, "n 3"]
    faces: Int[Tensor, "f 3"]
    uvs: Float[Tensor, "t 2"]
    face_uvs: Int[Tensor, "f 3"]

    def __len__(self) -> int:
        return len(self.verts)

    def replace(self, **changes: Any) -> SkinnedMesh:
        """The same mesh with some fields exchanged."""
        return replace(self, **changes)

    def rig(self, body: BodyModel, shape: BodyShape) -> BodyRig:
        """Skin weights and facial actions of the vertices."""
        return rig_body(body, shape, self.binding)

    def base(self, body: BodyModel, verts: Float[Tensor, "v 3"]) -> Float[Tensor, "n 3"]:
        """Where the vertices would lie on the body itself, given as its vertices."""
        return surface_points(body, verts, self.binding)


def body_with_mesh(body: BodyModel, mesh: SkinnedMesh, rig: BodyRig) -> tuple[BodyModel, RestBody]:
    """The mesh in the place of the body's own: whoever takes a body and its rest, such as exports, takes these. The
    shape space is that of the body alone.

    Args:
        rig: of the mesh's binding.
    """
    influences = rig.influences
    corner = body.faces[mesh.binding.faces].gather(1, mesh.binding.barycentrics.argmax(1, keepdim=True))[:, 0]
    finer = replace(
        body,
        faces=mesh.faces,
        uvs=mesh.uvs,
        face_uvs=mesh.face_uvs,
        skin_indices=influences.bones.long(),
        skin_weights=influences.weights,
        part_labels=body.part_labels[corner],
        mirror_vertices=body.mirror_vertices[corner],
        expressions=OffsetBlock(rig.acted, rig.acted_offsets.flatten(1)),
    )
    return finer, RestBody(mesh.verts, rig.rest.T_world_bone)


def pose_oriented(
    verts: Float[Tensor, "n 3"], rig: BodyRig, pose: BodyPose
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 4"]]:
    """Rest vertices in the world, in one pose, and how each is turned, wxyz. Differentiable in the vertices.

    Args:
        rig: of the mesh's own binding.
        pose: of one frame.
    """
    still = verts.new_tensor([1.0, 0, 0, 0]).expand(len(verts), 4).contiguous()
    return skin(act(rig, verts, pose.expression[0]), still, rig.influences, *bone_motion(rig, pose))


def pose_mesh(verts: Float[Tensor, "n 3"], rig: BodyRig, pose: BodyPose) -> Float[Tensor, "n 3"]:
    """`pose_oriented` without the turns."""
    return pose_oriented(verts, rig, pose)[0]


def vertex_motion(rig: BodyRig, pose: BodyPose) -> Float[Tensor, "n 3 3"]:
    """How a small change of each rest vertex shows in the world, in one pose."""
    return blend(rig, pose)[0][:, :, :3]
