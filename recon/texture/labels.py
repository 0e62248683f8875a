"""The photograph that each triangle is taken from: the one that shows it best, with little patchwork.

Symbols: ``p`` photographs, ``v`` vertices, ``f`` triangles.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

# Rounds in which each triangle's scores are mixed with those around: patches of a few triangles go.
ROUNDS = 12
UNSEEN = -1


def choose_labels(scores: Float[np.ndarray, "p v"], faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, " f"]:
    """A photograph for each triangle, all of whose corners it shows; `UNSEEN` for one that none does.

    Args:
        scores: how well each photograph shows each vertex, 0 for not at all.
    """
    count = len(faces)
    corner = sparse.csr_matrix(
        (np.ones(faces.size), (np.repeat(np.arange(count), 3), faces.ravel())), (count, scores.shape[1])
    )
    touching = np.bincount(faces.ravel(), minlength=scores.shape[1])
    around = sparse.diags(1 / np.maximum(touching, 1)) @ corner.T
    own = scores[:, faces].min(2).T
    mixed = own.copy()
    for _ in range(ROUNDS):
        mixed = np.where(own > 0, corner @ (around @ mixed) / 3, 0)
    best = mixed.argmax(1)
    return np.where(mixed[np.arange(count), best] > 0, best, UNSEEN)
