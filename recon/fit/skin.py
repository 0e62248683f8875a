"""Which vertices stand for the body's surface."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from simulacra.render.body import BodyModel

INNER_PARTS = ("mouth_cavity", "tongue", "eye_l", "eye_r", "eye_socket_l", "eye_socket_r")
"""What nobody sees from outside."""


def surface_vertices(body: BodyModel, count: int) -> Int[Tensor, " m"]:
    """About ``count`` outer vertices, evenly over the body: the one nearest to the middle of each cell of a grid."""
    inner = [body.part_names.index(name) for name in INNER_PARTS]
    outer = torch.nonzero(~torch.isin(body.part_labels, torch.tensor(inner))).squeeze(-1)
    points = body.rest(body.neutral_shape()).verts.detach()[outer].double().numpy()
    low, high = 0.002, 0.3
    for _ in range(30):  # the number of occupied cells falls as cells grow
        side = 0.5 * (low + high)
        cells = len(np.unique(np.floor(points / side).astype(int), axis=0))
        low, high = (side, high) if cells > count else (low, side)
    cell = np.floor(points / high).astype(int)
    distance = np.linalg.norm(points / high - cell - 0.5, axis=-1)
    order = np.lexsort((distance, cell[:, 2], cell[:, 1], cell[:, 0]))
    _, first = np.unique(cell[order], axis=0, return_index=True)
    return torch.sort(outer[torch.from_numpy(order[first])]).values
