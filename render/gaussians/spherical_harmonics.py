"""Real spherical harmonics up to degree 3, as 3D Gaussian splatting and gsplat order and sign them.

Symbols: ``n`` Gaussians, ``k`` coefficients (1, 4, 9, 16). The basis is the one of Sloan, "Efficient
Spherical Harmonic Evaluation" (JCGT 2013), with the Condon-Shortley sign, which is what every published
splat file assumes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SH_C0 = 0.28209479177387814  # 1 / (2 sqrt(pi))
SH_C1 = 0.4886025119029199
SH_C2 = (
    1.0925484305920792,
    -1.0925484305920792,
    0.31539156525252005,
    -1.0925484305920792,
    0.5462742152960396,
)
SH_C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)


def sh_basis(directions: Float[Tensor, "*b 3"], degree: int) -> Float[Tensor, "*b k"]:
    """The basis functions of degrees 0 to ``degree`` in unit ``directions``, ``(degree + 1)**2`` of them."""
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, SH_C0)]
    if degree >= 1:
        basis += [-SH_C1 * y, SH_C1 * z, -SH_C1 * x]
    if degree >= 2:
        xx, yy, zz = x * x, y * y, z * z
        basis += [
            SH_C2[0] * x * y,
            SH_C2[1] * y * z,
            SH_C2[2] * (2 * zz - xx - yy),
            SH_C2[3] * x * z,
            SH_C2[4] * (xx - yy),
        ]
    if degree >= 3:
        basis += [
            SH_C3[0] * y * (3 * xx - yy),
            SH_C3[1] * x * y * z,
            SH_C3[2] * y * (4 * zz - xx - yy),
            SH_C3[3] * z * (2 * zz - 3 * xx - 3 * yy),
            SH_C3[4] * x * (4 * zz - xx - yy),
            SH_C3[5] * z * (xx - yy),
            SH_C3[6] * x * (xx - 3 * yy),
        ]
    return torch.stack(basis, -1)


def rgb_from_sh(
    sh: Float[Tensor, "n k 3"], means: Float[Tensor, "n 3"], centers: Float[Tensor, "c 3"]
) -> Float[Tensor, "c n 3"]:
    """Colors of Gaussians seen from camera centres: ``max(0, 0.5 + SH(direction from the camera))``.

    Differentiable in ``sh``, ``means`` and ``centers``; a Gaussian in the camera's centre gets direction
    zero.
    """
    coefficients = sh.shape[1]
    if coefficients == 1:  # the same from everywhere: no directions needed
        flat = torch.clamp_min(0.5 + SH_C0 * sh[:, 0], 0.0)
        return flat.expand(len(centers), *flat.shape)
    directions = torch.nn.functional.normalize(means[None] - centers[:, None], dim=-1)
    degree = {4: 1, 9: 2, 16: 3}[coefficients]
    basis = sh_basis(directions, degree)
    return torch.clamp_min(0.5 + torch.einsum("cnk,nkd->cnd", basis, sh), 0.0)


def sh_from_rgb(rgb: Float[Tensor, "n 3"], degree: int = 0) -> Float[Tensor, "n k 3"]:
    """Coefficients that give ``rgb`` (0..1) from every direction: degree 0 set, the higher ones zero."""
    sh = rgb.new_zeros(len(rgb), (degree + 1) ** 2, 3)
    sh[:, 0] = (rgb - 0.5) / SH_C0
    return sh
