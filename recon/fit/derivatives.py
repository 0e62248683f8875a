"""How points of the body move with the unknowns, frame by frame (`recon.fit.chain` says what the points are)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32
from torch import Tensor

from simulacra.recon.fit.body_space import Unknowns
from simulacra.recon.fit.chain import BodyChain, Placed
from simulacra.recon.fit.chain_cpu import derivatives
from simulacra.render.body.linear import ShapeChange, hat


@dataclass(frozen=True)
class Columns:
    """Which unknowns are sought, in the order of the derivatives' columns.

    Attributes:
        joints: degrees of freedom of the pose, after the three of the turn; then come three of the place.
        expressions: facial actions: all or none.
        shape: whether the shape's follow.
        bias: whether those of the landmarks' offsets follow these.
    """

    joints: Int[Tensor, " d"]
    expressions: int
    shape: int
    bias: int

    @property
    def per_frame(self) -> int:
        return 6 + len(self.joints) + self.expressions

    @property
    def shared(self) -> int:
        return self.shape + self.bias


class Derivatives:
    """Derivatives of a chain's points at some unknowns.

    Args:
        change: by shape; None where it is not sought.
    """

    def __init__(
        self,
        chain: BodyChain,
        columns: Columns,
        placed: Placed,
        unknowns: Unknowns,
        change: ShapeChange | None,
    ) -> None:
        self.chain, self.columns, self.placed, self.unknowns, self.change = (
            chain, columns, placed, unknowns, change
        )  # fmt: skip
        # Of the frame that was asked for last: a frame is asked for a few times in a row.
        self._last_shape: tuple[int, np.ndarray] | None = None

    def rows(
        self,
        frame: int,
        index: Int[np.ndarray, " a"],
        factor: Float32[np.ndarray, "a 3 3"],
        gradient: Float32[np.ndarray, "a 3"],
    ) -> tuple[Float32[np.ndarray, "a3 w"], Float[np.ndarray, " w"]]:
        """``factor @ dx`` of some points of a frame and ``sum dx^T gradient``; offsets of landmarks have no columns."""
        chain, placed, table = self.chain, self.placed, self._table
        heads = placed.T_world_bone[frame, self._turning, :3, 3]
        G, t = (_array(part) for part in (placed.T_skin[frame, :, :3, :3], placed.T_skin[frame, :, :3, 3]))
        bone_shape, rest_shape = self._shape(frame)
        action_row, actions = self._actions
        return derivatives(
            index.astype(np.int32), chain.bones, chain.weights, self._rest(frame), G, t, table.start, table.under,
            _array(heads), table.group, _array(self._axes(frame)), action_row, actions, bone_shape, rest_shape, factor,
            gradient,
        )  # fmt: skip

    def of_landmarks(self, frame: int, index: Int[np.ndarray, " k"]) -> Float32[np.ndarray, "k 3 w"]:
        """Of some landmarks, which are sums of points, those by their own offsets included."""
        chosen = self.chain.landmark_sums[index]
        support = np.unique(chosen.indices)
        identity = np.tile(np.eye(3, dtype=np.float32), (len(support), 1, 1))
        parts, _ = self.rows(frame, support, identity, np.zeros((len(support), 3), np.float32))
        width, bias = parts.shape[1], self.columns.bias
        found = np.zeros((len(index), 3, width + bias), np.float32)
        found[..., :width] = (chosen[:, support] @ parts.reshape(len(support), -1)).reshape(-1, 3, width)
        own = np.flatnonzero(index < bias // 3)
        bones = self.chain.space.bias_bones[torch.from_numpy(index[own])]
        turned = _array(self.placed.T_world_bone[frame, bones, :3, :3])
        turned = turned * self.chain.space.bias_m.numpy()[index[own], None, None]
        for axis in range(3 if bias else 0):
            found[own, :, width + 3 * index[own] + axis] = turned[:, :, axis]
        return found

    @cached_property
    def _turning(self) -> Int[Tensor, " g"]:
        """Bones that turn: the root first."""
        own = self.chain.space.joints.bones[self.columns.joints]
        return torch.unique(torch.cat([own.new_zeros(1), own]))

    @cached_property
    def _table(self) -> _Hanging:
        parents, turning = self.chain.space.body.bone_parents.tolist(), self._turning.tolist()
        position = {bone: place for place, bone in enumerate(turning)}
        start, under = [0], []
        for bone in range(len(parents)):
            above: int = bone
            while above >= 0:
                if above in position:
                    under.append(position[above])
                above = parents[above]
            start.append(len(under))
        joints = self.chain.space.joints.bones[self.columns.joints].tolist()
        group = [position[bone] for bone in (0, 0, 0, *joints)]
        return _Hanging(*(np.array(each, np.int32) for each in (start, under, group)))

    def _axes(self, frame: int) -> Float[Tensor, "d 3"]:
        """World axes of the turn's three freedoms and the joints'."""
        space, placed = self.chain.space, self.placed
        joints, body = space.joints, space.body
        root = space.orientation[frame] @ left_jacobian(self.unknowns.turn[frame])
        X = placed.T_world_bone[frame, :, :3, :3] @ body.bone_reference.mT
        bones = joints.bones[self.columns.joints]
        own = joints.axes[self.columns.joints] * joints.sigma[self.columns.joints, None]
        turned = X[body.bone_parents[bones]] @ left_jacobian(placed.rotations[frame, bones])
        return torch.cat([root.mT, (turned @ own[..., None]).squeeze(-1)])

    def _rest(self, frame: int) -> Float32[np.ndarray, "n 3"]:
        rest, placed = self.placed.rest, self.placed
        bones = rest.T_world_bone
        own = bones[self.chain.space.bias_bones, :3]
        offsets = self.chain.space.bias_m[:, None] * self.unknowns.bias
        moved = (own[..., :3] @ offsets[..., None]).squeeze(-1) + own[..., 3]
        return _array(torch.cat([placed.acted[frame], rest.sums, bones[:, :3, 3], moved]))

    @cached_property
    def _actions(self) -> tuple[Int32[np.ndarray, " n"], Float32[np.ndarray, "r 3 e"]]:
        row = np.full(self.chain.points, -1, np.int32)
        if not self.columns.expressions:
            return row, np.zeros((0, 3, 0), np.float32)
        block = self.chain.actions
        row[block.vertices.numpy()] = np.arange(len(block.vertices))
        return row, _array(block.offsets.unflatten(-1, (-1, 3)).permute(1, 2, 0))

    def _shape(self, frame: int) -> tuple[Float32[np.ndarray, "j 4 3 s"], Float32[np.ndarray, "n 3 s"]]:
        """Derivatives by shape: of what carries points, and of points at rest."""
        bones = self.chain.bone_count
        if self.change is None:
            return np.zeros((bones, 4, 3, 0), np.float32), np.zeros((self.chain.points, 3, 0), np.float32)
        if self._last_shape is None or self._last_shape[0] != frame:
            self._last_shape = frame, _array(self._bones_by_shape(frame))
        return self._last_shape[1], self._rest_by_shape

    @cached_property
    def _rest_by_shape(self) -> Float32[np.ndarray, "n 3 s"]:
        assert self.change is not None
        own, change = self.chain.space.bias_bones, self.change
        offsets = self.chain.space.bias_m[:, None] * self.unknowns.bias
        moved = (change.frames[:, own] @ offsets[..., None]).squeeze(-1) + change.heads[:, own]
        return _array(torch.cat([change.points, change.heads, moved], 1).permute(1, 2, 0))

    def _bones_by_shape(self, frame: int) -> Float[Tensor, "j 4 3 s"]:
        """Of the columns of the rotation and of the translation of `Placed.T_skin`, from those of
        `render.body.skeleton`: with X the turn of a posed bone away from its reference U, F and h its frame and head at
        rest and o its offset from its parent p, G = X U F^T, w = w_p + X_p o, t = w - G h.
        """
        body, placed, still = self.chain.space.body, self.placed, self._still
        XU = placed.T_world_bone[frame, :, :3, :3]
        X, parent = XU @ body.bone_reference.mT, body.bone_parents.clamp(min=0)
        turned = torch.where((body.bone_parents < 0)[:, None, None], torch.eye(3, dtype=X.dtype), X[parent])
        step = turned @ still.offsets
        w = (self._ancestry @ step.flatten(1)).view_as(step)
        columns = XU[:, None] @ still.frames
        t = w - XU @ still.carried - placed.T_skin[frame, :, :3, :3] @ still.heads
        return torch.cat([columns, t[:, None]], 1)

    @cached_property
    def _still(self) -> _StillChange:
        """What of the change by shape is the same in all frames."""
        assert self.change is not None
        body = self.chain.space.body
        rest = self.placed.rest.T_world_bone
        F, h = rest[:, :3, :3], rest[:, :3, 3]
        U, parent, is_root = body.bone_reference, body.bone_parents.clamp(min=0), body.bone_parents < 0
        dF, dh = self.change.frames, self.change.heads
        turn, dturn = U @ F.mT, U @ dF.mT
        # The root leaves its children in place (`render.body.skeleton.reference_offsets`).
        turn = torch.where(is_root[:, None, None], torch.eye(3, dtype=F.dtype), turn)
        dturn = torch.where(is_root[:, None, None], torch.zeros_like(F), dturn)
        arm, darm = (h - h[parent])[..., None], (dh - dh[:, parent])[..., None]
        do = (dturn[:, parent] @ arm + turn[parent] @ darm).squeeze(-1)
        do = torch.where(is_root[:, None], dh, do)
        return _StillChange(
            offsets=do.permute(1, 2, 0).contiguous(),
            frames=dF.permute(1, 2, 3, 0).contiguous(),
            carried=(dF.mT @ h[..., None]).squeeze(-1).permute(1, 2, 0).contiguous(),
            heads=dh.permute(1, 2, 0).contiguous(),
        )

    @cached_property
    def _ancestry(self) -> Float[Tensor, "j j"]:
        """1 where the second bone is the first or one that it hangs on."""
        parents = self.chain.space.body.bone_parents.tolist()
        found = torch.eye(len(parents), dtype=self.chain.space.body.dtype)
        for bone, parent in enumerate(parents):  # parents come before their children
            if parent >= 0:
                found[bone] += found[parent]
        return found


@dataclass(frozen=True)
class _StillChange:
    """Derivatives by shape before the pose: of bones' offsets from their parents, of their frames' rows, of these
    transposed times the heads, and of the heads.
    """

    offsets: Float[Tensor, "j 3 s"]
    frames: Float[Tensor, "j 3 3 s"]
    carried: Float[Tensor, "j 3 s"]
    heads: Float[Tensor, "j 3 s"]


@dataclass(frozen=True)
class _Hanging:
    """Which turning bones each bone hangs on (`recon.fit.chain_cpu.derivatives`)."""

    start: Int32[np.ndarray, " j1"]
    under: Int32[np.ndarray, " u"]
    group: Int32[np.ndarray, " d"]


def left_jacobian(rotations: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """How the world axis of a small turn follows from a change of an axis-angle vector.

    ``I + (1 - cos a)/a^2 [r] + (a - sin a)/a^3 [r]^2`` (Chirikjian, "Stochastic models, information theory, and Lie
    groups", 2012, 10.86), by its series where the angle is small.
    """
    squared = rotations.square().sum(-1)[..., None, None]
    small = squared < 1e-4
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    first = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / safe)
    second = torch.where(small, 1 / 6 - squared / 120, (angle - torch.sin(angle)) / (safe * angle))
    cross = hat(rotations)
    return torch.eye(3, dtype=rotations.dtype) + first * cross + second * (cross @ cross)


def _array(values: Tensor) -> Float32[np.ndarray, "..."]:
    found: np.ndarray = values.contiguous().numpy()
    return found.astype(np.float32, copy=False)
