"""Compiled spherical harmonics: colors of Gaussians as cameras see them, eight at a time, and the reverse.

Symbols: d = (x, y, z) the unit direction from a camera's centre to a Gaussian, b_k(d) the basis in the order
of ``spherical_harmonics`` (the readable twin), c_k the coefficients of one channel. Forward, a channel is
max(0, 1/2 + sum_k b_k c_k). Backward, with g the upstream gradient where the channel is not cut off:
dL/dc_k = b_k g, and dL/dd = sum_k (sum over channels of g c_k) grad b_k, where grad b_k is the gradient of
the polynomial as it stands. Normalising keeps of it what is across d, over the distance: that is the
gradient of the Gaussian's centre and, turned round and summed, of the camera's.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor

from simulacra.render.gaussians import simd, simd_memory, spherical_harmonics
from simulacra.render.gaussians.simd import (
    FAST,
    LANES,
    broadcast,
    greater,
    iota,
    less,
    maximum,
    select,
    square_root,
)
from simulacra.render.gaussians.simd_memory import load, load_rows, store, store_rows
from simulacra.render.runtime.compiled import kernel_compiler
from simulacra.render.runtime.threads import run_split

kernel = kernel_compiler(__file__, simd.__file__, simd_memory.__file__, spherical_harmonics.__file__)

BLOCK = 2048  # Gaussians a partial sum, and a piece of work
MOST = 16  # coefficients of degree 3

f32 = np.float32
ZERO, HALF, ONE = f32(0), f32(0.5), f32(1)
TWO, THREE, FOUR, SIX, EIGHT = f32(2), f32(3), f32(4), f32(6), f32(8)
SHORTEST_SQUARED = f32(1e-24)  # of a direction before it is normalised, as torch's normalize has it
C0, C1 = f32(spherical_harmonics.SH_C0), f32(spherical_harmonics.SH_C1)
D0, D1, D2, D3, D4 = (f32(c) for c in spherical_harmonics.SH_C2)
E0, E1, E2, E3, E4, E5, E6 = (f32(c) for c in spherical_harmonics.SH_C3)


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _direction(means, i, last, center):
    """Unit directions from the camera, and one over the distances."""
    x = load_rows(means, i, last, 3, 0) - center[0]
    y = load_rows(means, i, last, 3, 1) - center[1]
    z = load_rows(means, i, last, 3, 2) - center[2]
    inverse = ONE / square_root(maximum(x * x + y * y + z * z, SHORTEST_SQUARED))
    return x * inverse, y * inverse, z * inverse, inverse


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _fill_basis(x, y, z, count, basis):
    """b_k(d) of ``count`` coefficients, eight lanes each."""
    store(basis, 0, broadcast(C0))
    if count > 1:
        store(basis, 1 * LANES, y * -C1)
        store(basis, 2 * LANES, z * C1)
        store(basis, 3 * LANES, x * -C1)
    xx, yy, zz = x * x, y * y, z * z
    if count > 4:
        store(basis, 4 * LANES, x * y * D0)
        store(basis, 5 * LANES, y * z * D1)
        store(basis, 6 * LANES, (TWO * zz - xx - yy) * D2)
        store(basis, 7 * LANES, x * z * D3)
        store(basis, 8 * LANES, (xx - yy) * D4)
    if count > 9:
        store(basis, 9 * LANES, y * (THREE * xx - yy) * E0)
        store(basis, 10 * LANES, x * y * z * E1)
        store(basis, 11 * LANES, y * (FOUR * zz - xx - yy) * E2)
        store(basis, 12 * LANES, z * (TWO * zz - THREE * (xx + yy)) * E3)
        store(basis, 13 * LANES, x * (FOUR * zz - xx - yy) * E4)
        store(basis, 14 * LANES, z * (xx - yy) * E5)
        store(basis, 15 * LANES, x * (xx - THREE * yy) * E6)


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def _evaluate(sh, means, center, start, stop, rgb):
    """Colors of Gaussians start..stop for one camera."""
    count = np.int64(sh.shape[1])
    stride, last = 3 * count, np.int64(stop) - 1
    basis = np.empty(MOST * LANES, np.float32)
    for i in range(start, stop, LANES):
        x, y, z, _ = _direction(means, i, last, center)
        _fill_basis(x, y, z, count, basis)
        red, green, blue = broadcast(HALF), broadcast(HALF), broadcast(HALF)
        for k in range(count):
            b = load(basis, k * LANES)
            red = red + load_rows(sh, i, last, stride, 3 * k) * b
            green = green + load_rows(sh, i, last, stride, 3 * k + 1) * b
            blue = blue + load_rows(sh, i, last, stride, 3 * k + 2) * b
        store_rows(rgb, i, last, 3, 0, maximum(red, ZERO))
        store_rows(rgb, i, last, 3, 1, maximum(green, ZERO))
        store_rows(rgb, i, last, 3, 2, maximum(blue, ZERO))


@njit(fastmath=set(FAST), inline="always")
@no_type_check
def _basis_gradient(x, y, z, count, s):
    """sum_k s_k grad b_k(d), for the lanes s_k in ``s``."""
    gx = load(s, 3 * LANES) * -C1
    gy = load(s, 1 * LANES) * -C1
    gz = load(s, 2 * LANES) * C1
    if count > 4:
        s4, s5, s6 = load(s, 4 * LANES) * D0, load(s, 5 * LANES) * D1, load(s, 6 * LANES) * D2
        s7, s8 = load(s, 7 * LANES) * D3, load(s, 8 * LANES) * D4
        gx = gx + y * s4 + z * s7 + TWO * x * (s8 - s6)
        gy = gy + x * s4 + z * s5 - TWO * y * (s8 + s6)
        gz = gz + y * s5 + x * s7 + FOUR * z * s6
    if count > 9:
        s9, s10, s11 = load(s, 9 * LANES) * E0, load(s, 10 * LANES) * E1, load(s, 11 * LANES) * E2
        s12, s13 = load(s, 12 * LANES) * E3, load(s, 13 * LANES) * E4
        s14, s15 = load(s, 14 * LANES) * E5, load(s, 15 * LANES) * E6
        xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
        across = THREE * (xx - yy)
        gx = gx + xy * (SIX * s9 - TWO * s11) + yz * s10 + xz * (TWO * s14 - SIX * s12)
        gx = gx + (FOUR * zz - THREE * xx - yy) * s13 + across * s15
        gy = gy + across * s9 + xz * s10 + (FOUR * zz - xx - THREE * yy) * s11
        gy = gy - yz * (SIX * s12 + TWO * s14) - xy * (TWO * s13 + SIX * s15)
        gz = gz + xy * s10 + EIGHT * (yz * s11 + xz * s13) + (xx - yy) * s14
        gz = gz + (SIX * zz - THREE * (xx + yy)) * s12
    return gx, gy, gz


@kernel(fastmath=set(FAST), error_model="numpy")
@no_type_check
def _evaluate_backward(sh, means, center, rgb, grad_rgb, first, start, stop, grad_sh, grad_means, partial):
    """Gradients of Gaussians start..stop from one camera, written by the first camera and added by the next.

    ``partial`` takes a sum of the centre's gradient for every BLOCK Gaussians, lane by lane, so that its
    order does not depend on how the ranges are cut (which must be at multiples of BLOCK).
    """
    count = np.int64(sh.shape[1])
    stride, last = 3 * count, np.int64(stop) - 1
    basis, s = np.empty(MOST * LANES, np.float32), np.empty(MOST * LANES, np.float32)
    for i in range(start, stop, LANES):
        x, y, z, inverse = _direction(means, i, last, center)
        _fill_basis(x, y, z, count, basis)
        g0 = select(greater(load_rows(rgb, i, last, 3, 0), ZERO), load_rows(grad_rgb, i, last, 3, 0), ZERO)
        g1 = select(greater(load_rows(rgb, i, last, 3, 1), ZERO), load_rows(grad_rgb, i, last, 3, 1), ZERO)
        g2 = select(greater(load_rows(rgb, i, last, 3, 2), ZERO), load_rows(grad_rgb, i, last, 3, 2), ZERO)
        for k in range(count):
            b, at = load(basis, k * LANES), 3 * k
            total = load_rows(sh, i, last, stride, at) * g0
            total = total + load_rows(sh, i, last, stride, at + 1) * g1
            store(s, k * LANES, total + load_rows(sh, i, last, stride, at + 2) * g2)
            a0, a1, a2 = b * g0, b * g1, b * g2
            if not first:
                a0 = a0 + load_rows(grad_sh, i, last, stride, at)
                a1 = a1 + load_rows(grad_sh, i, last, stride, at + 1)
                a2 = a2 + load_rows(grad_sh, i, last, stride, at + 2)
            store_rows(grad_sh, i, last, stride, at, a0)
            store_rows(grad_sh, i, last, stride, at + 1, a1)
            store_rows(grad_sh, i, last, stride, at + 2, a2)
        if count == 1:
            continue
        gx, gy, gz = _basis_gradient(x, y, z, count, s)
        along = x * gx + y * gy + z * gz
        gx, gy, gz = (gx - along * x) * inverse, (gy - along * y) * inverse, (gz - along * z) * inverse
        inside = less(iota(), f32(stop - i))
        block = (i // BLOCK) * 3 * LANES
        store(partial, block, load(partial, block) + select(inside, gx, ZERO))
        store(partial, block + LANES, load(partial, block + LANES) + select(inside, gy, ZERO))
        store(partial, block + 2 * LANES, load(partial, block + 2 * LANES) + select(inside, gz, ZERO))
        if not first:
            gx = gx + load_rows(grad_means, i, last, 3, 0)
            gy = gy + load_rows(grad_means, i, last, 3, 1)
            gz = gz + load_rows(grad_means, i, last, 3, 2)
        store_rows(grad_means, i, last, 3, 0, gx)
        store_rows(grad_means, i, last, 3, 1, gy)
        store_rows(grad_means, i, last, 3, 2, gz)


def rgb_from_sh(
    sh: Float[Tensor, "n k 3"], means: Float[Tensor, "n 3"], centers: Float[Tensor, "c 3"]
) -> Float[Tensor, "c n 3"]:
    """As ``spherical_harmonics.rgb_from_sh``, for float32 on the CPU; the same bits for any number of threads."""
    if sh.shape[1] == 1:  # the same from everywhere
        return _Evaluate.apply(sh, means, centers[:1]).expand(len(centers), -1, -1)
    return _Evaluate.apply(sh, means, centers)


class _Evaluate(torch.autograd.Function):
    """Forward and backward over a batch of cameras."""

    @staticmethod
    def forward(ctx: Any, sh: Tensor, means: Tensor, centers: Tensor) -> Tensor:
        inputs = [t.detach().contiguous() for t in (sh, means, centers)]
        coefficients, places, eyes = (t.numpy() for t in inputs)
        rgb = means.new_empty(len(eyes), len(places), 3)
        for eye, own in zip(eyes, rgb.numpy()):
            arguments = (coefficients, places, eye)
            run_split(lambda a, b, ins=arguments, out=own: _evaluate(*ins, a, b, out), len(places), BLOCK)
        ctx.save_for_backward(*inputs, rgb)
        return rgb

    @staticmethod
    def backward(ctx: Any, grad_rgb: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        inputs = ctx.saved_tensors[:3]
        (coefficients, places, eyes, rgb), upstream = (t.numpy() for t in ctx.saved_tensors), grad_rgb.numpy()
        grad_sh, grad_means, grad_centers = (torch.empty_like(t) for t in inputs)
        outputs, n = (grad_sh.numpy(), grad_means.numpy()), len(places)
        for i, eye in enumerate(eyes):
            partial = np.zeros((-(-n // BLOCK), 3, LANES), f32)
            ins = (coefficients, places, eye, rgb[i], np.ascontiguousarray(upstream[i]), i == 0)
            outs = (*outputs, partial)
            run_split(lambda a, b, ins=ins, outs=outs: _evaluate_backward(*ins, a, b, *outs), n, BLOCK)
            total = partial.sum((0, 2), dtype=np.float64)
            grad_centers[i] = -torch.from_numpy(total).to(grad_centers)
        if coefficients.shape[1] == 1:  # no direction
            return grad_sh, None, None
        return grad_sh, grad_means, grad_centers
