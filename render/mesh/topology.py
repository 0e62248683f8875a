"""Which triangle lies across which edge."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def face_neighbours(faces: Int[Tensor, "f 3"]) -> Int[Tensor, "f 3"]:
    """The triangle across the edge from corner i to corner i + 1, or -1.

    An edge of one triangle, or of more than two, has nobody across: it is always an outline.
    """
    count = len(faces)
    neighbours = faces.new_full((count * 3,), -1, dtype=torch.int64)
    if count == 0:
        return neighbours.reshape(0, 3)
    ends = torch.stack([faces, faces.roll(-1, dims=1)], dim=-1).reshape(-1, 2).long().sort(dim=1).values
    key = ends[:, 0] * (int(faces.max()) + 1) + ends[:, 1]
    _, group, sizes = key.unique(return_inverse=True, return_counts=True)
    order = torch.argsort(group, stable=True)
    paired = order[sizes[group[order]] == 2].reshape(-1, 2)
    neighbours[paired[:, 0]] = paired[:, 1] // 3
    neighbours[paired[:, 1]] = paired[:, 0] // 3
    return neighbours.reshape(count, 3)
