"""Where people are expected in pictures, by what other cameras or neighbouring moments show of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.observe.pose import region_of_body
from simulacra.recon.observe.roi import Roi

# A look is at the person who was expected if its median landmark is within this of where it should be, share of the
# height: detectors err by 0.02 to 0.03, people side by side are 0.3 apart, and what is expected is a moment old.
NEAR = 0.1
# A network that takes the upper half of a body for all of it has four joints of thirteen wrong, or six with the hips;
# an arm that it guesses is two. Of a whole body so many joints are within so much of where they are expected, a share
# of the height: three times what detectors err by.
MOST, WHOLE = 0.8, 0.08
# A second look that errs by nearly as much shows nothing new.
_CLEARLY = 0.7
# The circle about a body reaches this much farther than its outermost landmark: the head's top, the soles.
_REACH = 1.08
_FEWEST = 5
_JOINTS = (0, *range(11, 17), *range(23, 29))
_MIRROR = np.array(POSE33.mirror)


@dataclass(frozen=True)
class ExpectedBodies:
    """Landmarks of people where they should be in the pictures of pinhole cameras.

    Symbols: ``p`` people, ``t`` frames, ``c`` cameras.

    Attributes:
        frames: numbers of the frames.
        cameras: their names.
        px: NaN where somebody is not there or it is not known where.
        chosen: the place of the one who is looked at; the others are in the way.
    """

    frames: tuple[int, ...]
    cameras: tuple[str, ...]
    px: Float[np.ndarray, "p t c 33 2"]
    chosen: int = 0

    def at(self, frame: int, camera: str) -> list[Float[np.ndarray, "33 2"] | None]:
        """Everybody in one picture, the chosen one first; None for who is not there."""
        if frame not in self._rows or camera not in self.cameras:
            return [None] * len(self.px)
        row, column = self._rows[frame], self.cameras.index(camera)
        order = [self.chosen, *(p for p in range(len(self.px)) if p != self.chosen)]
        found = [self.px[p, row, column] for p in order]
        return [px if np.isfinite(px).all(-1).sum() >= _FEWEST else None for px in found]

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {frame: row for row, frame in enumerate(self.frames)}


def region_of_landmarks(px: Float[np.ndarray, "33 2"]) -> Roi:
    """The region that the landmark network should see, about landmarks of which some may be NaN."""
    known = px[np.isfinite(px).all(-1)]
    hips, shoulders = (px[list(pair)].mean(0) for pair in ((23, 24), (11, 12)))
    hip = hips if np.isfinite(hips).all() else known.mean(0)
    up = shoulders - hip if np.isfinite(shoulders).all() else np.array([0.0, -1.0])
    length = float(np.linalg.norm(up))
    up = up / length if length > 1e-6 else np.array([0.0, -1.0])
    reach = _REACH * float(np.linalg.norm(known - hip, axis=-1).max())
    return region_of_body(hip, hip + max(reach, 16.0) * up)


def distance(
    seen: Float[np.ndarray, "33 2"], expected: Float[np.ndarray, "33 2"], share: float = 0.5
) -> float:
    """Within which so many of the joints lie of where they are expected, by default the half of them.

    A share of the expected height; sides may be exchanged.
    """
    joints = list(_JOINTS)
    height = 2 * _REACH * _radius(expected)

    def of(order: Sequence[int]) -> float:
        apart = np.linalg.norm(seen[order] - expected[joints], axis=-1)
        return float(np.nanquantile(apart, share)) / height if np.isfinite(apart).any() else float("inf")

    return min(of(joints), of(_MIRROR[joints].tolist()))


def is_expected(seen: Float[np.ndarray, "33 2"], people: Sequence[Float[np.ndarray, "33 2"] | None]) -> bool:
    """Whether landmarks are where the first of some people is expected, and nearer to that one than to the others."""
    if people[0] is None:
        return False
    own = distance(seen, people[0])
    return own < NEAR and all(own <= distance(seen, other) for other in people[1:] if other is not None)


def is_whole(seen: Float[np.ndarray, "33 2"], expected: Float[np.ndarray, "33 2"]) -> bool:
    """Whether most joints are where they are expected, not only those of half a body."""
    return bool(np.isfinite(seen).any()) and distance(seen, expected, MOST) < WHOLE


def is_better(
    seen: Float[np.ndarray, "33 2"], before: Float[np.ndarray, "33 2"], expected: Float[np.ndarray, "33 2"]
) -> bool:
    """Whether a second look shows a body clearly nearer to where it should be than the first, which may be all NaN."""
    if not np.isfinite(before).any():
        return True
    return distance(seen, expected, MOST) < _CLEARLY * distance(before, expected, MOST)


def _radius(px: Float[np.ndarray, "33 2"]) -> float:
    known = px[np.isfinite(px).all(-1)]
    hips = px[[23, 24]].mean(0)
    hip = hips if np.isfinite(hips).all() else known.mean(0)
    return max(float(np.linalg.norm(known - hip, axis=-1).max()), 1.0)
