"""Derivatives of carried points by pose, facial actions and shape in Numba, float32; `recon.fit.chain` explains them.

For a point ``x = sum_b w_b (G_b r + t_b)`` and an axis ``a`` through the head ``h`` of a turning bone::

    dx/dangle = a x sum_{b under the bone} w_b (G_b r + t_b - h)
    dx/dshape = sum_b w_b (dG_b r + dt_b) + (sum_b w_b G_b) dr
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32

from simulacra.render.runtime.compiled import njit

_FAST = {"contract", "nsz", "reassoc"}
_ZERO = np.float32(0)


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _derivatives(
    index,
    bones,
    weights,
    rest,
    G,
    t,
    under_start,
    under,
    heads,
    group,
    axes,
    action_row,
    actions,
    bone_shape,
    rest_shape,
    factor,
    gradient,
    rows,
    total,
):
    groups, freedoms, expressions, shapes = len(heads), len(axes), actions.shape[2], rest_shape.shape[2]
    first_action = freedoms + 3
    first_shape = first_action + expressions
    width = first_shape + shapes
    moment = np.empty((groups, 3), np.float32)
    mass = np.empty(groups, np.float32)
    column = np.empty((3, width), np.float32)
    blended = np.empty((3, 3), np.float32)
    for place in range(len(index)):
        i = index[place]
        moment[:] = _ZERO
        mass[:] = _ZERO
        column[:] = _ZERO
        blended[:] = _ZERO
        x, y, z = rest[i, 0], rest[i, 1], rest[i, 2]
        whole = _ZERO
        for slot in range(bones.shape[1]):
            w, b = weights[i, slot], bones[i, slot]
            if w == _ZERO:
                break
            whole += w
            p = w * (G[b, 0, 0] * x + G[b, 0, 1] * y + G[b, 0, 2] * z + t[b, 0])
            q = w * (G[b, 1, 0] * x + G[b, 1, 1] * y + G[b, 1, 2] * z + t[b, 1])
            r = w * (G[b, 2, 0] * x + G[b, 2, 1] * y + G[b, 2, 2] * z + t[b, 2])
            for k in range(under_start[b], under_start[b + 1]):
                g = under[k]
                moment[g, 0] += p
                moment[g, 1] += q
                moment[g, 2] += r
                mass[g] += w
            for a in range(3):
                for c in range(3):
                    blended[a, c] += w * G[b, a, c]
            if shapes:
                wx, wy, wz = w * x, w * y, w * z
                for a in range(3):
                    for s in range(shapes):
                        column[a, first_shape + s] += (
                            wx * bone_shape[b, 0, a, s]
                            + wy * bone_shape[b, 1, a, s]
                            + wz * bone_shape[b, 2, a, s]
                            + w * bone_shape[b, 3, a, s]
                        )
        for d in range(freedoms):
            g = group[d]
            m = mass[g]
            if m == _ZERO:
                continue
            p = moment[g, 0] - m * heads[g, 0]
            q = moment[g, 1] - m * heads[g, 1]
            r = moment[g, 2] - m * heads[g, 2]
            column[0, d] = axes[d, 1] * r - axes[d, 2] * q
            column[1, d] = axes[d, 2] * p - axes[d, 0] * r
            column[2, d] = axes[d, 0] * q - axes[d, 1] * p
        for a in range(3):
            column[a, freedoms + a] = np.float32(0.1) * whole
        row = action_row[i]
        for a in range(3):
            for c in range(3):
                s_ac = blended[a, c]
                if row >= 0:
                    for e in range(expressions):
                        column[a, first_action + e] += s_ac * actions[row, c, e]
                for s in range(shapes):
                    column[a, first_shape + s] += s_ac * rest_shape[i, c, s]
        for a in range(3):
            upstream = gradient[place, a]
            for k in range(width):
                total[k] += upstream * column[a, k]
        for a in range(3):
            f0, f1, f2 = factor[place, a, 0], factor[place, a, 1], factor[place, a, 2]
            for k in range(width):
                rows[3 * place + a, k] = f0 * column[0, k] + f1 * column[1, k] + f2 * column[2, k]


def derivatives(
    index: Int32[np.ndarray, " a"],
    bones: Int32[np.ndarray, "n m"],
    weights: Float32[np.ndarray, "n m"],
    rest: Float32[np.ndarray, "n 3"],
    G: Float32[np.ndarray, "j 3 3"],
    t: Float32[np.ndarray, "j 3"],
    under_start: Int32[np.ndarray, " j1"],
    under: Int32[np.ndarray, " u"],
    heads: Float32[np.ndarray, "g 3"],
    group: Int32[np.ndarray, " d"],
    axes: Float32[np.ndarray, "d 3"],
    action_row: Int32[np.ndarray, " n"],
    actions: Float32[np.ndarray, "r 3 e"],
    bone_shape: Float32[np.ndarray, "j 4 3 s"],
    rest_shape: Float32[np.ndarray, "n 3 s"],
    factor: Float32[np.ndarray, "a 3 3"],
    gradient: Float32[np.ndarray, "a 3"],
) -> tuple[Float32[np.ndarray, "a3 w"], np.ndarray]:
    """``factor @ dx`` of some points, a row a component, and ``sum dx^T gradient``, by: turns about the axes, place in
    decimetres, facial actions, shape.

    Args:
        index: of the points.
        bones: that carry each point; rows end at a weight of zero.
        weights: how much each carries it.
        rest: points at rest, facial actions included.
        G: rotation of each bone away from rest.
        t: its translation.
        under_start: for each bone, where the turning bones that it hangs on begin in ``under``.
        under: these, as positions in ``heads``.
        heads: of the bones that turn.
        group: which of these each axis goes through.
        axes: in the world.
        action_row: of each point, its row in ``actions``; -1 where no facial action moves it.
        actions: what these add at rest.
        bone_shape: derivatives of G's three columns, then of t, by shape.
        rest_shape: derivatives of rest by shape.
        factor: of each of ``index``.
        gradient: of a cost by each of ``index``.
    """
    width = len(axes) + 3 + actions.shape[2] + rest_shape.shape[2]
    rows, total = np.empty((3 * len(index), width), np.float32), np.zeros(width)
    _derivatives(
        index, bones, weights, rest, G, t, under_start, under, heads, group, axes, action_row, actions, bone_shape,
        rest_shape, factor, gradient, rows, total,
    )  # fmt: skip
    return rows, total
