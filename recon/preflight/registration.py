"""Where depth and picture disagree about the person's outline: a shift, or another moment altogether."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.preflight.record import Check, check_values
from simulacra.recon.preflight.samples import shrink_to

# Longest side at which outlines are compared, and how far shifts are tried there, pixels.
SIDE, REACH = 512, 16
# Depth this much behind or before the person's own is background, metres over the distance.
BESIDE = 0.25


def outline_shift(
    inside: Bool[np.ndarray, "h w"], depth: Float[np.ndarray, "h w"]
) -> tuple[float, float, float]:
    """Shift of the depth's outline against the mask's (x, y, shares of the longer side), and their overlap there.

    The person in the depth is what lies at the distance of the mask's inside. The overlap is intersection over union;
    a shift is only one if it makes that clearly better.
    """
    known = (depth > 0) & inside
    if known.sum() < 50:
        return 0.0, 0.0, 0.0
    middle = float(np.median(depth[known]))
    near = (depth > 0) & (np.abs(depth - middle) < BESIDE * middle)
    mask, person = (np.pad(shrink_to(a.astype(np.float32), SIDE), REACH) for a in (inside, near))
    # Only depth about the mask counts: the floor and other people are at the person's distance too.
    about = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8))
    person = person * about
    core = mask[REACH:-REACH, REACH:-REACH]
    # How much of both is shared at every shift.
    table = cv2.matchTemplate(person, core, cv2.TM_CCORR).astype(np.float64)
    total = float(core.sum()) + float(person.sum())
    table /= np.maximum(total - table, 1e-6)
    dy, dx = divmod(int(table.argmax()), table.shape[1])
    best, here = float(table[dy, dx]), float(table[REACH, REACH])
    # Less than one part in a hundred of the outline is the edge's own noise.
    if best - here < 0.01:
        return 0.0, 0.0, here
    longest = max(core.shape)
    return (dx - REACH) / longest, (dy - REACH) / longest, best


def check_registration(outlines: Mapping[str, Sequence[tuple[float, float, float]]]) -> list[Check]:
    """The two checks of every camera's outlines; the median over its frames."""
    shifts = {
        name: 100 * float(np.hypot(np.median([s[0] for s in of]), np.median([s[1] for s in of])))
        for name, of in outlines.items()
    }
    overlaps = {name: float(np.median([s[2] for s in of])) for name, of in outlines.items()}
    said = {
        name: ", ".join(
            f"{100 * float(np.median([s[k] for s in of])):+.1f} % {axis}" for k, axis in ((0, "x"), (1, "y"))
        )
        for name, of in outlines.items()
    }
    worst = max(shifts, key=lambda n: shifts[n]) if shifts else ""
    return [
        # Depth pixels are several color pixels wide: half a per cent of the image is one of them.
        *check_values(
            "depth-registration", shifts, warn=lambda v: v > 0.6, fail=lambda v: v > 2.0, unit="% of the image",
            limit="<= 0.6, fails over 2", remedy="depth is not aligned to color: use the recorder's aligned depth",
            evidence=f"{worst}: {said[worst]}" if worst and shifts[worst] > 0.6 else "",
        ),
        *check_values(
            "depth-frame", overlaps, warn=lambda v: v < 0.75, fail=lambda v: v < 0.5, worse=lambda v: -v,
            unit="overlap of outlines", limit=">= 0.75, fails under 0.5",
            remedy="depth, picture and mask are not of one frame and camera: import again",
        ),
    ]  # fmt: skip
