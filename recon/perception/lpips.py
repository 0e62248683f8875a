"""LPIPS (Zhang, Isola, Efros, Shechtman, Wang, CVPR 2018), version 0.1, of AlexNet or VGG16.

At each place of five rectified layers the channels are scaled to a vector of length 1; the squared differences of the
two pictures' vectors, weighted by channel as people's choices taught, are averaged over places and added up over
layers.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from simulacra.recon.perception.measure import Features, Measure
from simulacra.recon.perception.networks import (
    alexnet_layers,
    channel_weights,
    normalized,
    unit_channels,
    vgg_layers,
)

# LPIPS's own: of pictures in -1..1, here as of 0..1.
MEAN = tuple((1 + shift) / 2 for shift in (-0.030, -0.088, -0.188))
DEVIATION = tuple(scale / 2 for scale in (0.458, 0.448, 0.450))


class Lpips(Measure):
    """The distance by one of the two networks; features are scaled so that it is a sum of squared differences.

    Args:
        network: `alex` (fast, nearest to people's choices) or `vgg` (smoother, better to train by).
    """

    # AlexNet's last pooling needs 3 pixels of its second layer's, VGG16's last block one.
    least_side = 32

    def __init__(self, network: Literal["alex", "vgg"]) -> None:
        self.network = network

    def features(self, image: Float[Tensor, "h w 3"]) -> Features:
        """Five layers, each ``1 c h w``."""
        picture = normalized(image, MEAN, DEVIATION)
        if self.network == "alex":
            layers, weights = alexnet_layers(picture), channel_weights("lpips_alex", "AlexNet_0", picture)
        else:
            layers, weights = vgg_layers(picture), channel_weights("lpips_vgg", "VGG16_0", picture)
        return tuple(
            unit_channels(layer) * (weight / layer[0, 0].numel()).sqrt().view(1, -1, 1, 1)
            for layer, weight in zip(layers, weights, strict=True)
        )

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """Sum over layers of the mean over places."""
        total: Tensor = sum(((a - b).square().sum() for a, b in zip(ours, theirs)), ours[0].new_zeros(()))
        return total
