"""What all perceptual measures have in common: a picture becomes features, and two lots of features a distance.

Features of a reference do not depend on what it is compared with, so that whoever compares with it often keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

Features = tuple[Tensor, ...]


class Measure:
    """A distance of two pictures of one size: 0 for equal ones, differentiable in the first.

    Attributes:
        least_side: pixels; of smaller pictures it says nothing.
        of_coverage: whether it looks at silhouettes (``h w``, 0..1) and not at colors.
    """

    least_side: ClassVar[int] = 1
    of_coverage: ClassVar[bool] = False

    def features(self, image: Float[Tensor, "h w *c"]) -> Features:
        """What it sees in a picture: sRGB 0..1 (``h w 3``), or a silhouette."""
        raise NotImplementedError

    def of_reference(self, image: Float[Tensor, "h w *c"], mask: Float[Tensor, "h w"] | None) -> Features:
        """The same of a reference, whose person's mask may be known, and may say where what matters."""
        return self.features(image)

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """The distance; `theirs` are of a reference."""
        raise NotImplementedError

    def __call__(
        self,
        image: Float[Tensor, "h w *c"],
        reference: Float[Tensor, "h w *c"],
        mask: Float[Tensor, "h w"] | None = None,
    ) -> Float[Tensor, ""]:
        """The distance of two pictures; of the reference nothing is learned.

        Args:
            mask: of the person in the reference.

        Raises:
            ValueError: sizes differ, or are too small.
        """
        if image.shape != reference.shape or min(image.shape[:2]) < self.least_side:
            raise ValueError(
                f"{type(self).__name__} compares two pictures of one size, at least {self.least_side} pixels: "
                f"{tuple(image.shape)}, {tuple(reference.shape)}"
            )
        with torch.no_grad():
            theirs = self.of_reference(reference, mask)
        return self.between(self.features(image), theirs)


def score(measure: Measure, image: Float[Tensor, "h w *c"], reference: Float[Tensor, "h w *c"]) -> float:
    """The distance as a number, in float32 and without gradients."""
    with torch.no_grad():
        return measure(image.float(), reference.float()).item()


Factory = Callable[[], Measure]
