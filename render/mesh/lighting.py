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

import torch
from jaxtyping import Float
from torch import Tensor

# A_l / pi of degrees 0, 1 and 2, one for each of the nine coefficients.
COSINE_SHARES = (1.0, *(2 / 3,) * 3, *(1 / 4,) * 5)

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
    """
    reflected = light * light.new_tensor(COSINE_SHARES)[:, None]
    return albedo * (sh9(normals) @ reflected)
