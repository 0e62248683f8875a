"""Gaussians and their differentiable rasterization."""

from render.gaussians.cpu import warmup
from render.gaussians.rasterize import rasterize_gaussians
from render.gaussians.record import GaussianRendering, Gaussians, ScreenStatistics
from render.gaussians.spherical_harmonics import rgb_from_sh, sh_basis, sh_from_rgb

__all__ = [
    "GaussianRendering",
    "Gaussians",
    "ScreenStatistics",
    "rasterize_gaussians",
    "rgb_from_sh",
    "sh_basis",
    "sh_from_rgb",
    "warmup",
]
