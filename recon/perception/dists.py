"""DISTS (Ding, Ma, Wang, Simoncelli, PAMI 2020): structure and texture of VGG16's layers.

VGG16's poolings are replaced by ``sqrt(blur(x^2))``, which does not alias. Of each channel ``c`` of six layers (the
picture itself and the last of each block), with means ``m, n``, variances ``v, w`` and covariance ``u`` over all
places::

    D = sum_c alpha_c (1 - (2 m n + e)/(m^2 + n^2 + e)) + beta_c (1 - (2 u + e)/(v + w + e)),    e = 1e-6

where the weights add up to 1. Computed as ``(m - n)^2`` and ``var(x - y)`` over the same denominators, which is the
same and exactly zero for equal pictures. No window and no size: the authors bring the smaller side of a picture to 256
pixels, the caller decides here.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.perception.measure import Features, Measure
from simulacra.recon.perception.networks import Layer, normalized, vgg_layers
from simulacra.recon.perception.weights import read_tensors

EPSILON = 1e-6
CHANNELS = (3, 64, 128, 256, 512, 512)


class Dists(Measure):
    """The distance, 0..1 or slightly more."""

    least_side = 32

    def features(self, image: Float[Tensor, "h w 3"]) -> Features:
        """The picture and five layers, each ``1 c h w``.

        Raises:
            AssetError: the weights are not here.
        """
        return image.permute(2, 0, 1)[None], *vgg_layers(normalized(image), halve_by_energy)

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """One minus the weighted mean of both similarities."""
        weights = _weights(ours[0].dtype, ours[0].device)
        total = ours[0].new_zeros(())
        for x, y, (alpha, beta) in zip(ours, theirs, weights, strict=True):
            m, n = x.mean((0, 2, 3)), y.mean((0, 2, 3))
            apart, x_rest, y_rest = x - y, x - m.view(1, -1, 1, 1), y - n.view(1, -1, 1, 1)
            spread = (apart - (m - n).view(1, -1, 1, 1)).square().mean((0, 2, 3))
            variances = x_rest.square().mean((0, 2, 3)) + y_rest.square().mean((0, 2, 3))
            total = total + (alpha * (m - n).square() / (m * m + n * n + EPSILON)).sum()
            total = total + (beta * spread / (variances + EPSILON)).sum()
        return total


def halve_by_energy(layer: Layer) -> Layer:
    """The root of the blurred square, at every other place."""
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=layer.dtype, device=layer.device)
    kernel = (taps[:, None] * taps).expand(layer.shape[1], 1, 3, 3)
    blurred = functional.conv2d(layer.square(), kernel, stride=2, padding=1, groups=layer.shape[1])
    return (blurred + 1e-12).sqrt()


@lru_cache(maxsize=4)
def _weights(dtype: torch.dtype, device: torch.device) -> tuple[tuple[Tensor, Tensor], ...]:
    """Of means and of structures, by layer; together they add up to 1."""
    found = read_tensors("dists_weights", ("alpha", "beta"))
    total = found["alpha"].sum() + found["beta"].sum()
    alpha, beta = (
        (found[name].flatten() / total).to(device, dtype).split(CHANNELS) for name in ("alpha", "beta")
    )
    return tuple(zip(alpha, beta, strict=True))
