"""From a network's soft mask to one that follows the image: guided filter and a static camera's background.

The pose network segments in 256 x 256 pixels, about a quarter of what the capture has. Two things bring it
to the image's edges. (1) A static camera that sees a moving person sees the background too, now here, now
there: its median over frames without the person, pixel by pixel, says how likely a pixel is background; this
evidence is added to the network's log odds. (2) A guided filter (He et al., "Guided image filtering", TPAMI
2013; subsampled as in "Fast guided filter", 2015) lets the mask's edge fall where the image has one. Both
work at half resolution; only the filter's linear coefficients are brought back to the full one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_SUBSAMPLING = 2
# Filter window and regularisation in subsampled pixels and squared color: edges of about 1 % contrast count.
_RADIUS = 3
_EPSILON = 1e-4
# Log odds of the network's mask are held within these (1 % and 99 %), so that it outvotes the background's
# evidence (at most 2.5) where it is sure: a black sleeve before a black curtain stays.
_MAX_PRIOR = 4.6
_MAX_EVIDENCE = 2.5
# A pixel 3.5 deviations from the background is as likely person as not; 0.8 log odds a deviation.
_NEUTRAL_DEVIATION = 3.5
_EVIDENCE_SLOPE = 0.8
# Color noise that every camera has at least (compression, flicker), of 1.
_NOISE_FLOOR = 0.02
_MIN_SAMPLES = 3
_BLOCK_ROWS = 64
_HAZE = 0.2
# How far the filter reaches, in full pixels; and what the network must think of a pixel near by.
_REACH = 4 * _RADIUS + 1
_POSSIBLE = 0.1


@dataclass(frozen=True)
class Background:
    """What a static camera sees without the person, at half resolution.

    Attributes:
        median: ``h w 3`` color, 0..1.
        deviation: ``h w 3`` robust standard deviation of it.
        known: where the person was away in at least 3 of the frames.
    """

    median: Float[np.ndarray, "h w 3"]
    deviation: Float[np.ndarray, "h w 3"]
    known: Bool[np.ndarray, "h w"]


def shrink(image: Float[np.ndarray, "h w *c"]) -> Float[np.ndarray, "h2 w2 *c"]:
    """The half-resolution image that backgrounds and filters work in."""
    height, width = image.shape[:2]
    size = (max(1, width // _SUBSAMPLING), max(1, height // _SUBSAMPLING))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def learn_background(
    samples: Iterable[tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]],
) -> Background | None:
    """The background behind the person in frames of a static camera.

    Args:
        samples: images and soft masks, full resolution; some 20 frames spread over the capture will do.

    Returns:
        None of fewer than 5 frames.
    """
    images: list[UInt8[np.ndarray, "h w 3"]] = []
    away: list[Bool[np.ndarray, "h w"]] = []
    for image, mask in samples:
        small = shrink(mask)
        reach = 2 * round(0.006 * max(small.shape)) + 1
        near = cv2.dilate((small > 0.1).astype(np.uint8), np.ones((reach, reach), np.uint8))
        images.append(np.round(shrink(image) * 255.0).astype(np.uint8))
        away.append(near == 0)
    if len(images) < 5:
        return None
    parts = [
        _learn_rows(
            [image[i : i + _BLOCK_ROWS] for image in images], [each[i : i + _BLOCK_ROWS] for each in away]
        )
        for i in range(0, len(away[0]), _BLOCK_ROWS)
    ]
    return Background(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _learn_rows(
    images: Sequence[UInt8[np.ndarray, "h w 3"]], away: Sequence[Bool[np.ndarray, "h w"]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median, deviation and what is known of some rows: those of all rows at once are a gigabyte of 4K pictures."""
    stack, free = np.stack(images, axis=-1), np.stack(away, axis=-1)
    # The covered samples sort to the end (as 255, which a true 255 may join: they are equal); quartiles are
    # counted among the free ones.
    ordered = np.sort(np.where(free[:, :, None], stack, np.uint8(255)), axis=-1)
    count = free.sum(axis=-1)
    low, median, high = (_take_rank(ordered, count, quantile) for quantile in (0.25, 0.5, 0.75))
    return median, (high - low) / np.float32(1.349), count >= _MIN_SAMPLES


def _take_rank(
    ordered: UInt8[np.ndarray, "h w 3 n"], count: np.ndarray, quantile: float
) -> Float[np.ndarray, "h w 3"]:
    rank = np.round(quantile * np.maximum(count - 1, 0)).astype(np.int64)
    index = np.broadcast_to(rank[:, :, None, None], (*ordered.shape[:3], 1))
    return (np.take_along_axis(ordered, index, axis=-1)[..., 0] / np.float32(255.0)).astype(np.float32)


def refine_mask(
    image: Float[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w"], background: Background | None = None
) -> Float[np.ndarray, "h w"]:
    """A soft mask with its edges where the image has them.

    Args:
        image: RGB in 0..1.
        mask: the network's, 0..1. Where it is 0 all about, it stays 0.
        background: of the same camera, if it is static.
    """
    rows, columns = _window(mask)
    if rows.stop == 0:
        return np.zeros_like(mask)
    part, color = mask[rows, columns], image[rows, columns]
    small = shrink(part)
    # Undecided pixels, and those within reach of one: elsewhere the network is sure and the filter must not
    # smear.
    unsure = (
        cv2.dilate(((part > 0.02) & (part < 0.98)).astype(np.uint8), np.ones((_REACH, _REACH), np.uint8)) > 0
    )
    if background is not None:
        s = _SUBSAMPLING
        half = (
            slice(rows.start // s, rows.start // s + small.shape[0]),
            slice(columns.start // s, columns.start // s + small.shape[1]),
        )
        small = _add_evidence(shrink(color), small, background, half)
    # The filter leaves a faint haze about the person; what is nearly nothing is nothing.
    filtered = np.clip((_guided_filter(color, small) - _HAZE) / (1.0 - 2.0 * _HAZE), 0.0, 1.0)
    # Nothing appears where the network sees next to nothing, however much it differs from the background.
    possible = np.clip(cv2.dilate(part, np.ones((_REACH, _REACH), np.uint8)) / _POSSIBLE, 0.0, 1.0)
    result = np.zeros_like(mask)
    result[rows, columns] = _remove_islands(np.where(unsure, np.minimum(filtered, possible), part), part)
    return result


def _remove_islands(
    mask: Float[np.ndarray, "h w"], prior: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Drops the pieces in which the network is nowhere sure. Persons behind things are in several pieces."""
    count, pieces = cv2.connectedComponents((mask > 0.05).astype(np.uint8))
    keep = np.zeros(count, dtype=bool)
    keep[np.unique(pieces[prior > 0.8])] = True
    keep[0] = False
    return np.where(keep[pieces], mask, np.float32(0.0))


def _window(mask: Float[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Rows and columns of the person with a margin, even so that halves line up; empty without one."""
    inside = mask > 0.02
    ys, xs = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(ys) == 0:
        return slice(0, 0), slice(0, 0)
    margin = 8 * _RADIUS
    bounds = []
    for first, last, size in ((ys[0], ys[-1], mask.shape[0]), (xs[0], xs[-1], mask.shape[1])):
        low = max(0, int(first) - margin) // _SUBSAMPLING * _SUBSAMPLING
        high = min(size, -(-(int(last) + 1 + margin) // _SUBSAMPLING) * _SUBSAMPLING)
        bounds.append(slice(low, high))
    return bounds[0], bounds[1]


def _add_evidence(
    color: Float[np.ndarray, "h w 3"],
    prior: Float[np.ndarray, "h w"],
    background: Background,
    half: tuple[slice, slice],
) -> Float[np.ndarray, "h w"]:
    median, deviation, known = background.median[half], background.deviation[half], background.known[half]
    height, width = (min(a, b) for a, b in zip(prior.shape, known.shape, strict=True))
    bounded = np.clip(prior, 0.01, 0.99)
    odds = np.clip(np.log(bounded / (1.0 - bounded)), -_MAX_PRIOR, _MAX_PRIOR)
    here = (slice(0, height), slice(0, width))
    distance = np.sqrt((((color[here] - median[here]) / (_NOISE_FLOOR + deviation[here])) ** 2).sum(axis=-1))
    evidence = np.clip((distance - _NEUTRAL_DEVIATION) * _EVIDENCE_SLOPE, -_MAX_EVIDENCE, _MAX_EVIDENCE)
    odds[here] += np.where(known[here], evidence, 0.0)
    return (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)


def _guided_filter(
    image: Float[np.ndarray, "h w 3"], small_mask: Float[np.ndarray, "h2 w2"]
) -> Float[np.ndarray, "h w"]:
    """Fast guided filter with a color guide: in every window, mask = a . color + b. Planes, for speed."""
    color = [np.ascontiguousarray(plane) for plane in cv2.split(image)]
    guide = [cv2.resize(plane, small_mask.shape[::-1], interpolation=cv2.INTER_AREA) for plane in color]
    mean, mean_mask = [_box(plane) for plane in guide], _box(small_mask)
    covariance = [_box(plane * small_mask) - m * mean_mask for plane, m in zip(guide, mean, strict=True)]
    moments = [_box(guide[i] * guide[j]) - mean[i] * mean[j] for i, j in _UPPER]
    slope = _solve_symmetric(moments, covariance, _EPSILON)
    offset = mean_mask - sum(a * m for a, m in zip(slope, mean, strict=True))
    size = (image.shape[1], image.shape[0])
    result = cv2.resize(_box(offset), size, interpolation=cv2.INTER_LINEAR)
    for a, plane in zip(slope, color, strict=True):
        result = result + cv2.resize(_box(a), size, interpolation=cv2.INTER_LINEAR) * plane
    return result


# The six different entries of a symmetric 3 x 3 matrix.
_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def _box(x: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    size = 2 * _RADIUS + 1
    return cv2.blur(x, (size, size), borderType=cv2.BORDER_REFLECT)


def _solve_symmetric(
    upper: Sequence[Float[np.ndarray, "h w"]], right: Sequence[Float[np.ndarray, "h w"]], epsilon: float
) -> list[Float[np.ndarray, "h w"]]:
    """(matrix + epsilon 1)^-1 right, the matrix given by its entries `_UPPER`, by cofactors.

    In float64: the channels of grey images are nearly equal, and float32 would lose the determinant.
    """
    a, b, c, d, e, f = (plane.astype(np.float64) for plane in upper)
    a, d, f = a + epsilon, d + epsilon, f + epsilon
    x, y, z = right
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    scale = 1.0 / (a * aa + b * bb + c * cc)
    rows = ((aa, bb, cc), (bb, dd, ee), (cc, ee, ff))
    return [((u * x + v * y + w * z) * scale).astype(np.float32) for u, v, w in rows]
