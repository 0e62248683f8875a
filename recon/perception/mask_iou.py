"""Intersection over union of two silhouettes (Jaccard 1901)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool


def mask_iou(mask: Bool[np.ndarray, "h w"], reference: Bool[np.ndarray, "h w"]) -> float:
    """Shared pixels over pixels of either, 0..1; two empty masks agree perfectly: 1."""
    union = int(np.count_nonzero(mask | reference))
    return np.count_nonzero(mask & reference) / union if union else 1.0
