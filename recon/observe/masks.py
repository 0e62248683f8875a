"""From a network's soft mask to one that follows the image: guided filter and a static camera's background.

The pose network segments in 256 x 256 pixels, about a quarter of what the capture has. Two things bring it
to the image's edges. (1) A static camera that sees a moving person sees the background too, now here, now
there: its median over frames without the person, pixel by pixel, says how likely a pixel is background; this
evidence is added to the network's log odds. (2) A guided filter (He et al., "Guided image filtering", TPAMI
2013; subsampled as in "Fast guided filter", 2015) lets the mask's edge fall where the image has one. Both
work at half resolution; only the filter's linear coefficients are brought back to the full one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_SUBSAMPLING = 2
# Filter window and regularisation in subsampled pixels and squared colour: edges of about 1 % contrast count.
_RADIUS = 3
_EPSILON = 1e-4
# Log odds of the network's mask are held within these (1 % and 99 %), so that it outvotes the background's
# evidence (at most 2.5) where it is sure: a black sleeve before a black curtain stays.
_MAX_PRIOR = 4.6
_MAX_EVIDENCE = 2.5
# A pixel 3.5 deviations from the background is as likely person as not; 0.8 log odds a deviation.
_NEUTRAL_DEVIATION = 3.5
_EVIDENCE_SLOPE = 0.8
# Colour noise that every camera has at least (compression, flicker), of 1.
_NOISE_FLOOR = 0.02
_MIN_SAMPLES = 3
_HAZE = 0.2


@dataclass(frozen=True)
class Background:
    """What a static camera sees without the person, at half resolution.

    Attributes:
        median: ``h w 3`` colour, 0..1.
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
    stack, free = np.stack(images, axis=-1), np.stack(away, axis=-1)
    # The covered samples sort to the end (as 255, which a true 255 may join: they are equal); quartiles are
    # counted among the free ones.
    ordered = np.sort(np.where(free[:, :, None], stack, np.uint8(255)), axis=-1)
    count = free.sum(axis=-1)
    low, median, high = (_ranked(ordered, count, quantile) for quantile in (0.25, 0.5, 0.75))
    return Background(median, (high - low) / np.float32(1.349), count >= _MIN_SAMPLES)


def _ranked(
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
    part, colour = mask[rows, columns], image[rows, columns]
    small = shrink(part)
    # Undecided pixels, and those within reach of one: elsewhere the network is sure and the filter must not
    # smear.
    reach = 4 * _RADIUS + 1
    unsure = (
        cv2.dilate(((part > 0.02) & (part < 0.98)).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    )
    if background is not None:
        s = _SUBSAMPLING
        half = (
            slice(rows.start // s, rows.start // s + small.shape[0]),
            slice(columns.start // s, columns.start // s + small.shape[1]),
        )
        small = _with_evidence(shrink(colour), small, background, half)
        far = shrink(part) < 0.01
        small = np.where(far, 0.0, small).astype(np.float32)
    # The filter leaves a faint haze about the person; what is nearly nothing is nothing.
    filtered = np.clip((_guided(colour, small) - _HAZE) / (1.0 - 2.0 * _HAZE), 0.0, 1.0)
    result = np.zeros_like(mask)
    result[rows, columns] = np.where(unsure, filtered, part)
    return result


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


def _with_evidence(
    colour: Float[np.ndarray, "h w 3"],
    prior: Float[np.ndarray, "h w"],
    background: Background,
    half: tuple[slice, slice],
) -> Float[np.ndarray, "h w"]:
    median, deviation, known = background.median[half], background.deviation[half], background.known[half]
    height, width = (min(a, b) for a, b in zip(prior.shape, known.shape, strict=True))
    bounded = np.clip(prior, 0.01, 0.99)
    odds = np.clip(np.log(bounded / (1.0 - bounded)), -_MAX_PRIOR, _MAX_PRIOR)
    here = (slice(0, height), slice(0, width))
    distance = np.sqrt((((colour[here] - median[here]) / (_NOISE_FLOOR + deviation[here])) ** 2).sum(axis=-1))
    evidence = np.clip((distance - _NEUTRAL_DEVIATION) * _EVIDENCE_SLOPE, -_MAX_EVIDENCE, _MAX_EVIDENCE)
    odds[here] += np.where(known[here], evidence, 0.0)
    return (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)


def _guided(
    image: Float[np.ndarray, "h w 3"], small_mask: Float[np.ndarray, "h2 w2"]
) -> Float[np.ndarray, "h w"]:
    """Fast guided filter with a colour guide: in every window, mask = a . colour + b."""
    guide = cv2.resize(image, small_mask.shape[::-1], interpolation=cv2.INTER_AREA)
    mean, mean_mask = _box(guide), _box(small_mask)
    covariance = _box(guide * small_mask[..., None]) - mean * mean_mask[..., None]
    slope = _solve_symmetric(_second_moments(guide) - _outer(mean), covariance, _EPSILON)
    offset = mean_mask - (slope * mean).sum(axis=-1)
    size = (image.shape[1], image.shape[0])
    slope, offset = (cv2.resize(_box(x), size, interpolation=cv2.INTER_LINEAR) for x in (slope, offset))
    return ((slope * image).sum(axis=-1) + offset).astype(np.float32)


def _box(x: Float[np.ndarray, "h w *c"]) -> Float[np.ndarray, "h w *c"]:
    size = 2 * _RADIUS + 1
    channels = x.shape[-1] if x.ndim == 3 else 1
    if channels <= 4:
        return cv2.blur(x, (size, size), borderType=cv2.BORDER_REFLECT)
    return np.concatenate([_box(x[..., :4]), _box(x[..., 4:]).reshape(*x.shape[:2], -1)], axis=-1)


def _outer(x: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 6"]:
    """The six different products of three channels: rr, rg, rb, gg, gb, bb."""
    return x[..., [0, 0, 0, 1, 1, 2]] * x[..., [0, 1, 2, 1, 2, 2]]


def _second_moments(x: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 6"]:
    return _box(_outer(x))


def _solve_symmetric(
    matrix: Float[np.ndarray, "h w 6"], right: Float[np.ndarray, "h w 3"], epsilon: float
) -> Float[np.ndarray, "h w 3"]:
    """(matrix + epsilon 1)^-1 right, the matrix given by its upper triangle, by cofactors."""
    a, b, c, d, e, f = np.moveaxis(matrix.astype(np.float64), -1, 0)
    a, d, f = a + epsilon, d + epsilon, f + epsilon
    inverse = np.stack(
        [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b], axis=-1
    )
    determinant = a * inverse[..., 0] + b * inverse[..., 1] + c * inverse[..., 2]
    x, y, z = np.moveaxis(right, -1, 0)
    rows = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    solved = np.stack(
        [inverse[..., i] * x + inverse[..., j] * y + inverse[..., k] * z for i, j, k in rows], axis=-1
    )
    return (solved / determinant[..., None]).astype(np.float32)
