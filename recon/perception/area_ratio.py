"""How much larger one silhouette is than another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool


def area_ratio(mask: Bool[np.ndarray, "h w"], reference: Bool[np.ndarray, "h w"]) -> float:
    """Pixels of a silhouette over pixels of its reference: 1 of equal areas, wherever they lie.

    Raises:
        ValueError: the reference is empty.
    """
    if not reference.any():
        raise ValueError("an area relative to an empty silhouette is undefined")
    return np.count_nonzero(mask) / np.count_nonzero(reference)
