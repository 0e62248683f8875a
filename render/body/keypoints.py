"""Keypoint maps: where the landmarks of detectors lie on the body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.body.records import PosedBody


@dataclass(frozen=True)
class KeypointMap:
    """Named points, each a weighted mean of vertices and bone heads.

    Attributes:
        names: of the keypoints, in the detector's order.
        vertex_keypoint: the keypoint of each entry of the means over vertices.
        vertex_index: and its vertex.
        vertex_weight: and how much it counts.
        bone_keypoint: the keypoint of each entry of the means over bone heads.
        bone_index: and its bone.
        bone_weight: and how much it counts.
        valid: whether the keypoint has a place on the body that can be trusted; the others are NaN-free but
            must not be fitted.
    """

    names: tuple[str, ...]
    vertex_keypoint: Int[Tensor, "n"]
    vertex_index: Int[Tensor, "n"]
    vertex_weight: Float[Tensor, "n"]
    bone_keypoint: Int[Tensor, "m"]
    bone_index: Int[Tensor, "m"]
    bone_weight: Float[Tensor, "m"]
    valid: Bool[Tensor, "k"]

    @cached_property
    def used_vertices(self) -> Int[Tensor, "u"]:
        """The vertices that appear in the map, in ascending order."""
        return torch.unique(self.vertex_index)

    def __call__(self, posed: PosedBody) -> Float[Tensor, "b k 3"]:
        """The keypoints of a fully posed body, in the world, in metres."""
        return self._gather(posed.verts[:, self.vertex_index], posed)

    def from_subset(self, posed: PosedBody) -> Float[Tensor, "b k 3"]:
        """The same, where only `used_vertices` were posed."""
        return self._gather(posed.verts[:, torch.searchsorted(self.used_vertices, self.vertex_index)], posed)

    def _gather(self, verts: Float[Tensor, "b n 3"], posed: PosedBody) -> Float[Tensor, "b k 3"]:
        heads = posed.T_world_bone[:, self.bone_index, :3, 3]
        points = verts.new_zeros(len(verts), len(self.names), 3)
        points = points.index_add(1, self.vertex_keypoint, verts * self.vertex_weight[:, None])
        return points.index_add(1, self.bone_keypoint, heads * self.bone_weight[:, None])
