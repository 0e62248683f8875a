"""Normalized Laplacian pyramid distance (Laparra, Balle, Berardino, Simoncelli, Electronic Imaging 2016).

What the early visual system does: luminance as a pyramid of differences of scales, each divided by a weighted sum of
its neighbors' amplitudes. The filters of that sum and the constants were fitted by the authors to the statistics of
natural pictures, level by level. The distance is the mean over levels of the root mean square difference.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.perception.measure import Features, Measure

LEVELS = 6
TAPS = (0.05, 0.25, 0.4, 0.25, 0.05)
SIGMAS = (0.0248, 0.0185, 0.0179, 0.0191, 0.0220, 0.2782)
# Weights of the neighbors above, left, right and below.
NEIGHBORS = (
    (0.1011, 0.1493, 0.1460, 0.1015),
    (0.0757, 0.1986, 0.1846, 0.0837),
    (0.0477, 0.2138, 0.2243, 0.0467),
    (0.0, 0.2503, 0.2616, 0.0),
    (0.0, 0.2598, 0.2552, 0.0),
    (0.0, 0.2215, 0.0717, 0.0),
)
# Luma of sRGB-encoded colors (BT.601).
LUMA = (0.299, 0.587, 0.114)
# The root has no derivative at zero.
SOFT = 1e-6

# Sizes differ from level to level.
Plane = Float[Tensor, "1 1 _h _w"]


class LaplacianDistance(Measure):
    """The distance; of pictures smaller than 64 pixels the last levels are of a pixel or two."""

    least_side = 16

    def features(self, image: Float[Tensor, "h w 3"]) -> Features:
        """The normalized levels, from the finest."""
        left = (image @ image.new_tensor(LUMA))[None, None]
        levels = []
        for _ in range(LEVELS - 1):
            coarse = _halve(left)
            levels.append(left - _double(coarse, left))
            left = coarse
        return tuple(_normalize(level, number) for number, level in enumerate((*levels, left)))

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """Mean over levels of the root mean square difference."""
        roots = [((a - b).square().mean() + SOFT**2).sqrt() - SOFT for a, b in zip(ours, theirs, strict=True)]
        return torch.stack(roots).mean()


def _kernel(like: Tensor) -> Float[Tensor, "1 1 5 5"]:
    taps = like.new_tensor(TAPS)
    return (taps[:, None] * taps)[None, None]


def _halve(plane: Plane) -> Plane:
    return functional.conv2d(_mirrored(plane, 2), _kernel(plane), stride=2)


def _double(plane: Plane, like: Plane) -> Plane:
    """Zeros between, and blurred: four times the weight, for three of four are zero."""
    height, width = like.shape[2:]
    spread = plane.new_zeros(1, 1, 2 * plane.shape[2], 2 * plane.shape[3])
    spread[..., ::2, ::2] = 4 * plane
    return functional.conv2d(functional.pad(spread, (2, 2, 2, 2)), _kernel(plane))[..., :height, :width]


def _mirrored(plane: Plane, by: int) -> Plane:
    """Symmetric padding: the edge's pixels are repeated in reverse."""
    plane = torch.cat([plane[..., :by].flip(-1), plane, plane[..., -by:].flip(-1)], -1)
    return torch.cat([plane[..., :by, :].flip(-2), plane, plane[..., -by:, :].flip(-2)], -2)


def _normalize(level: Plane, number: int) -> Plane:
    above, left, right, below = NEIGHBORS[number]
    kernel = level.new_tensor([[0, above, 0], [left, 0, right], [0, below, 0]])[None, None]
    return level / (SIGMAS[number] + functional.conv2d(level.abs(), kernel, padding=1))
