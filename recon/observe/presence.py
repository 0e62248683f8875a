"""Which moments hold the person: somebody walks in after the recorders were started, leaves, and comes back.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

# So many landmarks in a picture are a body in it; so many joints seen alike by cameras fix where it is.
FEWEST_LANDMARKS = 6
# A landmark that the network is less sure to see is a guess.
SURE = 0.3
# Where there are several cameras a body is measured by triangulation, with and without depth: by so many views at once.
# What a check says of the number of cameras is what a fit says.
FEWEST_VIEWS = 2
ONE_CAMERA = (
    "one camera sees one side: what it does not see is a guess, and marked as one; a second camera measures it. "
    "Without depth, fit.stature_m says how tall the person is: the scale is not known otherwise"
)


def views_needed(cameras: int) -> int:
    """How many of so many cameras must see the person at once to measure it."""
    return min(FEWEST_VIEWS, cameras)


def count_views(confidence: Float[np.ndarray, "t c k"]) -> Int[np.ndarray, " t"]:
    """How many cameras see the person in each frame."""
    return ((np.nan_to_num(confidence) > SURE).sum(-1) >= FEWEST_LANDMARKS).sum(-1)


def rank_moments(views: Int[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
    """Rows of the frames, the one that shows the person best first.

    First all frames in which at least the usual number of cameras (the median of those frames that show the person at
    all) see it, in order of time; then the others, by how many do.
    """
    seen = views[views > 0]
    usual = float(np.median(seen)) if len(seen) else 0.0
    return np.argsort(-np.minimum(views, usual), kind="stable")


def name_ranges(frames: Sequence[int], chosen: Bool[np.ndarray, " t"]) -> str:
    """The numbers of some of the frames in words, neighbours together: "0 to 4, 17"; the empty string for none."""
    runs: list[list[int]] = []
    for place in np.flatnonzero(chosen):
        if runs and runs[-1][1] == place - 1:
            runs[-1][1] = int(place)
        else:
            runs.append([int(place), int(place)])
    return ", ".join(f"{frames[a]} to {frames[b]}" if a < b else f"{frames[a]}" for a, b in runs)
