"""One person in one picture: the largest, or the one who is expected there, and that one's part of a mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.consensus import predict_repeatedly
from simulacra.recon.observe.expected import is_expected, region_of_landmarks
from simulacra.recon.observe.pose import PoseDetection, PoseNetwork, region_of_mask
from simulacra.recon.observe.roi import Roi
from simulacra.recon.observe.separate import separate_mask, separate_soft
from simulacra.recon.observe.soft_mask import SoftMask

Image = Float[np.ndarray, "h w 3"]
Mask = Float[np.ndarray, "h w"]
# Landmarks of everybody in one picture, of the chosen one first; None of who is not there.
Expected = Sequence[Float[np.ndarray, "33 2"] | None]

# Where somebody is expected the network need not be so sure: that they are there is known.
_EXPECTED_SCORE = 0.3


def find_alone(
    network: PoseNetwork, image: Image, own_mask: Callable[[], Mask | None], looks: int
) -> PoseDetection | None:
    """The largest person; where the detector finds nobody, by the session's mask.

    Args:
        own_mask: reads that mask.
        looks: times that the network runs.
    """
    roi: Roi | None = network.find(image)
    if roi is None:
        own = own_mask()
        roi = None if own is None else region_of_mask(own)
    return None if roi is None else predict_repeatedly(network, image, roi, looks=looks)


def find_expected(network: PoseNetwork, image: Image, people: Expected, looks: int) -> PoseDetection | None:
    """The chosen one where they are expected; None where they are not, or the look is at somebody else."""
    if people[0] is None:
        return None
    region = region_of_landmarks(people[0])
    found = predict_repeatedly(network, image, region, looks=looks, min_score=_EXPECTED_SCORE)
    return found if found is not None and is_expected(found.px, people) else None


def own_part(
    network: PoseNetwork,
    image: Image,
    mask: SoftMask | Mask,
    person: PoseDetection | None,
    people: Expected,
) -> SoftMask | Mask:
    """A mask without the other people; empty where the chosen one is not there."""
    own = person.px if person is not None else people[0]
    others = [other for other in people[1:] if other is not None]
    if own is None:
        return mask if isinstance(mask, SoftMask) else np.zeros_like(mask)
    if not isinstance(mask, SoftMask):
        return separate_mask(mask, own, others)
    seen = []
    for other in others:
        region = region_of_landmarks(other)
        if not _overlap(region, mask.roi):
            continue
        look = network.predict(image, region, min_score=_EXPECTED_SCORE)
        theirs = None if look is None or not is_expected(look.px, [other, own]) else look
        seen.append((other, None) if theirs is None else (theirs.px, theirs.soft_mask))
    return separate_soft(mask, own, seen) if seen else mask


def _overlap(one: Roi, other: Roi) -> bool:
    apart = np.abs(np.subtract(one.center, other.center))
    return bool((apart < 0.5 * (np.array(one.size) + other.size)).all())
