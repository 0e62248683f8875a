"""Offsets of rest vertices by how joints are turned ("pose blend shapes", Loper et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class PoseCorrectives:
    """Offsets that are linear in the turns of some joints on top of their parents.

    Attributes:
        bones: the joints; the first is the root, which corrects nothing.
        parents: of these, as places among them.
        offsets: by element of the turns of all joints but the first, less the identity, row by row; metres.
    """

    bones: Int[Tensor, " j"]
    parents: Int[Tensor, " j"]
    offsets: Float[Tensor, "r v3"]

    def among(self, vertices: Int[Tensor, " n"]) -> PoseCorrectives:
        """The correctives of meshes that have only these vertices, in this order."""
        some = self.offsets.unflatten(-1, (-1, 3))[:, vertices].flatten(1)
        return PoseCorrectives(self.bones, self.parents, some)

    def add_to(
        self, verts: Float[Tensor, "b v 3"], T_skin: Float[Tensor, "b j 4 4"]
    ) -> Float[Tensor, "b v 3"]:
        """Rest vertices, corrected for what the bones do to the skin."""
        world = T_skin[:, self.bones, :3, :3]
        local = world[:, self.parents[1:]].mT @ world[:, 1:]
        turned = (local - torch.eye(3, dtype=local.dtype, device=local.device)).flatten(1)
        return verts + (turned @ self.offsets).unflatten(-1, (-1, 3))
