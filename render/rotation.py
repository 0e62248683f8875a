"""Rotations and rigid transforms, batched over leading axes, in any float type.

Quaternions are wxyz. Vectors are columns: ``T_dst_src`` maps points of ``src`` to ``dst``, so that neighbours cancel
in ``T_a_b @ T_b_c``. Axis-angle vectors are in radians.

Every map here is smooth through the identity: small angles use the series of sin(x)/x, never a division by zero,
because poses start at zero and are optimised from there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Below this squared angle (radians squared) the Taylor series is exact to float64 rounding: the first term left out
# is x^6/5040 of sin(x)/x, 2e-16 at x^2 = 1e-4.
_SMALL_ANGLE_SQUARED = 1e-4


def quat_normalize(quats: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """Unit quaternions of the same rotation."""
    return quats / quats.norm(dim=-1, keepdim=True)


def quat_multiply(a: Float[Tensor, "*#b 4"], b: Float[Tensor, "*#b 4"]) -> Float[Tensor, "*b 4"]:
    """Hamilton product: the rotation ``b`` first, then ``a``."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def quat_conjugate(quats: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """The inverse rotation of unit quaternions."""
    return quats * quats.new_tensor([1.0, -1.0, -1.0, -1.0])


def quat_to_matrix(quats: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of quaternions of any non-zero length."""
    w, x, y, z = quat_normalize(quats).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def matrix_to_quat(matrices: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Unit quaternions with w >= 0.

    Shepperd's method: of the four ways to extract a quaternion the one with the largest divisor is taken, so that
    none is ill-conditioned (S. W. Shepperd, "Quaternion from rotation matrix", 1978).
    """
    m = matrices
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = torch.stack(
        [1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], -1
    )
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    candidates = torch.stack(
        [
            torch.stack([squares[..., 0], a, b, c], -1),
            torch.stack([a, squares[..., 1], d, e], -1),
            torch.stack([b, d, squares[..., 2], f], -1),
            torch.stack([c, e, f, squares[..., 3]], -1),
        ],
        dim=-2,
    )
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quats = quat_normalize(candidates.gather(-2, best).squeeze(-2))
    return torch.where(quats[..., :1] < 0, -quats, quats)


def quat_facing(normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4"]:
    """Rotations whose local z axis is the given unit normal; how they turn about it is arbitrary."""
    helper = torch.where(
        normals[:, 1:2].abs() < 0.9, normals.new_tensor([0.0, 1, 0]), normals.new_tensor([1.0, 0, 0])
    )
    x = torch.nn.functional.normalize(torch.linalg.cross(helper, normals), dim=-1)
    return matrix_to_quat(torch.stack([x, torch.linalg.cross(normals, x), normals], -1))


def _sinc_half(angle_squared: Tensor) -> Tensor:
    """sin(x/2)/x as a function of x^2, smooth at zero."""
    small = angle_squared < _SMALL_ANGLE_SQUARED
    safe = torch.where(small, torch.ones_like(angle_squared), angle_squared)
    series = 0.5 - angle_squared / 48 + angle_squared**2 / 3840
    return torch.where(small, series, torch.sin(safe.sqrt() / 2) / safe.sqrt())


def axis_angle_to_quat(vectors: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4"]:
    """Exponential map to unit quaternions."""
    angle_squared = (vectors * vectors).sum(-1, keepdim=True)
    scale = _sinc_half(angle_squared)
    small = angle_squared < _SMALL_ANGLE_SQUARED
    safe = torch.where(small, torch.ones_like(angle_squared), angle_squared)
    cosine = torch.where(small, 1 - angle_squared / 8 + angle_squared**2 / 384, torch.cos(safe.sqrt() / 2))
    return torch.cat([cosine, vectors * scale], dim=-1)


def axis_angle_to_matrix(vectors: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Exponential map to rotation matrices."""
    return quat_to_matrix(axis_angle_to_quat(vectors))


def matrix_to_axis_angle(matrices: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Logarithm of rotation matrices; the angle is in [0, pi]."""
    quats = matrix_to_quat(matrices)
    w, v = quats[..., :1], quats[..., 1:]
    sine_squared = (v * v).sum(-1, keepdim=True)
    small = sine_squared < _SMALL_ANGLE_SQUARED / 4
    safe = torch.where(small, torch.ones_like(sine_squared), sine_squared).sqrt()
    scale = torch.where(
        small,
        (2 - sine_squared / (3 * w.clamp(min=0.5) ** 2) * 2) / w.clamp(min=0.5),
        2 * torch.atan2(safe, w) / safe,
    )
    return v * scale


def rigid(rotation: Float[Tensor, "*b 3 3"], translation: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4 4"]:
    """The 4x4 transform x -> rotation @ x + translation."""
    top = torch.cat([rotation, translation[..., None]], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


def rigid_inverse(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """Inverse of rigid transforms, by transposition."""
    rotation = T[..., :3, :3].transpose(-1, -2)
    return rigid(rotation, -(rotation @ T[..., :3, 3:]).squeeze(-1))


def transform_points(T: Float[Tensor, "*b 4 4"], points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Points of the source frame in the destination frame."""
    return points @ T[..., :3, :3].transpose(-1, -2) + T[..., None, :3, 3]
