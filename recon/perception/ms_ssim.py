"""Multi-scale structural similarity (Wang, Simoncelli, Bovik, Asilomar 2003), as a distance: one minus it.

At each scale the mean over places and channels of contrast times structure, at the coarsest of luminance too, each to
the power of its scale's weight. A scale is the mean over 2x2 pixels of the one before. The authors' five scales need
176 pixels of SSIM's window of 11; of smaller pictures the scales that fit are taken, with weights that add up to the
same.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.perception import ssim_cpu
from simulacra.recon.perception.measure import Features, Measure

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Structures that contradict each other have no power of a broken number.
LEAST = 1e-6


class MultiscaleSsim(Measure):
    """The distance, 0..1."""

    least_side = ssim_cpu.WINDOW

    def features(self, image: Float[Tensor, "h w 3"]) -> Features:
        """Of each scale the picture, ``1 3 h w``."""
        scales = [image.permute(2, 0, 1)[None]]
        while len(scales) < len(WEIGHTS) and min(scales[-1].shape[2:]) // 2 >= ssim_cpu.WINDOW:
            scales.append(functional.avg_pool2d(scales[-1], 2))
        return tuple(scales)

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """One minus the product over scales."""
        weights = torch.tensor(WEIGHTS[: len(ours)], dtype=ours[0].dtype, device=ours[0].device)
        weights = weights * (sum(WEIGHTS) / weights.sum())
        product = ours[0].new_ones(())
        for number, (x, y, weight) in enumerate(zip(ours, theirs, weights, strict=True)):
            luminance, structure = _similarity(x, y)
            last = number == len(ours) - 1
            found = (luminance * structure if last else structure).mean()
            product = product * found.clamp(min=LEAST) ** weight
        return 1 - product


def _similarity(x: Float[Tensor, "1 c h w"], y: Float[Tensor, "1 c h w"]) -> tuple[Tensor, Tensor]:
    """SSIM's two factors at each place whose window lies wholly inside: luminance; contrast times structure."""
    m, n = _window_means(x), _window_means(y)
    variances = _window_means(x * x + y * y) - m * m - n * n
    covariance = _window_means(x * y) - m * n
    luminance = (2 * m * n + ssim_cpu.C1) / (m * m + n * n + ssim_cpu.C1)
    return luminance, (2 * covariance + ssim_cpu.C2) / (variances + ssim_cpu.C2)


def _window_means(image: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h2 w2"]:
    taps = torch.as_tensor(ssim_cpu.gaussian_taps(), dtype=image.dtype, device=image.device)
    channels = image.shape[1]
    rows = functional.conv2d(image, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return functional.conv2d(rows, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
