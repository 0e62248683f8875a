"""Wasserstein distortion (Qiu, Wagner, Balle, Theis 2023): details must agree where it matters, textures elsewhere.

Around each place the features of a picture have means ``m`` and deviations ``s`` over a neighborhood of width
``sigma``; two pictures differ there by the distance of two normal distributions, the sum over features of ``(m - m')^2
+ (s - s')^2``. With ``sigma`` zero this is the squared difference of the features; with a large one it does not matter
where the hairs of a texture lie, so long as they are as many, as long and as strong. A map of ``sigma`` says what is
which: here it is zero at the person's outline and grows inwards, from its mask.

Neighborhoods are Gaussians by repeated blurring and halving: level ``l`` has a deviation of about ``2^(l-1)`` places. A
place between two levels counts on both, linearly in the logarithm of ``sigma``.

Two kinds of features: layers of VGG16, and complex Gabor filters, which need no weights.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import ClassVar

import cv2
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.perception.measure import Features, Measure
from simulacra.recon.perception.networks import normalized, unit_channels, vgg_layers

# Pixels of the picture: the widest neighborhood, and how far inside the outline it is reached.
WIDEST_PX, INSIDE_PX = 8.0, 32.0
# No root of nothing: the variance of features whose values are of the order of one.
SOFT = 1e-6
# Blurs and halves: a variance of 3/4 of a place.
TAPS = (0.125, 0.375, 0.375, 0.125)
# Gabor filters: octaves, directions, cycles in a pixel, deviation and reach in pixels.
OCTAVES, DIRECTIONS, FREQUENCY, DEVIATION_PX, REACH_PX = 3, 4, 0.25, 2.0, 4
# Luma, and two opponent colors.
OPPONENT = ((0.299, 0.587, 0.114), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))

# Sizes differ from layer to layer.
Layer = Float[Tensor, "1 _c _h _w"]
Map = Float[Tensor, "h w"]


class Wasserstein(Measure):
    """The distance over some features.

    Args:
        sigma_px: width of all neighborhoods in pixels of the picture, at most `WIDEST_PX`; None takes it from the mask
            of the reference, or `WIDEST_PX` where there is none.
    """

    least_side = 32
    # Pixels of the picture from place to place, by layer.
    strides: ClassVar[tuple[int, ...]] = ()

    def __init__(self, sigma_px: float | None = None) -> None:
        self.sigma_px = sigma_px

    def layers(self, image: Float[Tensor, "h w 3"]) -> tuple[Layer, ...]:
        """Features at sizes that are the picture's over `strides`."""
        raise NotImplementedError

    def features(self, image: Float[Tensor, "h w 3"]) -> Features:
        """Of each layer the features, and of each further level their means and deviations, one after the other."""
        found: list[Tensor] = []
        for layer, stride in zip(self.layers(image), self.strides, strict=True):
            found += [layer, *_statistics(layer, _levels(stride))]
        return tuple(found)

    def of_reference(self, image: Float[Tensor, "h w 3"], mask: Map | None) -> Features:
        """`features`, then how much each place counts in each of them."""
        if self.sigma_px is None and mask is not None:
            sigma = sigma_of_mask(mask).to(image)
        else:
            sigma = image.new_full(image.shape[:2], WIDEST_PX if self.sigma_px is None else self.sigma_px)
        return *self.features(image), *self.shares(sigma)

    def shares(self, sigma: Map) -> tuple[Layer, ...]:
        """How much each place counts, of each layer and level; 1 together in each layer."""
        found: list[Tensor] = []
        for stride in self.strides:
            level = (torch.log2((sigma / stride).clamp(min=0.25)) + 1).clamp(0, _levels(stride))
            for number in range(_levels(stride) + 1):
                share = (1 - (level - number).abs()).clamp(min=0)[None, None]
                size = stride * 2**number
                found.append(functional.avg_pool2d(share, size) * (size * size / sigma.numel()))
        return tuple(found)

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """Mean over layers of the mean over places of squared distances."""
        total = ours[0].new_zeros(())
        for a, b, share in zip(ours, theirs[: len(ours)], theirs[len(ours) :], strict=True):
            total = total + ((a - b).square().sum(1, keepdim=True) * share).sum()
        return total / len(self.strides)


class VggWasserstein(Wasserstein):
    """Over four layers of VGG16, each place's channels scaled to a vector of length 1."""

    strides = (1, 2, 4, 8)

    def layers(self, image: Float[Tensor, "h w 3"]) -> tuple[Layer, ...]:
        """The last rectified layers of the first four blocks.

        Raises:
            AssetError: the weights are not here.
        """
        return tuple(
            unit_channels(layer) for layer in vgg_layers(normalized(image), blocks=len(self.strides))
        )


class GaborWasserstein(Wasserstein):
    """Over the picture's opponent colors, and complex Gabor filters of its luma in three octaves: no weights.

    Features are 1 of the largest contrast that a picture of 0..1 can have.
    """

    strides = (1, *(2**octave for octave in range(OCTAVES)))

    def layers(self, image: Float[Tensor, "h w 3"]) -> tuple[Layer, ...]:
        """Colors, then each octave's cosine and sine responses in four directions."""
        colors = torch.einsum("ij,hwj->ihw", image.new_tensor(OPPONENT), image)[None]
        filters, plane, found = _gabor_filters(image.dtype, image.device), colors[:, :1], [colors]
        for octave in range(OCTAVES):
            plane = _halved(plane) if octave else plane
            padded = functional.pad(plane, (REACH_PX,) * 4, mode="replicate")
            found.append(functional.conv2d(padded, filters))
        return tuple(found)


def sigma_of_mask(mask: Map) -> Map:
    """Widths of neighborhoods in pixels: 0 at the outline and outside the person, `WIDEST_PX` from `INSIDE_PX` on."""
    inside = (mask.detach().cpu() > 0.5).numpy().astype("uint8")
    # A picture's edge is no outline.
    distance = torch.from_numpy(cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
    return (distance.clamp(max=INSIDE_PX) * (WIDEST_PX / INSIDE_PX)).to(mask)


def _levels(stride: int) -> int:
    """How many levels beyond the features themselves reach `WIDEST_PX`."""
    return max(0, int(math.log2(WIDEST_PX / stride)) + 1)


def _statistics(layer: Layer, levels: int) -> list[Layer]:
    """Means and deviations of each level, as channels."""
    found: list[Layer] = []
    means, squares = layer, layer.square()
    for _ in range(levels):
        means, squares = _halved(means), _halved(squares)
        variance = (squares - means.square()).clamp(min=0)
        found.append(torch.cat([means, (variance + SOFT).sqrt()], 1))
    return found


def _halved(layer: Layer) -> Layer:
    """Blurred, at every other place; the edge is repeated."""
    channels = layer.shape[1]
    taps = layer.new_tensor(TAPS)
    kernel = (taps[:, None] * taps).expand(channels, 1, 4, 4)
    return functional.conv2d(
        functional.pad(layer, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=channels
    )


@lru_cache(maxsize=4)
def _gabor_filters(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "k 1 s s"]:
    """Cosines without a mean, then sines, in `DIRECTIONS`; 1 for a grating of their own of contrast 1."""
    at = torch.arange(-REACH_PX, REACH_PX + 1, dtype=torch.float64)
    y, x = torch.meshgrid(at, at, indexing="ij")
    bell = torch.exp(-(x * x + y * y) / (2 * DEVIATION_PX**2))
    bell = bell / bell.sum()
    cosines, sines = [], []
    for number in range(DIRECTIONS):
        turn = math.pi * number / DIRECTIONS
        phase = 2 * math.pi * FREQUENCY * (x * math.cos(turn) + y * math.sin(turn))
        cosine = bell * torch.cos(phase)
        cosines.append(4 * (cosine - bell * cosine.sum()))
        sines.append(4 * bell * torch.sin(phase))
    return torch.stack([*cosines, *sines])[:, None].to(device, dtype)
