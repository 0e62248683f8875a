"""Peak signal-to-noise ratio in dB, for images in 0..1.

``-10 log10(mean squared difference)``, the mean taken over every counted pixel and channel of one view. A
score over several views is the mean of their dB values (as in the 3DGS literature), not the dB of the
pooled error.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def psnr(
    image: Float[Tensor, "h w *c"],
    reference: Float[Tensor, "h w *c"],
    mask: Bool[Tensor, "h w"] | None = None,
) -> Float[Tensor, ""]:
    """PSNR in dB with peak 1; infinite for identical images. The images are compared as they are, not
    clipped.

    Args:
        mask: pixels that count; all of them when absent.

    Raises:
        ValueError: the mask has no pixel, so that there is nothing to measure.
    """
    squared = (image - reference).square()
    if mask is not None:
        if not bool(mask.any()):
            raise ValueError("PSNR under an empty mask is undefined")
        squared = squared[mask]
    return -10.0 * torch.log10(squared.mean())
