"""Single-shot detectors: anchors, box decoding and weighted non-maximum suppression, as MediaPipe
configures them.

Source: MediaPipe 0.10.21, `ssd_anchors_calculator.cc` (with fixed anchor size, so an anchor is only a
centre), `tensors_to_detections_calculator.cc` and `non_max_suppression_calculator.cc` (algorithm WEIGHTED,
overlap INTERSECTION_OVER_UNION).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.network import Network, sigmoid
from simulacra.recon.observe.roi import Roi, crop, points_to_image


@dataclass(frozen=True)
class Detection:
    """A box found in an image, in image pixels.

    Positions are MediaPipe's own, half a detector pixel right and below of where they were read (see
    `Roi.sampled_as_mediapipe`): they only place regions, and landmark networks answer a moved region
    differently.

    Attributes:
        center: x, y of the box.
        size: width, height of the box, along the axes of the region that was searched.
        keypoints: ``k 2``; what they are depends on the detector.
        score: 0..1.
    """

    center: Float[np.ndarray, "2"]
    size: Float[np.ndarray, "2"]
    keypoints: Float[np.ndarray, "k 2"]
    score: float


@dataclass(frozen=True)
class Detector:
    """How one detection network is to be read.

    Attributes:
        network: takes the square crop.
        strides: pixels of the crop between anchors, one entry a layer.
        boxes: name of its output with boxes.
        scores: name of its output with scores.
        low: the value that stands for black; white is 1.
    """

    network: Network
    strides: tuple[int, ...]
    boxes: str
    scores: str
    low: float = -1.0


@lru_cache(maxsize=8)
def anchor_centers(side: int, strides: tuple[int, ...]) -> Float[np.ndarray, "n 2"]:
    """Anchor centres in 0..1, in the order of the network's outputs.

    Consecutive layers of one stride share a grid; every layer adds two anchors (two scales, one aspect
    ratio) to each cell, and as sizes are fixed both have the same centre.
    """
    layers = []
    for stride in dict.fromkeys(strides):
        cells = -(-side // stride)
        y, x = np.mgrid[:cells, :cells]
        centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centers, 2 * strides.count(stride), axis=0))
    return np.concatenate(layers).astype(np.float32)


def decode_boxes(
    raw: Float[np.ndarray, "n d"], side: int, strides: tuple[int, ...]
) -> Float[np.ndarray, "n p 2"]:
    """Box centre, box size and keypoints of every anchor, in 0..1 of the crop (``p`` = 2 + keypoints)."""
    decoded = raw.reshape(len(raw), -1, 2) / side
    anchors = anchor_centers(side, strides)[:, None]
    offset = np.repeat(anchors, decoded.shape[1], axis=1)
    offset[:, 1] = 0.0
    return decoded + offset


def overlap(one: Float[np.ndarray, "2 2"], many: Float[np.ndarray, "n 2 2"]) -> Float[np.ndarray, "n"]:
    """Intersection over union of boxes given as (centre, size)."""
    low = np.maximum(one[0] - one[1] / 2, many[:, 0] - many[:, 1] / 2)
    high = np.minimum(one[0] + one[1] / 2, many[:, 0] + many[:, 1] / 2)
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    union = np.prod(one[1]) + np.prod(many[:, 1], axis=1) - shared
    return shared / np.maximum(union, 1e-12)


def weighted_suppression(
    decoded: Float[np.ndarray, "n p 2"], scores: Float[np.ndarray, "n"], *, min_overlap: float = 0.3
) -> list[tuple[Float[np.ndarray, "p 2"], float]]:
    """Clusters of overlapping boxes, each replaced by its score-weighted mean, best first.

    The score of a cluster is that of its best member.
    """
    order = np.argsort(-scores, kind="stable")
    decoded, scores = decoded[order], scores[order]
    found = []
    while len(scores):
        together = overlap(decoded[0, :2], decoded[:, :2]) > min_overlap
        together[0] = True  # a box of no area overlaps nothing, not even itself
        weights = scores[together, None, None]
        found.append(((decoded[together] * weights).sum(axis=0) / weights.sum(), float(scores[0])))
        decoded, scores = decoded[~together], scores[~together]
    return found


def detect(
    detector: Detector,
    image: Float[np.ndarray, "h w 3"],
    regions: Sequence[Roi] | None = None,
    *,
    min_score: float = 0.5,
) -> list[Detection]:
    """What a detector finds in regions of an image, best first.

    Args:
        detector: the network and how to read it.
        image: RGB in 0..1.
        regions: square regions to search; the letterboxed whole image if None. Each is searched alone: one
            thing may be found in several.
        min_score: 0..1, as MediaPipe 0.5.
    """
    height, width = image.shape[:2]
    found = []
    for roi in [Roi.letterbox(width, height)] if regions is None else regions:
        found.extend(_detect_in(detector, image, roi, min_score))
    return sorted(found, key=lambda detection: -detection.score)


def _detect_in(
    detector: Detector, image: Float[np.ndarray, "h w 3"], roi: Roi, min_score: float
) -> list[Detection]:
    side = detector.network.width
    outputs = detector.network.predict(
        crop(image, roi.sampled_as_mediapipe(side, side), side, side), low=detector.low
    )
    scores = sigmoid(outputs[detector.scores][:, 0])
    good = scores >= min_score
    decoded = decode_boxes(outputs[detector.boxes], side, detector.strides)[good]
    found = []
    for values, score in weighted_suppression(decoded, scores[good]):
        points = points_to_image(np.delete(values, 1, axis=0) * side, roi, side, side)
        size = (values[1] * np.array(roi.size)).astype(np.float32)
        found.append(Detection(points[0], size, points[1:], score))
    return found
