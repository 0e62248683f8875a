"""Keypoints that are means of many vertices, posed without posing the vertices.

Skinning is linear: with x_v = sum_j W_vj T_j r_v a keypoint sum_v w_v x_v is sum_j T_j a_j, where
a_j = sum_v w_v W_vj (r_v, 1) depends on the shape only. A few numbers for each bone that a keypoint hangs on replace
thousands of vertices. Facial actions are left out: the landmarks of a whole-body detector hardly see them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.body import BodyModel, PosedBody, RestBody


@dataclass(frozen=True)
class CollapsedMap:
    """A keypoint map summed up for each pair of a keypoint and a bone.

    Attributes:
        keypoint: of each pair.
        bone: of each pair.
        entry_pair: of each term of the sums a_j.
        entry_vertex: likewise.
        entry_weight: likewise.
        head_keypoint: of each term of the means of bone heads, as they are.
        head_bone: likewise.
        head_weight: likewise.
        count: keypoints.
    """

    keypoint: Int[Tensor, " p"]
    bone: Int[Tensor, " p"]
    entry_pair: Int[Tensor, " e"]
    entry_vertex: Int[Tensor, " e"]
    entry_weight: Float[Tensor, " e"]
    head_keypoint: Int[Tensor, " m"]
    head_bone: Int[Tensor, " m"]
    head_weight: Float[Tensor, " m"]
    count: int

    def __call__(self, rest: RestBody, posed: PosedBody) -> Float[Tensor, "b k 3"]:
        """The keypoints in the world."""
        homogeneous = torch.nn.functional.pad(rest.verts, (0, 1), value=1.0)
        sums = homogeneous.new_zeros(len(self.bone), 4).index_add(
            0, self.entry_pair, homogeneous[self.entry_vertex] * self.entry_weight[:, None]
        )
        parts = (posed.T_skin[:, self.bone, :3] @ sums[..., None]).squeeze(-1)
        points = parts.new_zeros(len(parts), self.count, 3).index_add(1, self.keypoint, parts)
        heads = posed.T_world_bone[:, self.head_bone, :3, 3] * self.head_weight[:, None]
        return points.index_add(1, self.head_keypoint, heads)


def collapse(body: BodyModel, name: str) -> CollapsedMap:
    """The map ``name`` of the body, collapsed."""
    keypoints = body.keypoints[name]
    bones = body.skin_indices[keypoints.vertex_index]
    weight = body.skin_weights[keypoints.vertex_index] * keypoints.vertex_weight[:, None]
    vertex = keypoints.vertex_index[:, None].expand_as(bones)
    keypoint = keypoints.vertex_keypoint[:, None].expand_as(bones)
    used = weight != 0
    code = keypoint[used] * len(body.bone_names) + bones[used]
    pairs, entry_pair = torch.unique(code, return_inverse=True)
    return CollapsedMap(
        pairs // len(body.bone_names),
        pairs % len(body.bone_names),
        entry_pair,
        vertex[used],
        weight[used],
        keypoints.bone_keypoint,
        keypoints.bone_index,
        keypoints.bone_weight,
        len(keypoints.names),
    )
