"""The convolutions of AlexNet (Krizhevsky 2014) and VGG16 (Simonyan and Zisserman 2015), as trained on ImageNet.

Pictures are ``h w 3`` sRGB in 0..1; layers are ``1 c h w`` after their rectifiers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.perception.weights import convolutions_of

# Of ImageNet's pictures in sRGB, 0..1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
# Convolutions of VGG16 between two poolings.
VGG_BLOCKS = (2, 2, 3, 3, 3)
# AlexNet's: stride and padding, and whether a pooling comes first.
ALEX_LAYERS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))

# Sizes differ from layer to layer.
Layer = Float[Tensor, "1 _c _h _w"]
Pool = Callable[[Tensor], Tensor]


def normalized(
    image: Float[Tensor, "h w 3"], mean: tuple[float, ...] = MEAN, deviation: tuple[float, ...] = DEVIATION
) -> Float[Tensor, "1 3 h w"]:
    """As the networks were trained: mean 0 and deviation 1 of ImageNet's pictures."""
    shifted = (image - image.new_tensor(mean)) / image.new_tensor(deviation)
    return shifted.permute(2, 0, 1)[None]


def alexnet_layers(image: Float[Tensor, "1 3 h w"]) -> tuple[Layer, ...]:
    """All five rectified layers.

    Raises:
        AssetError: the weights are not here.
    """
    convolutions, _ = convolutions_of("lpips_alex", "AlexNet_0", image.dtype, image.device)
    layers, found = image, []
    for (kernel, bias), (stride, padding, pooled) in zip(convolutions, ALEX_LAYERS, strict=True):
        if pooled:
            layers = functional.max_pool2d(layers, 3, 2)
        layers = functional.relu(functional.conv2d(layers, kernel, bias, stride, padding))
        found.append(layers)
    return tuple(found)


def halve_by_maximum(layer: Layer) -> Layer:
    """VGG16's own pooling."""
    return functional.max_pool2d(layer, 2, 2)


def vgg_layers(
    image: Float[Tensor, "1 3 h w"], pool: Pool = halve_by_maximum, blocks: int = 5
) -> tuple[Layer, ...]:
    """The last rectified layer of each block: relu1_2, 2_2, 3_3, 4_3, 5_3.

    Args:
        pool: halves the size between blocks.
        blocks: how many, from the first; the work falls with what is left out.

    Raises:
        AssetError: the weights are not here.
    """
    convolutions, _ = convolutions_of("lpips_vgg", "VGG16_0", image.dtype, image.device)
    layers, found, first = image, [], 0
    for number, count in enumerate(VGG_BLOCKS[:blocks]):
        layers = pool(layers) if number else layers
        for kernel, bias in convolutions[first : first + count]:
            layers = functional.relu(functional.conv2d(layers, kernel, bias, padding=1))
        first += count
        found.append(layers)
    return tuple(found)


def channel_weights(asset: str, network: str, like: Tensor) -> tuple[Tensor, ...]:
    """LPIPS's weights of the channels of each layer, at least 0.

    Raises:
        AssetError: they are not here.
    """
    return convolutions_of(asset, network, like.dtype, like.device)[1]


def unit_channels(layer: Layer) -> Layer:
    """Each place's channels as a vector of length 1; zero where they are all zero."""
    squares = layer.square().sum(1, keepdim=True)
    # A rectified vector of nothing has no gradient either: the floor only keeps it a number.
    return layer * torch.rsqrt(squares.clamp(min=1e-20))
