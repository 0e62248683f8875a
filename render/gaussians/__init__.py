"""Gaussians and their differentiable rasterization."""

from render.gaussians.cpu import warmup
from render.gaussians.normals import gaussian_normals
from render.gaussians.rasterize import rasterize_features, rasterize_gaussians
from render.gaussians.record import (
    FeatureRendering,
    GaussianRendering,
    Gaussians,
    ScreenStatistics,
    expected_depth,
)
from render.gaussians.spherical_harmonics import rgb_from_sh, sh_basis, sh_from_rgb

__all__ = [
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
