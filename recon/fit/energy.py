"""What a shape and poses cost: a sum of independent costs, each a pure function of the body posed once for all.

A cost holds what it compares the body with; `recon.fit.residuals` has the kinds. Each lives in a file of its own in
`recon.fit.costs`, which also says how it is made from what was observed. The sum here is differentiable through the
whole body; the solver (`recon.fit.solve`) has faster ways, and tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, BodyState, Unknowns
from simulacra.render.body import RestBody

Cost = Callable[[BodyState], Tensor]
"""A scalar of a body; differentiable."""


def energy(
    space: BodySpace, unknowns: Unknowns, costs: Sequence[Cost], rest: RestBody | None = None
) -> Float[Tensor, ""]:
    """Total cost.

    Args:
        costs: at least one.
        rest: the shaped body where the shape is not sought, so that it is not built again.
    """
    state = space.state(unknowns, rest)
    return reduce(torch.add, (cost(state) for cost in costs))
