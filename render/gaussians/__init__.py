"""Gaussians and their differentiable rasterization.

Read `record`, `rasterize` (the call), `reference` (the rules, in torch), then `cpu` and `view`, which run the
kernels: `projection`, `sorting`, `blending`, and `projection_backward`; `blending_channels` and `blending_statistics`
for features and measures. Kernels are written in `simd*`, eight numbers at a time. `spherical_harmonics` (in Numba:
`harmonics`) and `normals` make what is drawn; `cuda` calls gsplat.
"""

from simulacra.render.gaussians.cpu import warmup
from simulacra.render.gaussians.normals import gaussian_normals
from simulacra.render.gaussians.rasterize import rasterize_features, rasterize_gaussians
from simulacra.render.gaussians.record import (
    OUTLINE_EPS2D,
    FeatureRendering,
    GaussianRendering,
    Gaussians,
    ScreenStatistics,
    expected_depth,
)
from simulacra.render.gaussians.spherical_harmonics import rgb_from_sh, sh_basis, sh_from_rgb

__all__ = [
    "OUTLINE_EPS2D",
    "FeatureRendering",
    "GaussianRendering",
    "Gaussians",
    "ScreenStatistics",
    "expected_depth",
    "gaussian_normals",
    "rasterize_features",
    "rasterize_gaussians",
    "rgb_from_sh",
    "sh_basis",
    "sh_from_rgb",
    "warmup",
]
