"""The records that go into and come out of the Gaussian rasterizer.

Symbols: ``n`` Gaussians, ``k`` spherical-harmonic coefficients (1, 4, 9 or 16), ``c`` cameras, ``h w``
image rows and columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

Mode = Literal["classic", "antialiased"]
# Screen dilation (``eps2d``, px^2) of avatars: small, as many Gaussians lie along an outline, and where their tails add
# up the usual 0.3 puts it half a pixel outwards.
OUTLINE_EPS2D = 0.1
"""How a Gaussian thinner than a pixel is drawn: as opaque as a wide one, or as faint as it is thin."""

Extra = Literal["median_depth", "weights"]
"""What may be measured besides color, alpha and depth, at the cost of one more pass."""

FIELDS = ("means", "quats", "log_scales", "logit_opacities", "sh")


@dataclass(frozen=True)
class Gaussians:
    """Oriented, colored, translucent ellipsoids in the world, in the parameters that an optimiser moves.

    Attributes:
        means: centres, metres.
        quats: orientations wxyz, local to world; any length but zero.
        log_scales: natural logarithm of the standard deviations along the local axes, metres.
        logit_opacities: opacity before the sigmoid.
        sh: real spherical harmonics of the color, in gsplat's order and sign: rgb = max(0, 0.5 + SH(direction)).
    """

    means: Float[Tensor, "n 3"]
    quats: Float[Tensor, "n 4"]
    log_scales: Float[Tensor, "n 3"]
    logit_opacities: Float[Tensor, " n"]
    sh: Float[Tensor, "n k 3"]

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in FIELDS}
        if len(set(counts.values())) != 1:
            raise ValueError(f"the fields of Gaussians differ in length: {counts}")
        if self.sh.shape[1] not in (1, 4, 9, 16):
            raise ValueError(
                f"sh has {self.sh.shape[1]} coefficients a channel; degrees 0 to 3 have 1, 4, 9 or 16"
            )

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, chosen: Tensor | slice) -> Gaussians:
        """The chosen Gaussians (a mask, indices or a slice), in that order."""
        return Gaussians(**{name: getattr(self, name)[chosen] for name in FIELDS})

    def replace(self, **changes: Tensor) -> Gaussians:
        """The same Gaussians with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def to(self, *args: Any, **kwargs: Any) -> Gaussians:
        """The same Gaussians in another type or on another device, as ``Tensor.to``."""
        return Gaussians(**{name: getattr(self, name).to(*args, **kwargs) for name in FIELDS})

    @staticmethod
    def concatenate(parts: Sequence[Gaussians]) -> Gaussians:
        """One record of all parts in their order; their spherical harmonics must be of one degree."""
        if not parts:
            raise ValueError("nothing to concatenate")
        return Gaussians(**{name: torch.cat([getattr(part, name) for part in parts]) for name in FIELDS})


@dataclass(frozen=True)
class ScreenStatistics:
    """What each Gaussian did on each screen; no gradient flows through it.

    Attributes:
        radii: half the longer side of the box, in pixels, outside of which the Gaussian stays below 1/255;
            0 where it is not drawn (behind the near plane, outside the image, or too transparent).
        total_weights: the sum over all pixels of its share ``alpha T`` of the pixel, i.e. the pixels' worth
            of image that it paints; None unless ``"weights"`` were asked for.
        largest_weights: its largest share of any one pixel, 0..1; None likewise. A Gaussian whose share is
            nowhere more than a hundredth or so is hidden or superfluous.
    """

    radii: Float[Tensor, "c n"]
    total_weights: Float[Tensor, "c n"] | None = None
    largest_weights: Float[Tensor, "c n"] | None = None

    @property
    def visible(self) -> Tensor:
        """Whether any camera draws the Gaussian, ``n`` booleans."""
        return (self.radii > 0).any(0)


@dataclass(frozen=True)
class GaussianRendering:
    """Images of one call.

    Attributes:
        rgb_premul: color, premultiplied by alpha; with a background it is already laid over it. Not
            clamped above.
        alpha: coverage, 0..1.
        depth: camera z blended like a color, metres times alpha; see ``expected_depth``.
        screen: per-Gaussian statistics.
        median_depth: camera z, metres, of the centre of the Gaussian at which the transmittance falls to
            one half or less; 0 where it never does. None unless ``"median_depth"`` was asked for.
    """

    rgb_premul: Float[Tensor, "c h w 3"]
    alpha: Float[Tensor, "c h w"]
    depth: Float[Tensor, "c h w"]
    screen: ScreenStatistics
    median_depth: Float[Tensor, "c h w"] | None = None


@dataclass(frozen=True)
class FeatureRendering:
    """Images of one call of ``rasterize_features``; symbol ``f``: channels.

    Attributes:
        features_premul: the Gaussians' features blended like a color; with a background it is already behind them.
        alpha: as in ``GaussianRendering``.
        depth: as in ``GaussianRendering``.
        screen: as in ``GaussianRendering``.
        median_depth: as in ``GaussianRendering``.
    """

    features_premul: Float[Tensor, "c h w f"]
    alpha: Float[Tensor, "c h w"]
    depth: Float[Tensor, "c h w"]
    screen: ScreenStatistics
    median_depth: Float[Tensor, "c h w"] | None = None


def expected_depth(rendering: GaussianRendering | FeatureRendering) -> Float[Tensor, "c h w"]:
    """Camera z, metres, averaged over what each pixel shows; 0 (and no gradient) where nothing is drawn."""
    drawn = rendering.alpha > 0
    return torch.where(drawn, rendering.depth / torch.where(drawn, rendering.alpha, 1), 0)
