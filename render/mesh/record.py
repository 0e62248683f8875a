"""What drawing a mesh gives.

Symbols: ``v`` vertices, ``f`` triangles, ``c`` cameras, ``h w`` image rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class MeshRendering:
    """The nearest triangle at every pixel centre.

    Attributes:
        face_index: its row in ``faces``, -1 where there is none.
        barycentrics: of the hit point on the triangle in space (perspective-correct), zero where there is none.
        depth: z along the camera axis in metres, zero where there is none.
    """

    face_index: Int[Tensor, "c h w"]
    barycentrics: Float[Tensor, "c h w 3"]
    depth: Float[Tensor, "c h w"]

    @property
    def covered(self) -> Bool[Tensor, "c h w"]:
        """Whether a triangle is seen there."""
        return self.face_index >= 0
