"""One parametric person: shape to rest body, rest body and pose to vertices and bones."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.body.anny import PHENOTYPE_NAMES, AnnyShapes
from simulacra.render.body.correctives import PoseCorrectives
from simulacra.render.body.keypoints import KeypointMap
from simulacra.render.body.offsets import OffsetBlock
from simulacra.render.body.records import BodyPose, BodyShape, PosedBody, RestBody
from simulacra.render.body.skeleton import forward_kinematics, skin, skinning_transforms
from simulacra.render.rotation import rigid

# Frames whose keypoints are posed at once: thousands of vertices and their bones for a few points, 0.5 MB a frame.
KEYPOINT_FRAMES = 128


@dataclass(frozen=True)
class BodyModel:
    """A body's topology, bones and skin, and its shape space; `load_body` makes it.

    Attributes:
        shapes: phenotypes and local changes to rest vertices and bones.
        faces: triangles; the two of a quad are neighbours in the list.
        uvs: texture coordinates, origin bottom-left.
        face_uvs: the rows of ``uvs`` for each triangle.
        bone_parents: -1 for the root, which is the first.
        bone_reference: orientation of each bone at zero pose, in the world.
        skin_indices: up to nine bones a vertex, that of the largest weight first.
        skin_weights: how much each moves it, padded with zeros.
        part_labels: index into `part_names` for each vertex.
        mirror_vertices: the counterpart on the other side of the body, itself if in the middle.
        mirror_bones: likewise of the bones.
        expressions: the offsets of the facial actions.
        keypoints: maps to the points of detectors: pose33, hand21_left, hand21_right, face478, face468, coco23.
        correctives: of the skin by the pose, where the body has any.
    """

    shapes: AnnyShapes
    faces: Int[Tensor, "f 3"]
    uvs: Float[Tensor, "t 2"]
    face_uvs: Int[Tensor, "f 3"]
    bone_names: tuple[str, ...]
    bone_parents: Int[Tensor, "j"]
    bone_reference: Float[Tensor, "j 3 3"]
    skin_indices: Int[Tensor, "v k"]
    skin_weights: Float[Tensor, "v k"]
    part_names: tuple[str, ...]
    part_labels: Int[Tensor, "v"]
    mirror_vertices: Int[Tensor, "v"]
    mirror_bones: Int[Tensor, "j"]
    expression_names: tuple[str, ...]
    expressions: OffsetBlock
    local_change_names: tuple[str, ...]
    keypoints: dict[str, KeypointMap]
    correctives: PoseCorrectives | None = None

    @property
    def phenotype_names(self) -> tuple[str, ...]:
        return PHENOTYPE_NAMES

    @property
    def n_verts(self) -> int:
        return len(self.part_labels)

    @property
    def dtype(self) -> torch.dtype:
        return self.bone_reference.dtype

    @property
    def device(self) -> torch.device:
        return self.bone_reference.device

    @cached_property
    def dense_weights(self) -> Float[Tensor, "v j"]:
        """Skin weights of every vertex for every bone."""
        dense = self.skin_weights.new_zeros(self.n_verts, len(self.bone_names))
        return dense.scatter_add(1, self.skin_indices, self.skin_weights)

    @cached_property
    def soles(self) -> Int[Tensor, "s"]:
        """The vertices of both feet, among which is the lowest of a standing person."""
        feet = [self.part_names.index("foot_l"), self.part_names.index("foot_r")]
        return torch.isin(self.part_labels, torch.tensor(feet, device=self.device)).nonzero().squeeze(-1)

    @cached_property
    def chain_depth(self) -> int:
        """How many bones the longest chain from the root has."""
        parents, depths = self.bone_parents.tolist(), [0] * len(self.bone_names)
        for bone, parent in enumerate(parents):
            depths[bone] = 1 + (depths[parent] if parent >= 0 else 0)
        return max(depths)

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> BodyModel:
        """The same body with floating numbers of another type, or on another device."""

        def convert(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            if is_dataclass(value) and not isinstance(value, type):
                return replace(
                    value, **{field.name: convert(getattr(value, field.name)) for field in fields(value)}
                )
            if isinstance(value, dict):
                return {name: convert(item) for name, item in value.items()}
            return tuple(map(convert, value)) if isinstance(value, tuple) else value

        converted: BodyModel = convert(self)
        return converted

    def neutral_shape(self) -> BodyShape:
        """A young adult of 1.71 m in the middle of all other phenotypes, without local changes.

        The middle of MakeHuman's `height` would be 1.84 m tall.
        """
        phenotypes = torch.full((len(self.phenotype_names),), 0.5, dtype=self.dtype, device=self.device)
        phenotypes[self.phenotype_names.index("age")] = 2 / 3
        phenotypes[self.phenotype_names.index("height")] = 0.38
        return BodyShape(phenotypes, phenotypes.new_zeros(len(self.local_change_names)))

    def zero_pose(self, frames: int = 1) -> BodyPose:
        """Standing, arms a little away from the sides, facing +Z, feet on the floor, no expression."""
        zeros = torch.zeros(frames, len(self.bone_names), 3, dtype=self.dtype, device=self.device)
        # Tensors of their own: whoever writes into one of them must not turn the root by moving it.
        return BodyPose(zeros, zeros[:, 0].clone(), zeros.new_zeros(frames, len(self.expression_names)))

    def rest(self, shape: BodyShape) -> RestBody:
        """The shaped body, raised so that at zero pose its lowest foot vertex has y = 0. Differentiable."""
        shaped = self.shapes.evaluate(shape)
        rest = RestBody(shaped.verts, rigid(shaped.frames, shaped.heads))
        lowest = self.pose(rest, self.zero_pose(), vertices=self.soles).verts[..., 1].min()
        up = torch.stack([torch.zeros_like(lowest), -lowest, torch.zeros_like(lowest)])
        return RestBody(shaped.verts + up, rigid(shaped.frames, shaped.heads + up))

    def pose(self, rest: RestBody, pose: BodyPose, vertices: Int[Tensor, "n"] | None = None) -> PosedBody:
        """Posed vertices and bones of all frames, by linear blend skinning. Differentiable in everything.

        Args:
            vertices: only these, for keypoints; all by default.
        """
        T_world_bone = forward_kinematics(
            rest.T_world_bone,
            self.bone_reference,
            self.bone_parents,
            self.chain_depth,
            pose.rotations,
            pose.translation,
        )
        T_skin = skinning_transforms(T_world_bone, rest.T_world_bone)
        if vertices is None:
            whole = self._corrected(self.expressed(rest, pose.expression), T_skin, None)
            return PosedBody(skin(whole, self.dense_weights, T_skin), T_world_bone, T_skin)
        some = rest.verts[vertices].expand(len(pose.rotations), -1, -1)
        some = self.expressions.among(vertices).add_to(some, pose.expression)
        some = self._corrected(some, T_skin, vertices)
        return PosedBody(skin(some, self.dense_weights[vertices], T_skin), T_world_bone, T_skin)

    def _corrected(
        self,
        verts: Float[Tensor, "b v 3"],
        T_skin: Float[Tensor, "b j 4 4"],
        vertices: Int[Tensor, "n"] | None,
    ) -> Float[Tensor, "b v 3"]:
        if self.correctives is None:
            return verts
        own = self.correctives if vertices is None else self.correctives.among(vertices)
        return own.add_to(verts, T_skin)

    def expressed(self, rest: RestBody, expression: Float[Tensor, "b e"]) -> Float[Tensor, "b v 3"]:
        """Rest vertices with the facial actions of each frame."""
        return self.expressions.add_to(rest.verts.expand(len(expression), -1, -1), expression)

    def keypoints_at(self, name: str, rest: RestBody, pose: BodyPose) -> Float[Tensor, "b k 3"]:
        """The points of keypoint map `name` in the world, skinning only the vertices that they need.

        Some frames at a time: the vertices are thousands where the points are a few.
        """
        keypoints = self.keypoints[name]
        parts = (pose.rotations, pose.translation, pose.expression)
        some = zip(*(part.split(KEYPOINT_FRAMES) for part in parts), strict=True)
        posed = (self.pose(rest, BodyPose(*each), vertices=keypoints.used_vertices) for each in some)
        return torch.cat([keypoints.from_subset(each) for each in posed])
