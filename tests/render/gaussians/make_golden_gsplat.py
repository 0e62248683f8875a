"""Made ``golden_gsplat.npz`` once, with gsplat 1.5.3 (Apache-2.0), whose torch twins run on a CPU.

    pip install --no-deps gsplat==1.5.3 && python tests/render/gaussians/make_golden_gsplat.py

Not a test and not needed by one: kept so that anybody can see where the numbers come from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci, _spherical_harmonics

WIDTH, HEIGHT = 40, 30


def main() -> None:
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    # Two cameras 3 m from a cloud that reaches far beyond the image and behind the second camera.
    means, quats, scales = normal(40, 3) * 1.5, normal(40, 4), torch.exp(normal(40, 3) * 0.7 - 2)
    viewmats = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    viewmats[0, 2, 3] = 3.0
    c, s = np.cos(0.6), np.sin(0.6)
    viewmats[1, :3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
    viewmats[1, :3, 3] = torch.tensor([0.2, -0.1, 1.0], dtype=torch.float64)
    Ks = torch.tensor([[35.0, 0, 19.0], [0, 37.0, 16.0], [0, 0, 1]], dtype=torch.float64).repeat(2, 1, 1)
    covariances, _ = _quat_scale_to_covar_preci(quats, scales, True, False, triu=False)
    _, means2d, depths, conics, compensations = _fully_fused_projection(
        means, covariances, viewmats, Ks, WIDTH, HEIGHT, eps2d=0.3, near_plane=0.01, calc_compensations=True
    )
    # The same a tenth of the size: most are thinner than a pixel.
    thin, _ = _quat_scale_to_covar_preci(quats, 0.1 * scales, True, False, triu=False)
    *_, thin_compensations = _fully_fused_projection(
        means, thin, viewmats, Ks, WIDTH, HEIGHT, eps2d=0.3, near_plane=0.01, calc_compensations=True
    )
    directions, sh = normal(40, 3), normal(40, 16, 3)
    colors = [_spherical_harmonics(degree, directions, sh[:, : (degree + 1) ** 2]) for degree in range(4)]
    arrays = {
        "means": means,
        "quats": quats,
        "scales": scales,
        "viewmats": viewmats,
        "Ks": Ks,
        "means2d": means2d,
        "depths": depths,
        "conics": conics,
        "compensations": compensations,
        "thin_compensations": thin_compensations,
        "directions": directions,
        "sh": sh,
        "colors": torch.stack(colors),
    }
    np.savez_compressed(
        Path(__file__).with_name("golden_gsplat.npz"),
        **{name: array.numpy() for name, array in arrays.items()},
    )


if __name__ == "__main__":
    main()
