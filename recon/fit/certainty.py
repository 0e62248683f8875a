"""How sure the fit is of joints: covariances out of its normal equations.

The energy is read as ``-2 log p``, priors included, so that the covariance of the unknowns is twice the inverse of its
second derivatives (Gauss and Newton's, at the solution); what is unknown of the shape counts in every frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.fit.blocks import Inverse
from simulacra.recon.fit.body_space import Unknowns
from simulacra.recon.fit.chain import BodyChain
from simulacra.recon.fit.energy import Cost
from simulacra.recon.fit.solve import BodyProblem, Free
from simulacra.render.body import RestBody

JOINTS = (
    "root", "neck01", "head", "upperarm01.L", "lowerarm01.L", "wrist.L", "upperarm01.R", "lowerarm01.R", "wrist.R",
    "upperleg01.L", "lowerleg01.L", "foot.L", "upperleg01.R", "lowerleg01.R", "foot.R",
)  # fmt: skip
"""The bones whose heads are spoken of: hips, knees, ankles, shoulders, elbows, wrists, neck and head."""
_WORDS = {
    "root": "pelvis", "neck01": "neck", "upperarm01": "shoulder", "lowerarm01": "elbow", "upperleg01": "hip",
    "lowerleg01": "knee", "foot": "ankle",
}  # fmt: skip
_SHARED = frozenset({"shape", "bias"})


def joint_covariances(
    chain: BodyChain, costs: Sequence[Cost], free: Free, rest: RestBody, found: Unknowns
) -> Float[np.ndarray, "t j 3 3"] | None:
    """Of the heads of `JOINTS` in every frame, world axes, square metres; None where the equations do not say.

    Args:
        costs: those of the last round.
        free: what was sought; shape and offsets of landmarks count even where they were fixed by then.
        rest: the body that ``found`` shapes.
    """
    problem = BodyProblem(chain, costs, replace(free, names=free.names | _SHARED, kept_frames=0), rest, found)
    try:
        inverse = problem.linearise(found)[1].inverse()
    except np.linalg.LinAlgError:
        return None
    names = chain.space.body.bone_names
    moves = problem.heads(found, np.array([names.index(name) for name in JOINTS]))
    return 2 * _carried(moves, inverse, problem.columns.per_frame, problem.columns.shape)


def certainty_sentence(spread_mm: Mapping[str, float]) -> str:
    """One sentence on the surest and the least sure joint; nothing where nothing is known.

    Args:
        spread_mm: standard deviation of each joint's place, millimetres.
    """
    if not spread_mm:
        return ""
    least, most = (pick(spread_mm, key=lambda name: spread_mm[name]) for pick in (min, max))
    words = [f"{_word(name)} {spread_mm[name]:.0f} mm" for name in (least, most)]
    return f"By the fit's own covariances joints are known to one standard deviation of {words[0]} to {words[1]}."


def _word(bone: str) -> str:
    stem = bone.split(".")[0]
    return _WORDS.get(stem, stem)


def _carried(
    moves: Float[np.ndarray, "t j 3 w"], inverse: Inverse, own: int, shape: int
) -> Float[np.ndarray, "t j 3 3"]:
    """Covariances of points from those of what moves them."""
    found = np.zeros((*moves.shape[:2], 3, 3))
    for t, each in enumerate(moves):
        frame, shared = each[..., :own], each[..., own:]
        cross = np.einsum("jap,ps,jbs->jab", frame, inverse.mixed[t][:, :shape], shared, optimize=True)
        found[t] = np.einsum("jap,pq,jbq->jab", frame, inverse.frames[t], frame, optimize=True)
        found[t] += cross + cross.swapaxes(1, 2)
        found[t] += np.einsum(
            "jas,su,jbu->jab", shared, inverse.shared[:shape, :shape], shared, optimize=True
        )
    return found
