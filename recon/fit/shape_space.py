"""The shape of a person as a vector of standard deviations of a prior.

Phenotypes go through a squashing function, so that every vector is a person; local changes are linear with a
prior that keeps them small, because twenty detector landmarks do not tell a thigh from trousers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.body import BodyModel, BodyShape

# Centre and spread of the squashed value: a young adult of 1.71 m; age moves little.
_PHENOTYPES = {
    "gender": (0.5, 2.0),
    "age": (0.67, 0.25),
    "muscle": (0.5, 0.9),
    "weight": (0.5, 0.9),
    "height": (0.38, 0.9),
    "proportions": (0.5, 0.9),
    "cupsize": (0.5, 0.5),
    "firmness": (0.5, 0.5),
}
_ANCESTRIES = ("african", "asian", "caucasian")
_LOCAL_SIGMA = 0.25
_FACE_SIGMA = 0.35
# Names of local changes of the head begin with these.
_FACE_PREFIXES = (
    "head-", "forehead-", "chin-", "cheek-", "ear-", "eyebrows-", "eye-", "nose-", "mouth-", "neck-double",
)  # fmt: skip


@dataclass(frozen=True)
class ShapeSpace:
    """Shapes as vectors: eight phenotypes, three ancestries, then every local change.

    Attributes:
        phenotype_names: in the body's order.
        local_sigma: spread of each local change; 0 where it is not fitted.
    """

    phenotype_names: tuple[str, ...]
    local_sigma: Float[Tensor, " l"]

    def __len__(self) -> int:
        return len(self.phenotype_names) + len(self.local_sigma)

    def shape(self, z: Float[Tensor, " s"]) -> BodyShape:
        """The person of a vector."""
        count = len(self.phenotype_names)
        values = dict(zip(self.phenotype_names, z[:count], strict=True))
        ancestry = torch.softmax(0.7 * torch.stack([values[name] for name in _ANCESTRIES]), 0)
        squashed = {name: _squash(values[name], *_PHENOTYPES[name]) for name in _PHENOTYPES}
        squashed.update(zip(_ANCESTRIES, ancestry, strict=True))
        phenotypes = torch.stack([squashed[name] for name in self.phenotype_names])
        return BodyShape(phenotypes, torch.tanh(z[count:] * self.local_sigma))


def _squash(z: Tensor, centre: float, spread: float) -> Tensor:
    return torch.sigmoid(math.log(centre / (1 - centre)) + spread * z)


def shape_space(body: BodyModel, *, face: bool) -> ShapeSpace:
    """The shapes that are fitted.

    Args:
        face: also the face's details, which need a face to be seen.
    """
    sigma = [
        (_FACE_SIGMA if face else 0.0) if name.startswith(_FACE_PREFIXES) else _LOCAL_SIGMA
        for name in body.local_change_names
    ]
    return ShapeSpace(body.phenotype_names, torch.tensor(sigma, dtype=body.dtype))
