"""The landmarks that the networks find: names, which mirror each other, which belong together.

Here and not with the code that triangulates them, for they are facts about the networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class LandmarkLayout:
    """The landmarks of one network.

    Attributes:
        names: in the network's order.
        mirror: for each landmark its twin on the person's other side, or itself; empty where it is not known.
        groups: landmarks whose sides may be exchanged together, each closed under ``mirror``.
        parts: landmarks whose errors have a common cause; together all.
        handedness: (left, right, low, high, back, front) sextuples: left - right, high - low and front - back
            of an upright person form a right-handed frame.
    """

    names: tuple[str, ...]
    mirror: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    parts: tuple[tuple[int, ...], ...] = ()
    handedness: tuple[tuple[int, int, int, int, int, int], ...] = ()

    def __len__(self) -> int:
        """How many landmarks there are."""
        return len(self.names)

    @property
    def part_of(self) -> Int[np.ndarray, " k"]:
        """The number of the part that each landmark is of."""
        numbers = np.zeros(len(self), dtype=np.int64)
        for number, part in enumerate(self.parts):
            numbers[list(part)] = number
        return numbers


_FACE = (
    *(
        "nose",
        "left_eye_inner",
        "left_eye",
        "left_eye_outer",
        "right_eye_inner",
        "right_eye",
        "right_eye_outer",
    ),
    *("left_ear", "right_ear", "mouth_left", "mouth_right"),
)
_LIMBS = (
    *("shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
    *("hip", "knee", "ankle", "heel", "foot_index"),
)

POSE33 = LandmarkLayout(
    names=(*_FACE, *(f"{side}_{limb}" for limb in _LIMBS for side in ("left", "right"))),
    mirror=(0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + 1 if i % 2 else i - 1 for i in range(11, 33))),
    groups=(tuple(range(11)), tuple(range(11, 23)), tuple(range(23, 33))),
    # Head, left and right arm, left and right leg, and the trunk.
    parts=(
        tuple(range(11)),
        (13, 15, 17, 19, 21),
        (14, 16, 18, 20, 22),
        (25, 27, 29, 31),
        (26, 28, 30, 32),
        (11, 12, 23, 24),
    ),
    handedness=(
        (7, 8, 9, 3, 7, 0),
        (7, 8, 10, 6, 8, 0),
        (11, 12, 23, 11, 7, 0),
        (11, 12, 24, 12, 8, 0),
        (23, 24, 23, 11, 29, 31),
        (23, 24, 24, 12, 30, 32),
    ),
)
"""MediaPipe's pose landmarks: head, arms and hands, legs and feet; odd ones from 7 on are the person's left."""

HAND21 = LandmarkLayout(
    names=(
        "wrist",
        *(f"thumb_{joint}" for joint in ("cmc", "mcp", "ip", "tip")),
        *(
            f"{finger}_{joint}"
            for finger in ("index", "middle", "ring", "pinky")
            for joint in ("mcp", "pip", "dip", "tip")
        ),
    )
)
"""MediaPipe's landmarks of one hand."""

HANDS42 = LandmarkLayout(
    names=tuple(f"{side}_{name}" for side in ("left", "right") for name in HAND21.names),
    mirror=(*range(21, 42), *range(21)),
    groups=(tuple(range(42)),),
)
"""The left and then the right hand."""

FACE478 = LandmarkLayout(names=tuple(f"face_{number}" for number in range(478)))
"""MediaPipe's face mesh with irises, whose points have numbers only."""
