"""How finely an avatar is stored: named profiles, from one that nobody tells from the original to a small one.

The balance of the steps among each other was found on a virtual person's avatar, and judged on a captured one
(docs/compression.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Profile = Literal["high", "medium", "small"]


@dataclass(frozen=True)
class Steps:
    """Quantizer steps.

    Attributes:
        tangent: along the surface, in parts of the distance between neighbours.
        height: over the surface, likewise.
        opacity: of the logit.
        size: of the mean of the two larger log scales.
        spin: of the difference of these two.
        flatness: of the smallest log scale below their mean.
        normal: of the normal's stereographic coordinates (about radians).
        color: of luma, 0 to 1; chroma has twice that.
        harmonic: of higher spherical harmonics, likewise.
        barycentric: of the difference between the point that a Gaussian hangs on and the one under it; None where
            the one under it is taken.
    """

    tangent: float
    height: float
    opacity: float
    size: float
    spin: float
    flatness: float
    normal: float
    color: float
    harmonic: float
    barycentric: float | None


def scaled_steps(scale: float, barycentric: float | None) -> Steps:
    """All steps in balance.

    Args:
        scale: 1 is about 60 dB at the head.
        barycentric: of the points that Gaussians hang on.
    """
    return Steps(
        tangent=0.04 * scale,
        height=0.05 * scale,
        opacity=0.5 * scale,
        size=0.032 * scale,
        spin=0.112 * scale,
        flatness=0.144 * scale,
        normal=0.048 * scale,
        color=0.0015 * scale,
        harmonic=0.004 * scale,
        barycentric=barycentric,
    )


PROFILES: Mapping[Profile, Steps] = {
    "high": scaled_steps(0.5, 1 / 20),
    "medium": scaled_steps(1.0, 1 / 10),
    "small": scaled_steps(3.0, None),
}
