"""Skinning and its gradient in Numba, float32; `render.skinning` has the definition and the twin.

With u = sum_b w_b s_b q_b, q = u / |u|, and upstream gradients g of the point and h of the quaternion::

    dL/dx = R^T g     dL/dT_b = w_b (g x^T | g)     dL/dr = conj(q) h     dL/dq = h conj(r)
    dL/du = (dL/dq - q (q . dL/dq)) / |u|           dL/dq_b = w_b s_b dL/du

where r is the quaternion at rest and products are quaternions'. Gradients of bones are summed within fixed blocks of
points, and the blocks in order, so that the number of threads does not change a bit.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32

from simulacra.render.runtime.compiled import njit
from simulacra.render.runtime.threads import run_split

BLOCK = 1024  # points a partial sum of the bones' gradients
BONE = 16  # numbers a bone: twelve of its matrix, four of its quaternion
_FAST = {"contract", "nsz"}
_ONE, _ZERO = np.float32(1), np.float32(0)

Points = Float32[np.ndarray, "n 3"]
Quats = Float32[np.ndarray, "n 4"]
Matrices = Float32[np.ndarray, "j 3 4"]
BoneQuats = Float32[np.ndarray, "j 4"]
Bones = Int32[np.ndarray, "n m"]
Weights = Float32[np.ndarray, "n m"]


def skin(
    points: Points, quats: Quats, T_bones: Matrices, q_bones: BoneQuats, bones: Bones, weights: Weights
) -> tuple[Points, Quats]:
    """Skinned points and quaternions."""
    moved, turned = np.empty_like(points), np.empty_like(quats)
    table, signs = _table(T_bones, q_bones)
    run_split(
        lambda start, stop: _skin(points, quats, table, signs, bones, weights, start, stop, moved, turned),
        len(points),
        BLOCK,
    )
    return moved, turned


def skin_backward(
    points: Points,
    quats: Quats,
    T_bones: Matrices,
    q_bones: BoneQuats,
    bones: Bones,
    weights: Weights,
    grad_moved: Points,
    grad_turned: Quats,
    *,
    of_bones: bool,
) -> tuple[Points, Quats, Matrices | None, BoneQuats | None]:
    """Gradients of points, quats, T_bones and q_bones; the last two None unless asked for."""
    grad_points, grad_quats = np.empty_like(points), np.empty_like(quats)
    blocks = -(-len(points) // BLOCK) if of_bones else 0
    partial = np.zeros((blocks, len(T_bones), BONE), np.float32)
    inputs = (points, quats, *_table(T_bones, q_bones), bones, weights, grad_moved, grad_turned)
    outputs = (grad_points, grad_quats, partial)
    run_split(
        lambda start, stop: _skin_backward(*inputs, start, stop, of_bones, *outputs), len(points), BLOCK
    )
    if not of_bones:
        return grad_points, grad_quats, None, None
    total = partial.sum(0, dtype=np.float64).astype(np.float32)
    return grad_points, grad_quats, total[:, :12].reshape(-1, 3, 4), np.ascontiguousarray(total[:, 12:])


def _table(
    T_bones: Matrices, q_bones: BoneQuats
) -> tuple[Float32[np.ndarray, "j bone"], Float32[np.ndarray, "j j"]]:
    """A row of matrix and quaternion for each bone, and the signs with which quaternions agree with each other."""
    table = np.concatenate([T_bones.reshape(-1, 12), q_bones], axis=1)
    return table, np.where(q_bones @ q_bones.T >= 0, _ONE, -_ONE)


@njit(fastmath=_FAST, inline="always")
@no_type_check
def _blend(table, signs, bones, weights, i):
    """The point's blended matrix, rows first, its unit quaternion, and one over the quaternion's length before.

    Sixteen numbers in registers: an array for them would go through memory at every influence.
    """
    strongest = np.uint64(bones[i, 0])
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = t8 = t9 = t10 = t11 = qw = qx = qy = qz = _ZERO
    for slot in range(bones.shape[1]):
        w, b = weights[i, slot], np.uint64(bones[i, slot])
        if w == _ZERO:
            break
        t0, t1, t2, t3 = (
            t0 + w * table[b, 0],
            t1 + w * table[b, 1],
            t2 + w * table[b, 2],
            t3 + w * table[b, 3],
        )
        t4, t5, t6, t7 = (
            t4 + w * table[b, 4],
            t5 + w * table[b, 5],
            t6 + w * table[b, 6],
            t7 + w * table[b, 7],
        )
        t8, t9 = t8 + w * table[b, 8], t9 + w * table[b, 9]
        t10, t11 = t10 + w * table[b, 10], t11 + w * table[b, 11]
        signed = w * signs[strongest, b]
        qw, qx = qw + signed * table[b, 12], qx + signed * table[b, 13]
        qy, qz = qy + signed * table[b, 14], qz + signed * table[b, 15]
    inverse = _ONE / max(np.sqrt(qw * qw + qx * qx + qy * qy + qz * qz), np.float32(1e-12))
    matrix = (t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11)
    return matrix, (qw * inverse, qx * inverse, qy * inverse, qz * inverse), inverse


@njit(fastmath=_FAST, inline="always")
@no_type_check
def _product(p, q):
    """Of two quaternions."""
    a, b, c, d = p
    e, f, g, h = q
    return (
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    )


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _skin(points, quats, table, signs, bones, weights, start, stop, moved, turned):
    for i in range(start, stop):
        T, q, _ = _blend(table, signs, bones, weights, i)
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        moved[i, 0] = T[0] * x + T[1] * y + T[2] * z + T[3]
        moved[i, 1] = T[4] * x + T[5] * y + T[6] * z + T[7]
        moved[i, 2] = T[8] * x + T[9] * y + T[10] * z + T[11]
        r = _product(q, (quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]))
        turned[i, 0], turned[i, 1], turned[i, 2], turned[i, 3] = r


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _skin_backward(
    points,
    quats,
    table,
    signs,
    bones,
    weights,
    grad_moved,
    grad_turned,
    start,
    stop,
    of_bones,
    grad_points,
    grad_quats,
    partial,
):
    for i in range(start, stop):
        T, q, inverse = _blend(table, signs, bones, weights, i)
        g0, g1, g2 = grad_moved[i, 0], grad_moved[i, 1], grad_moved[i, 2]
        grad_points[i, 0] = T[0] * g0 + T[4] * g1 + T[8] * g2
        grad_points[i, 1] = T[1] * g0 + T[5] * g1 + T[9] * g2
        grad_points[i, 2] = T[2] * g0 + T[6] * g1 + T[10] * g2
        h = (grad_turned[i, 0], grad_turned[i, 1], grad_turned[i, 2], grad_turned[i, 3])
        r = _product((q[0], -q[1], -q[2], -q[3]), h)
        grad_quats[i, 0], grad_quats[i, 1], grad_quats[i, 2], grad_quats[i, 3] = r
        if not of_bones:
            continue
        of_q = _product(h, (quats[i, 0], -quats[i, 1], -quats[i, 2], -quats[i, 3]))
        along = of_q[0] * q[0] + of_q[1] * q[1] + of_q[2] * q[2] + of_q[3] * q[3]
        block, strongest = i // BLOCK, bones[i, 0]
        for slot in range(bones.shape[1]):
            w, bone = weights[i, slot], bones[i, slot]
            if w == _ZERO:
                break
            for row in range(3):
                scaled = w * grad_moved[i, row]
                for column in range(3):
                    partial[block, bone, 4 * row + column] += scaled * points[i, column]
                partial[block, bone, 4 * row + 3] += scaled
            signed = w * signs[strongest, bone] * inverse
            for k in range(4):
                partial[block, bone, 12 + k] += signed * (of_q[k] - along * q[k])
