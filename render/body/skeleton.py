"""Bones: rest frames out of shape, posed frames out of rotations, and linear blend skinning.

Symbols: `T_world_bone` are rest or posed frames of bones, origin at the bone's head; `D` a local rotation of
a pose; `X` the rotation of a bone's posed frame away from its reference frame, in world axes; `b` frames of
motion, `j` bones.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.rotation import axis_angle_to_matrix, rigid, rigid_inverse


def nearest_rotation(matrices: Float[Tensor, "*j 3 3"]) -> Float[Tensor, "*j 3 3"]:
    """The rotation closest to each matrix (orthogonal Procrustes), with a gradient that is finite wherever it
    exists.

    With M = R P and P = R^T M symmetric, a change dM turns R by the body-frame vector w that solves
    (tr(P) I - P) w = axial(R^T dM - dM^T R). The value comes from a singular value decomposition outside the
    graph; one Newton step on that equation, zero at the solution, carries the gradient. Differentiating the
    decomposition itself would divide by differences of singular values.
    """
    with torch.no_grad():
        u, _, vh = torch.linalg.svd(matrices)
        sign = torch.ones_like(matrices[..., 0])
        sign[..., 2] = torch.linalg.det(u @ vh)
        rotation = (u * sign[..., None, :]) @ vh
        stretch = rotation.transpose(-1, -2) @ matrices
        trace = stretch.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
        solve = torch.linalg.inv(trace * identity - 0.5 * (stretch + stretch.transpose(-1, -2)))
    aligned = rotation.transpose(-1, -2) @ matrices
    skew = aligned - aligned.transpose(-1, -2)
    axial = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    return rotation @ axis_angle_to_matrix((solve @ axial[..., None]).squeeze(-1))


def chain(
    local: Float[Tensor, "*b j 4 4"], parents: Int[Tensor, "j"], depth: int
) -> Float[Tensor, "*b j 4 4"]:
    """Products of local transforms from the root down to every bone.

    Pointer jumping: each pass joins every bone's partial product to that of the ancestor where it ends, so
    that the reach doubles, and ceil(log2(depth)) passes over all bones replace one small product for each of
    their levels.
    """
    identity = torch.eye(4, dtype=local.dtype, device=local.device).expand(*local.shape[:-3], 1, 4, 4)
    total = torch.cat([local, identity], dim=-3)
    end = len(parents)
    ancestor = torch.cat([torch.where(parents < 0, end, parents), parents.new_tensor([end])])
    for _ in range(max(depth - 1, 0).bit_length()):
        total = total[..., ancestor, :, :] @ total
        ancestor = ancestor[ancestor]
    return total[..., :-1, :, :]


def reference_offsets(
    T_world_bone: Float[Tensor, "j 4 4"], reference: Float[Tensor, "j 3 3"], parents: Int[Tensor, "j"]
) -> Float[Tensor, "j 3"]:
    """From each bone's parent to the bone, when every bone has its reference orientation; the root: from the
    origin.

    Turning a bone to its reference orientation carries its children along. The root, whose own orientation is
    not that of anything visible, leaves them in place.
    """
    heads = T_world_bone[:, :3, 3]
    is_root = parents < 0
    parent = parents.clamp(min=0)
    turn = reference @ T_world_bone[:, :3, :3].transpose(-1, -2)
    turn = torch.where(is_root[:, None, None], torch.eye(3, dtype=turn.dtype, device=turn.device), turn)
    offsets = (turn[parent] @ (heads - heads[parent])[..., None]).squeeze(-1)
    return torch.where(is_root[:, None], heads, offsets)


def forward_kinematics(
    T_world_rest: Float[Tensor, "j 4 4"],
    reference: Float[Tensor, "j 3 3"],
    parents: Int[Tensor, "j"],
    depth: int,
    rotations: Float[Tensor, "b j 3"],
    translation: Float[Tensor, "b 3"],
) -> Float[Tensor, "b j 4 4"]:
    """Posed bone frames: [X_c | w_c] = [X_p | w_p] [D_c | o_c], and the frame's rotation is X_c U_c.

    U_c is the reference orientation of bone c and o_c its `reference_offsets`, so that a pose means the same
    world directions on every body shape.
    """
    offsets = reference_offsets(T_world_rest, reference, parents)
    moved = torch.where((parents < 0)[:, None], offsets + translation[:, None], offsets)
    turned = chain(rigid(axis_angle_to_matrix(rotations), moved), parents, depth)
    return rigid(turned[..., :3, :3] @ reference, turned[..., :3, 3])


def skin(
    verts: Float[Tensor, "*b v 3"], weights: Float[Tensor, "v j"], T_skin: Float[Tensor, "b j 4 4"]
) -> Float[Tensor, "b v 3"]:
    """Linear blend skinning with dense weights: one matrix product blends the transforms of all vertices."""
    columns = T_skin[..., :3, :].permute(0, 3, 2, 1).flatten(0, 2) @ weights.T
    x_axis, y_axis, z_axis, origin = columns.unflatten(0, (-1, 4, 3)).unbind(1)
    x, y, z = verts.transpose(-1, -2)[..., None, :].unbind(-3)
    return (x_axis * x + y_axis * y + z_axis * z + origin).transpose(-1, -2)


def skinning_transforms(
    T_world_posed: Float[Tensor, "b j 4 4"], T_world_rest: Float[Tensor, "j 4 4"]
) -> Float[Tensor, "b j 4 4"]:
    """What carries a rest point that hangs on bone j to where the pose has it."""
    return T_world_posed @ rigid_inverse(T_world_rest)
