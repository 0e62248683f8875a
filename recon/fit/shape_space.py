"""The shape of a person as a vector of standard deviations of a prior.

Phenotypes go through a squashing function, so that every vector is a person; local changes are linear with a
prior that keeps them small, because twenty detector landmarks do not tell a thigh from trousers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.body import BodyModel, BodyShape

Stage = Literal["adult", "child"]
"""Of life: proportions change with age, and one prior wide enough for both would make short adults children."""

# Centre and spread of the squashed value: a young adult of 1.71 m, whose age moves little.
_ADULT = {
    "gender": (0.5, 2.0),
    "age": (0.67, 0.25),
    "muscle": (0.5, 0.9),
    "weight": (0.5, 0.9),
    "height": (0.38, 0.9),
    "proportions": (0.5, 0.9),
    "cupsize": (0.5, 0.5),
    "firmness": (0.5, 0.5),
}
# From two to fourteen.
_CHILD = _ADULT | {"age": (0.2, 0.8), "height": (0.5, 0.9)}
_PHENOTYPES: dict[Stage, dict[str, tuple[float, float]]] = {"adult": _ADULT, "child": _CHILD}
_ANCESTRIES = ("african", "asian", "caucasian")
_PER_ANCESTRY = 0.7
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
        stage: of life, which says where the prior is.
    """

    phenotype_names: tuple[str, ...]
    local_sigma: Float[Tensor, " l"]
    stage: Stage = "adult"

    def __len__(self) -> int:
        return len(self.phenotype_names) + len(self.local_sigma)

    def shape(self, z: Float[Tensor, " s"]) -> BodyShape:
        """The person of a vector."""
        count = len(self.phenotype_names)
        values = dict(zip(self.phenotype_names, z[:count], strict=True))
        ancestry = torch.softmax(_PER_ANCESTRY * torch.stack([values[name] for name in _ANCESTRIES]), 0)
        priors = _PHENOTYPES[self.stage]
        squashed = {name: _squash(values[name], *priors[name]) for name in priors}
        squashed.update(zip(_ANCESTRIES, ancestry, strict=True))
        phenotypes = torch.stack([squashed[name] for name in self.phenotype_names])
        return BodyShape(phenotypes, torch.tanh(z[count:] * self.local_sigma))

    def phenotype_slopes(self, z: Float[Tensor, " s"]) -> Float[Tensor, "p p"]:
        """Derivatives of the phenotypes, columns, by the coordinates that they come from, rows."""
        shape = self.shape(z)
        found = torch.zeros(len(shape.phenotypes), len(shape.phenotypes), dtype=z.dtype)
        ancestry = [self.phenotype_names.index(name) for name in _ANCESTRIES]
        for place, (name, value) in enumerate(zip(self.phenotype_names, shape.phenotypes, strict=True)):
            if name in _PHENOTYPES[self.stage]:
                found[place, place] = value * (1 - value) * _PHENOTYPES[self.stage][name][1]
        share = shape.phenotypes[ancestry]
        change = _PER_ANCESTRY * (torch.diag(share) - share[:, None] * share)
        found[torch.tensor(ancestry)[:, None], torch.tensor(ancestry)] = change
        return found


def _squash(z: Tensor, centre: float, spread: float) -> Tensor:
    return torch.sigmoid(math.log(centre / (1 - centre)) + spread * z)


def shape_space(body: BodyModel, *, face: bool, stage: Stage = "adult") -> ShapeSpace:
    """The shapes that are fitted.

    Args:
        face: also the face's details, which need a face to be seen.
        stage: of life.
    """
    sigma = [
        (_FACE_SIGMA if face else 0.0) if name.startswith(_FACE_PREFIXES) else _LOCAL_SIGMA
        for name in body.local_change_names
    ]
    return ShapeSpace(body.phenotype_names, torch.tensor(sigma, dtype=body.dtype), stage)
