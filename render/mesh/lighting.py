"""Light from everywhere, as spherical harmonics of degree 0 to 2 (Lambertian shading).

After Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps" (SIGGRAPH 2001).
The environment's radiance is L(w) = sum_lm L_lm Y_lm(w), w towards the light. Reflecting with the clamped
cosine multiplies degree l by A_l = pi, 2 pi / 3, pi / 4, so that the irradiance on a surface of normal n is
E(n) = sum_lm A_l L_lm Y_lm(n); what degrees 3 and above would add is at most a few per cent of it. A diffuse
surface of albedo a sends out a E(n) / pi in all directions.

Coefficients are in the paper's order and signs, L00, L1-1 (y), L10 (z), L11 (x), L2-2 (xy), L2-1 (yz),
L20 (3z^2 - 1), L21 (xz), L22 (x^2 - y^2), every Y_lm with a positive factor, in world axes. They are not those
of splat files (``render.gaussians``), whose odd orders have the opposite sign.

Radiance and albedo are linear; encode as sRGB afterwards.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.mesh import lighting_kernels as kernels
from simulacra.render.runtime.threads import run_ranges, split, thread_count

# A_l / pi of degrees 0, 1 and 2, one for each of the nine coefficients.
COSINE_SHARES = (1.0, *(2 / 3,) * 3, *(1 / 4,) * 5)
ROWS_A_CHUNK = (
    16384  # normals that go to a thread at a time; the light's gradient is summed over chunks in order
)

_FACTORS = (
    0.5 / math.sqrt(math.pi),
    *(math.sqrt(3 / (4 * math.pi)),) * 3,
    *(math.sqrt(15 / (4 * math.pi)),) * 2,
    math.sqrt(5 / (16 * math.pi)),
    math.sqrt(15 / (4 * math.pi)),
    math.sqrt(15 / (16 * math.pi)),
)


def sh9(directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 9"]:
    """The nine basis functions in unit directions, orthonormal over the sphere."""
    x, y, z = directions.unbind(-1)
    parts = [torch.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    return torch.stack(parts, -1) * directions.new_tensor(_FACTORS)


def light_from_directions(
    directions: Float[Tensor, "n 3"], intensities: Float[Tensor, "n rgb"]
) -> Float[Tensor, "9 rgb"]:
    """Coefficients of light that comes from unit directions; differentiable.

    Args:
        directions: from the surface towards the light, in the world.
        intensities: of lamps: their irradiance on a surface that faces them. Of an environment map: radiance
            times the solid angle of its pixel, steradians.
    """
    return torch.einsum("nk,nd->kd", sh9(directions), intensities)


def shade_sh(
    normals: Float[Tensor, "*n 3"], light: Float[Tensor, "9 rgb"], albedo: Float[Tensor, "*n rgb"]
) -> Float[Tensor, "*n rgb"]:
    """Radiance that a diffuse surface sends out, albedo E(n) / pi; differentiable in everything.

    Args:
        normals: unit, world. Interpolated ones are shorter: normalise them.
        light: coefficients of the environment's radiance, linear. Nine numbers cannot follow a single lamp
            closely: behind the surface it may come out negative by some per cent, and is left so.
        albedo: linear, 0..1.

    Compiled for float32 on the CPU, with the same bits whatever the threads. Where most of an image shows
    nothing, shading the covered pixels alone is cheaper; shading vertices and interpolating, cheaper still.
    """
    everything = (normals, light, albedo)
    if all(values.dtype == torch.float32 and values.device.type == "cpu" for values in everything):
        result: Tensor = _Shade.apply(normals.reshape(-1, 3), light, albedo.reshape(-1, albedo.shape[-1]))
        return result.reshape(albedo.shape)
    return reference(normals, light, albedo)


def reference(
    normals: Float[Tensor, "*n 3"], light: Float[Tensor, "9 rgb"], albedo: Float[Tensor, "*n rgb"]
) -> Float[Tensor, "*n rgb"]:
    """``shade_sh`` in torch, any float type: the oracle of the compiled kernel."""
    reflected = light * light.new_tensor(COSINE_SHARES)[:, None]
    return albedo * (sh9(normals) @ reflected)


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, normals: Tensor, light: Tensor, albedo: Tensor) -> Tensor:
        normals, albedo = normals.detach().contiguous(), albedo.detach().contiguous()
        q = light.detach().double() * _polynomial(light)
        result = torch.empty_like(albedo)
        arrays = normals.numpy(), q.numpy(), albedo.numpy()
        run_ranges(
            lambda _, a, b: kernels.shade(*arrays, a, b, result.numpy()), _chunks(len(albedo)), thread_count()
        )
        ctx.save_for_backward(normals, q, albedo)
        return result

    @staticmethod
    def backward(ctx: Any, grad_result: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normals, q, albedo = ctx.saved_tensors
        grad_normals, grad_albedo = torch.empty_like(normals), torch.empty_like(albedo)
        bounds = _chunks(len(albedo))
        grad_q = q.new_zeros(len(bounds), *q.shape)
        arrays = normals.numpy(), q.numpy(), albedo.numpy(), grad_result.contiguous().numpy()
        results = grad_normals.numpy(), grad_albedo.numpy()
        run_ranges(
            lambda part, a, b: kernels.shade_backward(*arrays, a, b, *results, grad_q[part].numpy()),
            bounds,
            thread_count(),
        )
        total = grad_q.new_zeros(q.shape)
        for part in grad_q:
            total += part
        return grad_normals, (total * _polynomial(total)).to(normals.dtype), grad_albedo


def _chunks(count: int) -> list[int]:
    """Bounds that depend on nothing but the number of normals."""
    return split(count, -(-count // ROWS_A_CHUNK))


def _polynomial(like: Tensor) -> Float[Tensor, "9 1"]:
    """What the coefficients are multiplied with, in float64."""
    shares = torch.tensor(COSINE_SHARES, dtype=torch.float64, device=like.device)
    return (shares * torch.tensor(_FACTORS, dtype=torch.float64, device=like.device))[:, None]
