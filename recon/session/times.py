"""When frames were taken, and what is assumed where their files do not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from simulacra.recon.session.record import Frame

# Pictures a second of a capture without times, unless its import is told another rate (--fps).
ASSUMED_FPS = 30.0


@np.errstate(over="ignore", invalid="ignore")  # the times of a damaged file may be of any size
def frame_seconds(frames: Sequence[Frame]) -> tuple[Float[np.ndarray, " t"], str | None]:
    """Seconds after the first of rising frames, and what was assumed: `ASSUMED_FPS` and why; None for nothing.

    A frame's time is the mean over its cameras. Where only some frames have one, the others' follow from their numbers.
    """
    index = np.array([frame.index for frame in frames], dtype=np.float64)
    stamps = [[one.time for one in frame.sources.values() if one.time is not None] for frame in frames]
    known = index[[len(found) > 0 for found in stamps]]
    if len(known) > 1:
        times = np.array([np.mean(found) for found in stamps if found])
        held = np.clip(index, known[0], known[-1])
        pace = (times[-1] - times[0]) / (known[-1] - known[0])
        seconds = np.interp(held, known, times) + (index - held) * pace
        if (np.diff(seconds) > 0).all():
            return seconds - seconds[0], None
    why = "times do not rise" if len(known) > 1 else "times are missing"
    assumed = f"{why}: {ASSUMED_FPS:g} pictures a second are assumed"
    return (index - index[0]) / ASSUMED_FPS, assumed if len(frames) > 1 else None
