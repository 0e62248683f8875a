"""Gaussians and their differentiable rasterization."""

from simulacra.render.gaussians.cpu import warmup
from simulacra.render.gaussians.normals import gaussian_normals
from simulacra.render.gaussians.rasterize import rasterize_features, rasterize_gaussians
from simulacra.render.gaussians.record import (
    FeatureRendering,
    GaussianRendering,
    Gaussians,
    ScreenStatistics,
    expected_depth,
)
from simulacra.render.gaussians.spherical_harmonics import rgb_from_sh, sh_basis, sh_from_rgb

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
