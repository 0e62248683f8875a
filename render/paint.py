"""What gives a mesh its colors: a picture in its texture coordinates, or learned features there and a small decoder.

A paint is a record of tensors that turns what the rasterizer knows of a pixel into a color; a training moves the
tensors, a file keeps them by name. Another kind of paint is another class with the same three members.

Symbols: ``th tw`` rows and columns of a texture, ``c`` cameras, ``h w`` of a picture, ``d`` features, ``k`` hidden
units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simulacra.render.mesh import build_mips, sample_texture

# Numbers of a view direction that the decoder sees: x, y, z at rest, and how frontal.
DIRECTIONS = 4


@dataclass(frozen=True)
class Pixels:
    """What is known of each pixel of a drawn mesh.

    Attributes:
        uvs: texture coordinates.
        levels: how far down the mip levels to look.
        covered: whether there is a surface.
        towards: unit direction to the camera in the axes of the person at rest, and its cosine to the normal; None
            where nobody asked.
    """

    uvs: Float[Tensor, "c h w 2"]
    levels: Float[Tensor, "c h w"]
    covered: Bool[Tensor, "c h w"]
    towards: Float[Tensor, "c h w 4"] | None = None


@runtime_checkable
class Paint(Protocol):
    """Colors for a mesh."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of what is sampled."""

    @property
    def directional(self) -> bool:
        """Whether colors depend on where they are seen from."""

    def tensors(self) -> dict[str, Tensor]:
        """All that it is made of, by name."""

    def shade(self, pixels: Pixels) -> Float[Tensor, "c h w 3"]:
        """sRGB, differentiable in the tensors; zero where there is no surface."""


@dataclass(frozen=True)
class TexturePaint:
    """A picture, sRGB 0..1; the first row is v = 1."""

    texture: Float[Tensor, "th tw 3"]

    @property
    def size(self) -> tuple[int, int]:
        return self.texture.shape[0], self.texture.shape[1]

    @property
    def directional(self) -> bool:
        return False

    def tensors(self) -> dict[str, Tensor]:
        return {"texture": self.texture}

    def shade(self, pixels: Pixels) -> Float[Tensor, "c h w 3"]:
        return sample_texture(
            build_mips(self.texture), pixels.uvs, levels=pixels.levels, mask=pixels.covered, wrap="clamp"
        )


@dataclass(frozen=True)
class NeuralPaint:
    """A picture, and features beside it that a decoder turns into what changes with the direction.

    After Thies, Zollhöfer and Nießner, "Deferred neural rendering: image synthesis using neural textures" (2019), with
    a decoder that sees a pixel alone: what it adds is the same from near and far, and in every pose.

        color = texture + tanh(W2 relu(W1 [features, direction] + b1) + b2) / 2

    Attributes:
        texture: sRGB 0..1.
        features: of each texel.
        w1: hidden units by features and directions.
        b1: of the hidden units.
        w2: colors by hidden units; zeros in the beginning: nothing is added.
        b2: of the colors.
    """

    texture: Float[Tensor, "th tw 3"]
    features: Float[Tensor, "fh fw d"]
    w1: Float[Tensor, "k d4"]
    b1: Float[Tensor, "k"]
    w2: Float[Tensor, "3 k"]
    b2: Float[Tensor, "3"]

    @property
    def size(self) -> tuple[int, int]:
        return self.texture.shape[0], self.texture.shape[1]

    @property
    def directional(self) -> bool:
        return True

    def tensors(self) -> dict[str, Tensor]:
        return dict(vars(self))

    def shade(self, pixels: Pixels) -> Float[Tensor, "c h w 3"]:
        if pixels.towards is None:
            raise ValueError("these colors depend on the direction, and none is given")
        plain = TexturePaint(self.texture).shade(pixels)
        sampled = sample_texture(self.features, pixels.uvs, mask=pixels.covered, wrap="clamp")
        known = torch.cat([sampled, pixels.towards], -1)[pixels.covered]
        hidden = torch.relu(known @ self.w1.T + self.b1)
        added = torch.zeros_like(plain)
        added[pixels.covered] = torch.tanh(hidden @ self.w2.T + self.b2) / 2
        return plain + added


def plain_neural(
    texture: Float[Tensor, "th tw 3"], size: int, features: int, hidden: int, seed: int
) -> NeuralPaint:
    """A neural paint that as yet shows the texture alone.

    Args:
        size: rows and columns of the features.
    """
    generator = torch.Generator().manual_seed(seed)
    width = features + DIRECTIONS
    return NeuralPaint(
        texture,
        0.1 * torch.randn(size, size, features, generator=generator),
        torch.randn(hidden, width, generator=generator) / width**0.5,
        torch.zeros(hidden),
        torch.zeros(3, hidden),
        torch.zeros(3),
    )


PAINTS: Mapping[str, type[TexturePaint] | type[NeuralPaint]] = {
    "texture": TexturePaint,
    "neural_texture": NeuralPaint,
}


def paint_kind(paint: Paint) -> str:
    """The name of a paint in `PAINTS`."""
    return next(name for name, kind in PAINTS.items() if type(paint) is kind)
