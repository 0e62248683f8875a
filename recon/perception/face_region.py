"""The square around the face in a photograph, as the identity network was trained to see it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.face import FaceNetwork

# The landmarks' box as dlib cuts faces out: a quarter of it more on each side.
AROUND = 1.5


class FaceRegions:
    """Finds the face; the networks are loaded when there is a first picture."""

    def __init__(self) -> None:
        self._network: FaceNetwork | None = None

    def find(self, image: Float[np.ndarray, "h w 3"]) -> tuple[int, int, int, int] | None:
        """x0, y0, width and height in pixels, inside the picture; None where no face is seen.

        Raises:
            AssetError: the face networks are not here.
        """
        if self._network is None:
            self._network = FaceNetwork()
        face = self._network(np.ascontiguousarray(image, np.float32))
        if face is None:
            return None
        low, high = face.px[:468].min(0), face.px[:468].max(0)
        side = int(min(AROUND * float((high - low).max()), *image.shape[:2]))
        x0, y0 = (round(float(middle) - side / 2) for middle in (low + high) / 2)
        height, width = image.shape[:2]
        return min(max(0, x0), width - side), min(max(0, y0), height - side), side, side
