"""The costs of the fit, one a file.

A cost is added by a file with a record of one of the kinds of `recon.fit.residuals` and a function that makes it, and
by naming that function in `MAKERS`. Vertices beyond the outer skin and the landmarks' are asked for in
`recon.fit.piece`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.costs.depth import make_depth_cost
from simulacra.recon.fit.costs.floor import make_floor_cost
from simulacra.recon.fit.costs.hidden import make_hidden_cost, make_lens_cost
from simulacra.recon.fit.costs.landmarks import make_landmark_cost
from simulacra.recon.fit.costs.lifted import make_lifted_cost
from simulacra.recon.fit.costs.mask import make_mask_cost
from simulacra.recon.fit.costs.motion import make_motion_cost
from simulacra.recon.fit.costs.outline import make_outline_cost
from simulacra.recon.fit.costs.priors import make_prior_cost
from simulacra.recon.fit.costs.stature import make_stature_cost
from simulacra.recon.fit.energy import Cost
from simulacra.recon.fit.evidence import Evidence, Round

Maker = Callable[[Evidence, Round, BodyState], Cost | None]
"""Called before each round with the body as it is then; None where there is nothing to compare it with."""

MAKERS: tuple[Maker, ...] = (
    make_landmark_cost,
    make_prior_cost,
    make_motion_cost,
    make_mask_cost,
    make_outline_cost,
    make_depth_cost,
    make_floor_cost,
    make_hidden_cost,
    make_lens_cost,
    make_lifted_cost,
    make_stature_cost,
)


def make_costs(
    evidence: Evidence, this: Round, state: BodyState, own: Sequence[Maker] = ()
) -> tuple[Cost, ...]:
    """The costs of one round of optimisation.

    Args:
        own: makers of the caller's own costs, after those of `MAKERS`.
    """
    made = (make(evidence, this, state) for make in (*MAKERS, *own))
    return tuple(cost for cost in made if cost is not None)
