"""What is known of the cameras' clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

Witness = Literal["motion", "sound"]


@dataclass(frozen=True)
class CameraClock:
    """One camera's clock against the common one.

    Attributes:
        offset: the common time at which this clock shows 0, seconds: larger for a camera that was started later.
        error: standard error of it, seconds.
        drift: seconds that this clock loses in a second of the common one; 0 where none is seen.
        by: what the offset rests on.
    """

    offset: float
    error: float
    drift: float
    by: Witness

    def common(self, own: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Common times of times by this clock, seconds."""
        return self.offset + (1 + self.drift) * own


@dataclass(frozen=True)
class Synchronisation:
    """The clocks of all cameras of a session.

    Attributes:
        clocks: by camera; common time 0 is at the first picture, or within a frame of it.
        began: common time of each camera's first picture, seconds.
        intervals: usual interval of each camera's pictures, seconds.
        notes: what was seen that a person should know.
    """

    clocks: Mapping[str, CameraClock]
    began: Mapping[str, float]
    intervals: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            name: {
                "began_s": self.began[name],
                "began_frames": self.began[name] / self.intervals[name],
                "offset_s": clock.offset,
                "standard_error_s": clock.error,
                "drift_ppm": 1e6 * clock.drift,
                "by": clock.by,
            }
            for name, clock in self.clocks.items()
        }
