"""Mean absolute difference of two images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def l1(
    image: Float[Tensor, "h w *c"],
    reference: Float[Tensor, "h w *c"],
    weight: Float[Tensor, "h w"] | None = None,
) -> Float[Tensor, ""]:
    """Mean of ``|image - reference|`` over pixels and channels; differentiable in both.

    Args:
        weight: per pixel, at least 0; the result is the weighted mean. All zero gives 0, so that a view without any
            pixel of interest adds nothing to a loss.
    """
    difference = (image - reference).abs()
    if weight is None:
        return difference.mean()
    if difference.ndim == 3:
        difference = difference.mean(-1)
    total = weight.sum()
    return (difference * weight).sum() / torch.clamp(total, min=torch.finfo(total.dtype).tiny)
