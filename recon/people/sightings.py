"""Everybody in one picture: landmarks of each person that the network finds, and the colors of their clothes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.pose import PoseDetection, PoseNetwork
from simulacra.recon.observe.roi import Roi

# Landmarks that tell people apart: the face's are crowded, hands and toes are guesses in a small picture.
JOINTS = (0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
# Two sets of landmarks nearer than this, on average, are one person's, share of the height.
_SAME = 0.12
_SURE = 0.3
# Regions farther apart than this are of two people, share of the larger.
_APART = 0.15
# Bins a color channel has: clothes are told apart by hue, and cameras differ in brightness.
_BINS = 6
_TRUNK = (11, 12, 24, 23)


@dataclass(frozen=True)
class Sighting:
    """One person in one picture.

    Attributes:
        px: pixels of the pinhole picture.
        visibility: 0..1.
        score: 0..1, that somebody is there.
        height_px: of the circle about the whole body.
        colors: histogram of the trunk's and thighs' colors, sums to 1; 0 where they are not in the picture.
    """

    px: Float[np.ndarray, "33 2"]
    visibility: Float[np.ndarray, "33"]
    score: float
    height_px: float
    colors: Float[np.ndarray, " b"]


def find_everyone(network: PoseNetwork, image: Float[np.ndarray, "h w 3"]) -> list[Sighting]:
    """Everybody in an image (RGB in 0..1), the surest first."""
    looks = [network.predict(image, region) for region in network.find_all(image)]
    return keep_distinct([sight(image, look) for look in looks if look is not None])


def count_people(network: PoseNetwork, image: Float[np.ndarray, "h w 3"]) -> int:
    """How many people a first glance at a whole image shows: those that are large in it."""
    kept: list[Roi] = []
    for region in network.find_all(image, tiles=False):
        apart = [np.hypot(*np.subtract(region.center, other.center)) for other in kept]
        if all(a > _APART * max(region.size[0], o.size[0]) for a, o in zip(apart, kept, strict=True)):
            kept.append(region)
    return len(kept)


def sight(image: Float[np.ndarray, "h w 3"], person: PoseDetection) -> Sighting:
    """What is kept of a detection."""
    height = person.next_roi.size[0] / 1.25
    return Sighting(person.px, person.visibility, person.score, height, clothes_colors(image, person))


def keep_distinct(sightings: Sequence[Sighting]) -> list[Sighting]:
    """One sighting a person: tiles overlap, and each may show the same one."""
    kept: list[Sighting] = []
    for sighting in sorted(sightings, key=lambda s: -s.score * float(s.visibility.mean())):
        if not any(_is_same(sighting, other) for other in kept):
            kept.append(sighting)
    return kept


def _is_same(one: Sighting, other: Sighting) -> bool:
    joints = list(JOINTS)
    seen = np.minimum(one.visibility[joints], other.visibility[joints]) > _SURE
    if seen.sum() < 4:
        seen = np.ones(len(joints), bool)
    apart = np.hypot(*(one.px[joints] - other.px[joints])[seen].T).mean()
    return bool(apart < _SAME * max(one.height_px, other.height_px))


def clothes_colors(image: Float[np.ndarray, "h w 3"], person: PoseDetection) -> Float[np.ndarray, " b"]:
    """Histogram of chromaticity and lightness between shoulders and knees, where the network sees the person."""
    corners = person.px[list(_TRUNK)]
    legs = [(person.px[a], person.px[b]) for a, b in ((23, 25), (24, 26))]
    low = np.floor(np.minimum(corners.min(0), person.px[25:27].min(0))).astype(int).clip(0)
    high = np.ceil(np.maximum(corners.max(0), person.px[25:27].max(0))).astype(int) + 1
    part = image[low[1] : high[1], low[0] : high[0]]
    if part.size == 0:
        return np.zeros(_BINS * 4 * 4)
    inside = np.zeros(part.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull((corners - low).astype(np.int32)), 1)
    width = max(1, int(0.25 * np.hypot(*(corners[0] - corners[1]))))
    for a, b in legs:
        start, end = ([int(v) for v in point - low] for point in (a, b))
        cv2.line(inside, start, end, 1, width)
    pixels = part[inside > 0]
    if not len(pixels):
        return np.zeros(_BINS * 4 * 4)
    total = pixels.sum(1)
    shares = pixels[:, :2] / np.maximum(total, 1e-3)[:, None]
    bins, edges = (_BINS, 4, 4), ((0, 1), (0.2, 0.5), (0.2, 0.5))
    values = np.column_stack([total / 3, shares.clip(0.2, 0.5)])
    found, _ = np.histogramdd(values, bins=bins, range=edges)
    return found.ravel() / max(found.sum(), 1.0)
