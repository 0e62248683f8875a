"""From unknowns to the points of the body that costs look at, and back: how each point moves with each unknown.

Every point hangs on a few bones: ``x = sum_b w_b (G_b r + t_b)`` with bones that the pose turns and a place at rest
that the shape gives. The posed vertices are such points; so are sums over vertices that one bone carries, of which the
whole-body landmarks are made (see `recon.fit.collapse`), heads of bones, and landmarks moved by their learned offsets.
Landmarks are sums of these points.

Symbols: ``t`` frames, ``v`` chosen vertices, ``n`` points, ``k`` landmarks, ``j`` bones, ``s`` shape unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from scipy.sparse import csr_array
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, Unknowns
from simulacra.render.body import BodyShape, RestBody
from simulacra.render.body.linear import LinearShapes, ShapeChange, ShapedPoints, linear_shapes
from simulacra.render.body.offsets import OffsetBlock
from simulacra.render.body.skeleton import forward_kinematics, skin, skinning_transforms
from simulacra.render.rotation import rigid


@dataclass(frozen=True)
class Rest:
    """Points and bones of the shaped body before it is posed, metres.

    Attributes:
        verts: the chosen vertices.
        sums: means of vertices over what one bone carries of each whole-body landmark.
        T_world_bone: of the bones.
        shaped: what they were moved from, where the shape is sought.
    """

    verts: Float[Tensor, "v 3"]
    sums: Float[Tensor, "p 3"]
    T_world_bone: Float[Tensor, "j 4 4"]
    shaped: ShapedPoints | None = None


@dataclass(frozen=True)
class Placed:
    """The body of some unknowns.

    Attributes:
        rest: before it is posed.
        acted: chosen vertices at rest with the facial actions of each frame; empty where no vertex is asked for.
        rotations: axis-angle of every bone.
        T_world_bone: posed.
        T_skin: what carries rest points along.
        points: in the world, each times the sum of its weights: vertices, sums, heads of bones, moved landmarks.
        landmarks: in the world.
    """

    rest: Rest
    acted: Float[Tensor, "t v 3"]
    rotations: Float[Tensor, "t j 3"]
    T_world_bone: Float[Tensor, "t j 4 4"]
    T_skin: Float[Tensor, "t j 4 4"]
    points: Float[Tensor, "t n 3"]
    landmarks: Float[Tensor, "t k 3"]


class BodyChain:
    """Points of one body space in one round.

    Args:
        space: where the body is sought.
        maps: the keypoint maps whose landmarks are asked for.
        verts: whether any vertex is, as hands and faces need.
    """

    def __init__(self, space: BodySpace, maps: tuple[str, ...], verts: bool) -> None:
        self.space, self.maps, self.any_verts = space, maps, verts
        body, collapsed = space.body, space.pose33
        none = torch.zeros(0, dtype=torch.long)
        self.vertices = space.vertices if verts else none
        self.bone_count = len(body.bone_names)
        pairs = len(collapsed.bone)
        mass = torch.zeros(pairs).index_add(0, collapsed.entry_pair, collapsed.entry_weight.float())
        self.mass = mass.clamp(min=1e-12).to(body.dtype)
        begins = np.cumsum([0, len(self.vertices), pairs, self.bone_count, len(space.bias_bones)])
        self.verts, self.sums, self.heads, self.moved = (slice(a, b) for a, b in pairwise(begins.tolist()))
        self.points = int(begins[-1])
        self.bones, self.weights = self._carriers()
        self.landmark_sums = self._landmark_sums()

    def _carriers(self) -> tuple[Int32[np.ndarray, "n m"], Float32[np.ndarray, "n m"]]:
        """The bones of each point and how much each carries."""
        space = self.space
        most = space.body.skin_indices.shape[1]
        bones, weights = np.zeros((self.points, most), np.int32), np.zeros((self.points, most), np.float32)
        bones[self.verts] = space.body.skin_indices[self.vertices].numpy()
        weights[self.verts] = space.body.skin_weights[self.vertices].numpy()
        bones[self.sums, 0], weights[self.sums, 0] = space.pose33.bone.numpy(), self.mass.numpy()
        bones[self.heads, 0], weights[self.heads, 0] = np.arange(self.bone_count), 1
        bones[self.moved, 0], weights[self.moved, 0] = space.bias_bones.numpy(), 1
        return bones, weights

    def _landmark_sums(self) -> csr_array:
        """Landmarks as sums of points."""
        collapsed, count = self.space.pose33, self.space.pose33.count
        pairs, heads, moved = (
            np.arange(part.start, part.stop) for part in (self.sums, self.heads, self.moved)
        )
        rows = [
            collapsed.keypoint.numpy(),
            collapsed.head_keypoint.numpy(),
            np.arange(count),
            np.arange(count),
        ]
        columns = [pairs, heads[collapsed.head_bone.numpy()], moved, heads[self.space.bias_bones.numpy()]]
        values = [np.ones(len(pairs)), collapsed.head_weight.numpy(), np.ones(count), -np.ones(count)]
        for name in self.maps[1:]:
            keypoints = self.space.body.keypoints[name]
            rows += [count + keypoints.vertex_keypoint.numpy(), count + keypoints.bone_keypoint.numpy()]
            columns += [torch.searchsorted(self.vertices, keypoints.vertex_index).numpy()]
            columns += [heads[keypoints.bone_index.numpy()]]
            values += [keypoints.vertex_weight.numpy(), keypoints.bone_weight.numpy()]
            count += len(keypoints.names)
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        summed = csr_array(entries, shape=(count, self.points))
        return csr_array(
            summed.astype(self.weights.dtype if self.space.body.dtype == torch.float32 else float)
        )

    @cached_property
    def shapes(self) -> LinearShapes:
        """Rest places of vertices and sums by shape."""
        collapsed, count = self.space.pose33, len(self.vertices)
        rows = [np.arange(count), count + collapsed.entry_pair.numpy()]
        columns = [self.vertices.numpy(), collapsed.entry_vertex.numpy()]
        weight = collapsed.entry_weight / self.mass[collapsed.entry_pair]
        values = np.concatenate([np.ones(count, weight.numpy().dtype), weight.numpy()])
        shape = (count + len(self.mass), self.space.body.n_verts)
        return linear_shapes(
            self.space.body.shapes,
            csr_array((values, (np.concatenate(rows), np.concatenate(columns))), shape),
        )

    def rest_of(self, rest: RestBody) -> Rest:
        """The points of a body that is already shaped."""
        collapsed = self.space.pose33
        sums = rest.verts.new_zeros(len(self.mass), 3).index_add(
            0, collapsed.entry_pair, rest.verts[collapsed.entry_vertex] * collapsed.entry_weight[:, None]
        )
        return Rest(rest.verts[self.vertices], sums / self.mass[:, None], rest.T_world_bone)

    def rest_at(self, shape: BodyShape, up: Float[Tensor, "3"]) -> Rest:
        """The points of a shape, moved by ``up``."""
        found = self.shapes.evaluate(shape)
        verts, sums = (found.points + up).split([len(self.vertices), len(self.mass)])
        return Rest(verts, sums, rigid(found.frames, found.heads + up), found)

    def place(self, rest: Rest, unknowns: Unknowns) -> Placed:
        """All points in the world."""
        space, body = self.space, self.space.body
        pose = space.pose(unknowns)
        T_world_bone = forward_kinematics(
            rest.T_world_bone, body.bone_reference, body.bone_parents, body.chain_depth, pose.rotations,
            pose.translation,
        )  # fmt: skip
        T_skin = skinning_transforms(T_world_bone, rest.T_world_bone)
        acted = rest.verts.expand(len(T_skin), -1, -1)
        acted = self.actions.add_to(acted, pose.expression)
        verts = skin(acted, self._dense_weights, T_skin)
        carried = T_skin[:, space.pose33.bone, :3]
        sums = (carried[..., :3] @ rest.sums[..., None]).squeeze(-1) + carried[..., 3]
        turned = T_world_bone[:, space.bias_bones, :3]
        moved = (turned[..., :3] @ (space.bias_m[:, None] * unknowns.bias)[..., None]).squeeze(-1) + turned[
            ..., 3
        ]
        points = torch.cat([verts, sums * self.mass[:, None], T_world_bone[..., :3, 3], moved], 1)
        flat = points.transpose(0, 1).reshape(self.points, -1).numpy()
        landmarks = torch.from_numpy(self.landmark_sums @ flat).unflatten(-1, (-1, 3)).transpose(0, 1)
        return Placed(rest, acted, pose.rotations, T_world_bone, T_skin, points, landmarks)

    @cached_property
    def _dense_weights(self) -> Float[Tensor, "v j"]:
        return self.space.body.dense_weights[self.vertices]

    @cached_property
    def actions(self) -> OffsetBlock:
        return self.space.body.expressions.among(self.vertices)

    def change_of_shape(self, unknowns: Unknowns, found: ShapedPoints) -> ShapeChange:
        """How rest points and bones change with the unknowns of the shape, where these give ``found``."""
        z, shapes = unknowns.shape, self.space.shapes
        shape = shapes.shape(z)
        slope = (1 - shape.local_changes**2) * shapes.local_sigma
        return self.shapes.differential(shape, found, shapes.phenotype_slopes(z), slope)
