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
from numba import njit

from render.threads import run_ranges, split, thread_count

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
    threads = thread_count()
    run_ranges(
        lambda _, start, stop: _skin(
            points, quats, T_bones, q_bones, bones, weights, start, stop, moved, turned
        ),
        split(len(points), threads, BLOCK),
        threads,
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
    upstream, outputs = (grad_moved, grad_turned), (grad_points, grad_quats, partial)
    threads = thread_count()
    run_ranges(
        lambda _, start, stop: _skin_backward(
            points, quats, T_bones, q_bones, bones, weights, *upstream, start, stop, of_bones, *outputs
        ),
        split(len(points), threads, BLOCK),
        threads,
    )
    if not of_bones:
        return grad_points, grad_quats, None, None
    total = partial.sum(0, dtype=np.float64).astype(np.float32)
    return grad_points, grad_quats, total[:, :12].reshape(-1, 3, 4), np.ascontiguousarray(total[:, 12:])


@njit(fastmath=_FAST, inline="always")
@no_type_check
def _blended(T_bones, q_bones, bones, weights, i, T, q):
    """The point's blended matrix into T and unit quaternion into q; returns one over the length before."""
    for k in range(12):
        T[k] = _ZERO
    for k in range(4):
        q[k] = _ZERO
    strongest = bones[i, 0]
    for slot in range(bones.shape[1]):
        w, b = weights[i, slot], bones[i, slot]
        if w == _ZERO:
            break
        for row in range(3):
            for column in range(4):
                T[4 * row + column] += w * T_bones[b, row, column]
        dot = _ZERO
        for k in range(4):
            dot += q_bones[b, k] * q_bones[strongest, k]
        signed = w if dot >= _ZERO else -w
        for k in range(4):
            q[k] += signed * q_bones[b, k]
    inverse = _ONE / max(np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]), np.float32(1e-12))
    for k in range(4):
        q[k] *= inverse
    return inverse


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _skin(points, quats, T_bones, q_bones, bones, weights, start, stop, moved, turned):
    T, q = np.empty(12, np.float32), np.empty(4, np.float32)
    for i in range(start, stop):
        _blended(T_bones, q_bones, bones, weights, i, T, q)
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for row in range(3):
            moved[i, row] = T[4 * row] * x + T[4 * row + 1] * y + T[4 * row + 2] * z + T[4 * row + 3]
        a, b, c, d = q[0], q[1], q[2], q[3]
        e, f, g, h = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        turned[i, 0] = a * e - b * f - c * g - d * h
        turned[i, 1] = a * f + b * e + c * h - d * g
        turned[i, 2] = a * g - b * h + c * e + d * f
        turned[i, 3] = a * h + b * g - c * f + d * e


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _skin_backward(
    points,
    quats,
    T_bones,
    q_bones,
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
    T, q, u = np.empty(12, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
    for i in range(start, stop):
        inverse = _blended(T_bones, q_bones, bones, weights, i, T, q)
        for k in range(3):
            grad_points[i, k] = (
                T[k] * grad_moved[i, 0] + T[4 + k] * grad_moved[i, 1] + T[8 + k] * grad_moved[i, 2]
            )
        a, b, c, d = q[0], -q[1], -q[2], -q[3]
        e, f, g, h = grad_turned[i, 0], grad_turned[i, 1], grad_turned[i, 2], grad_turned[i, 3]
        grad_quats[i, 0] = a * e - b * f - c * g - d * h
        grad_quats[i, 1] = a * f + b * e + c * h - d * g
        grad_quats[i, 2] = a * g - b * h + c * e + d * f
        grad_quats[i, 3] = a * h + b * g - c * f + d * e
        if not of_bones:
            continue
        a, b, c, d = quats[i, 0], -quats[i, 1], -quats[i, 2], -quats[i, 3]
        u[0] = e * a - f * b - g * c - h * d
        u[1] = e * b + f * a + g * d - h * c
        u[2] = e * c - f * d + g * a + h * b
        u[3] = e * d + f * c - g * b + h * a
        along = u[0] * q[0] + u[1] * q[1] + u[2] * q[2] + u[3] * q[3]
        for k in range(4):
            u[k] = (u[k] - along * q[k]) * inverse
        block, strongest = i // BLOCK, bones[i, 0]
        for slot in range(bones.shape[1]):
            w, bone = weights[i, slot], bones[i, slot]
            if w == _ZERO:
                break
            dot = _ZERO
            for k in range(4):
                dot += q_bones[bone, k] * q_bones[strongest, k]
            signed = w if dot >= _ZERO else -w
            for row in range(3):
                scaled = w * grad_moved[i, row]
                for column in range(3):
                    partial[block, bone, 4 * row + column] += scaled * points[i, column]
                partial[block, bone, 4 * row + 3] += scaled
            for k in range(4):
                partial[block, bone, 12 + k] += signed * u[k]
