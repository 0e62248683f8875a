"""A detector for tests that finds nobody, so that no network runs where it is not what is tested."""

from __future__ import annotations

import numpy as np


class Blind:
    """Sees nobody."""

    def detect(self, image: np.ndarray, looks: int) -> None:
        return None

    def track(self, image: np.ndarray, roi: object) -> None:
        return None
