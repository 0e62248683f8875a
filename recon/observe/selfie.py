"""A person at a desk or a portrait, told from the background: MediaPipe's selfie segmentation.

Source: MediaPipe 0.10.21, `modules/selfie_segmentation`, general model: the whole image squeezed to a square.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.network import Network
from simulacra.recon.observe.roi import Roi, crop
from simulacra.recon.observe.soft_mask import SoftMask


class SelfieNetwork:
    """Segments head and shoulders. Holds an interpreter: one object per thread."""

    def __init__(self, threads: int = 1) -> None:
        """Loads `selfie_segmentation`.

        Raises:
            AssetError, MissingExtraError: see `Network`.
        """
        self._network = Network.load("selfie_segmentation", threads)

    def __call__(self, image: Float[np.ndarray, "h w 3"], roi: Roi | None = None) -> SoftMask:
        """The person in an image or in a region of it.

        Args:
            image: RGB in 0..1.
            roi: what to show the network; the whole image, stretched to a square, if None.
        """
        height, width = image.shape[:2]
        roi = Roi((width / 2.0, height / 2.0), (float(width), float(height))) if roi is None else roi
        side = self._network.width
        outputs = self._network.predict(crop(image, roi, side, side, replicate=True))
        return SoftMask(np.clip(outputs["activation_10"][..., 0], 0.0, 1.0), roi)
