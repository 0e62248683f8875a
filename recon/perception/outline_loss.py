"""How far a silhouette's outline is from another's, as a loss: after the boundary loss of Kervadec et al. (MIDL 2019).

Coverage that differs costs the more the farther it lies from the reference's outline: a band of width ``d`` that is
drawn too much or too little costs ``d^2 / 2`` per pixel of outline, where the plain difference of coverage costs
``d``. Small errors are left to that one; what sticks out far, such as a rim of spread Gaussians, is pulled back by a
force that does not fade.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.perception.measure import Features, Measure

# Beyond this a difference is of something else, such as an arm that is not there.
FARTHEST_PX = 8.0


class OutlineLoss(Measure):
    """Square pixels of error per pixel of the reference's outline; 0 where the reference has no outline."""

    of_coverage = True

    def features(self, image: Float[Tensor, "h w"]) -> Features:
        """The coverage itself."""
        return (image,)

    def of_reference(self, image: Float[Tensor, "h w"], mask: Float[Tensor, "h w"] | None) -> Features:
        """The coverage, and what a pixel's difference costs."""
        inside = (image.detach().cpu() > 0.5).numpy().astype(np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        edge = np.count_nonzero(inside & (cv2.erode(inside, cross) == 0))
        if not inside.any() or inside.all() or not edge:
            return image, torch.zeros_like(image)
        far = np.where(
            inside > 0,
            cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
            cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
        )
        # The outline runs between the centers of the pixels on its two sides.
        cost = (far - 0.5).clip(0, FARTHEST_PX) / edge
        return image, torch.from_numpy(cost).to(image)

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """The sum of what all pixels cost."""
        return ((ours[0] - theirs[0]).abs() * theirs[1]).sum()
