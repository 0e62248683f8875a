"""A person in one pose, ready to be drawn: what evaluation, turntables and clips need to know, whatever it is made of.

Symbols: ``n`` points, ``c`` cameras, ``h w`` rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians


@runtime_checkable
class Rendered(Protocol):
    """What drawing gives, over no background.

    Attributes:
        rgb_premul: sRGB times coverage.
        alpha: coverage, 0..1.
        depth: metres along the camera's axis, times coverage.
    """

    @property
    def rgb_premul(self) -> Float[Tensor, "c h w 3"]: ...

    @property
    def alpha(self) -> Float[Tensor, "c h w"]: ...

    @property
    def depth(self) -> Float[Tensor, "c h w"]: ...


@runtime_checkable
class Figure(Protocol):
    """Something that cameras see."""

    @property
    def points(self) -> Float[Tensor, "n 3"]:
        """Points of the surface, world, metres: how large it is, and where."""

    def draw(self, cameras: Cameras) -> Rendered:
        """The figure as the cameras see it, over no background."""


@dataclass(frozen=True)
class GaussianFigure:
    """Gaussians in the world."""

    gaussians: Gaussians

    @property
    def points(self) -> Float[Tensor, "n 3"]:
        """The visible ones' means; all where none is visible."""
        means = self.gaussians.means.detach()
        solid = self.gaussians.logit_opacities.detach() > 0
        return means[solid] if bool(solid.any()) else means

    def draw(self, cameras: Cameras) -> Rendered:
        """As they are rasterized for a result."""
        return rasterize_gaussians(self.gaussians, cameras, eps2d=OUTLINE_EPS2D)
