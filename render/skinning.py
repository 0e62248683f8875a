"""Linear blend skinning of oriented points: every point goes where the weighted mean of its bones takes it.

Symbols: ``n`` points, ``m`` influences a point, ``j`` bones; ``T_b`` and ``q_b`` are what bone b does to the rest pose,
as a matrix and as a unit quaternion, ``w`` the weights of a point.

    x' = (sum_b w_b T_b) x        q' = normalize(sum_b w_b s_b q_b) q,    s_b = sign(q_b . q_strongest)

The quaternions are blended beside the matrices (after Kavan et al., "Skinning with dual quaternions", 2007, the
rotation part), each with the sign that agrees with the point's strongest bone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render import skinning_cpu
from simulacra.render.rotation import quat_multiply


@dataclass(frozen=True)
class Influences:
    """The bones that move each point, the strongest first; rows are filled up with bone 0 at weight 0.

    Attributes:
        weights: rows sum to 1.
    """

    bones: Int[Tensor, "n m"]
    weights: Float[Tensor, "n m"]

    def __len__(self) -> int:
        return len(self.bones)

    @staticmethod
    def of_dense(weights: Float[Tensor, "n j"]) -> Influences:
        """From a weight for every bone."""
        most = max(1, int((weights > 0).sum(1).max())) if len(weights) else 1
        ordered, bones = torch.sort(weights, dim=1, descending=True, stable=True)
        kept = ordered[:, :most].contiguous()
        return Influences(torch.where(kept > 0, bones[:, :most], 0).int(), kept)


def skin(
    points: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    influences: Influences,
    T_bones: Float[Tensor, "j 3 4"],
    q_bones: Float[Tensor, "j 4"],
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 4"]]:
    """Skinned points and orientations; differentiable in points, quats and bones.

    Args:
        points: at rest.
        quats: wxyz, of any length, which is kept.
        influences: the bones of each point.
        T_bones: what each bone does to the rest pose.
        q_bones: its rotation, unit; either sign will do.
    """
    tensors = (points, quats, influences.weights, T_bones, q_bones)
    if all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors):
        return _CpuSkin.apply(points, quats, T_bones, q_bones, influences)
    return skin_reference(points, quats, influences, T_bones, q_bones)


def skin_reference(
    points: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    influences: Influences,
    T_bones: Float[Tensor, "j 3 4"],
    q_bones: Float[Tensor, "j 4"],
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 4"]]:
    """`skin` in plain torch, in any type on any device: the twin that the kernel is tested against."""
    T, q = blend(influences, T_bones, q_bones)
    return (T[:, :, :3] @ points[..., None]).squeeze(-1) + T[:, :, 3], quat_multiply(q, quats)


def blend(
    influences: Influences, T_bones: Float[Tensor, "j 3 4"], q_bones: Float[Tensor, "j 4"]
) -> tuple[Float[Tensor, "n 3 4"], Float[Tensor, "n 4"]]:
    """The blended transform of every point, and its rotation as a unit quaternion."""
    bones, weights = influences.bones.long(), influences.weights
    T = (weights[..., None, None] * T_bones[bones]).sum(1)
    q = q_bones[bones]
    agree = (q * q[:, :1]).sum(-1) >= 0
    signed = torch.where(agree, weights, -weights)
    return T, torch.nn.functional.normalize((signed[..., None] * q).sum(1), dim=-1)


class _CpuSkin(torch.autograd.Function):
    """The compiled kernel; gradients of bones only where somebody asks for them."""

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, quats: Tensor, T_bones: Tensor, q_bones: Tensor, influences: Influences
    ) -> tuple[Tensor, Tensor]:
        inputs = [t.detach().contiguous() for t in (points, quats, T_bones, q_bones)]
        rows = (influences.bones.int().contiguous(), influences.weights.contiguous())
        ctx.save_for_backward(*inputs, *rows)
        moved, turned = skinning_cpu.skin(*(t.numpy() for t in (*inputs, *rows)))
        return torch.from_numpy(moved), torch.from_numpy(turned)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        arrays = [t.contiguous().numpy() for t in (*ctx.saved_tensors, *upstream)]
        of_bones = ctx.needs_input_grad[2] or ctx.needs_input_grad[3]
        gradients = skinning_cpu.skin_backward(*arrays, of_bones=of_bones)
        return (*(None if g is None else torch.from_numpy(g) for g in gradients), None)
