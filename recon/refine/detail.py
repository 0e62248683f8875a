"""Where a person is looked at more closely, by the fitted body: the head and the hands.

Depth cameras do not separate fingers: their edges are all that they have. Silhouettes alone make mittens of them. Where
nothing was measured about a hand, the fitted one says what is between its fingers, with a slack as large as it is off
where something was measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.refine.fusion import Box, Closer
from simulacra.render.body.model import BodyModel
from simulacra.render.mesh import vertex_normals

HEAD = ("face", "scalp", "lips", "ear_l", "ear_r")
HANDS = (("hand_l",), ("hand_r",))
# Room about them, metres: hair stands off the scalp.
HEAD_ROOM, HAND_ROOM = 0.06, 0.02
# A fitted hand speaks for places this near to it, and is believed to this percentile of what was measured there.
REACH_M, SLACK_PERCENTILE = 0.025, 80
LEAST_SLACK_M, MOST_SLACK_M, FEWEST_POINTS = 0.003, 0.012, 100


def closer_parts(
    body: BodyModel, verts: Float[Tensor, "v 3"], measured: Float[np.ndarray, "n 3"]
) -> tuple[Closer, ...]:
    """The head and the hands of a posed body, world, metres.

    Args:
        measured: points that depth cameras saw.
    """
    found = [Closer(_box(body, verts, HEAD, HEAD_ROOM))] if _has(body, HEAD) else []
    for names in HANDS:
        if not _has(body, names):
            continue
        box = _box(body, verts, names, HAND_ROOM)
        found.append(Closer(box, _outside_hand(body, verts, names, measured[box.holds(measured)])))
    return tuple(found)


def _has(body: BodyModel, names: tuple[str, ...]) -> bool:
    """Whether the body tells these parts apart from others: not all bodies do."""
    return bool(_of_parts(body, names).any())


def _box(body: BodyModel, verts: Float[Tensor, "v 3"], names: tuple[str, ...], room: float) -> Box:
    points = verts[_of_parts(body, names)].cpu().numpy().astype(np.float64)
    return Box(points.min(0) - room, points.max(0) + room)


def _of_parts(body: BodyModel, names: tuple[str, ...]) -> Tensor:
    labels = torch.tensor([body.part_names.index(name) for name in names], device=body.device)
    return torch.isin(body.part_labels, labels)


def _outside_hand(
    body: BodyModel, verts: Float[Tensor, "v 3"], names: tuple[str, ...], measured: Float[np.ndarray, "m 3"]
) -> Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]] | None:
    """How far outside the fitted hand places are, its slack taken off; None where it is not known how good it is."""
    faces = body.faces.cpu()
    corners = verts.cpu()[faces]
    normals = torch.nn.functional.normalize(vertex_normals(verts.cpu(), faces)[faces].sum(1), dim=-1).numpy()
    centres = corners.mean(1).numpy()
    of_hand = _of_parts(body, names).cpu()[faces].all(1).numpy()
    tree = cKDTree(centres)

    def outside(places: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        distance, nearest = tree.query(places, distance_upper_bound=REACH_M, workers=1)
        found = np.full(len(places), -np.inf)
        near = np.isfinite(distance)
        near[near] = of_hand[nearest[near]]
        away, face = places[near] - centres[nearest[near]], nearest[near]
        found[near] = np.copysign(distance[near], (away * normals[face]).sum(-1))
        return found

    at_measured = outside(measured.astype(np.float64))
    at_measured = np.abs(at_measured[np.isfinite(at_measured)])
    if len(at_measured) < FEWEST_POINTS:
        return None
    slack = float(np.percentile(at_measured, SLACK_PERCENTILE))
    if slack > MOST_SLACK_M:
        return None
    slack = max(slack, LEAST_SLACK_M)
    return lambda places: outside(places) - slack
