"""Outlines as signed distances, and what a rig's own disagreement says of how far to trust each.

All that a depth camera measures of a person lies inside every other camera's outline. How far it lies outside is what
calibration, clocks and masks make it: an outline is believed up to that, and not at all where the others measured a
whole part of the person that it misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage

from simulacra.recon.refine.depth_cleaning import CleanDepth
from simulacra.render.camera import Cameras

# The slack is this percentile of how far the points near an outline lie outside of it: rigs that agree are cut to
# half a pixel, rigs that disagree by a centimetre hardly.
SLACK_PERCENTILE, LEAST_SLACK_M, MOST_SLACK_M = 95, 0.0015, 0.015
# Points less far inside are near the outline; of fewer nothing can be said.
NEAR_OUTLINE_M, FEWEST_POINTS = 0.015, 50
# Every so many measured pixels are asked; a part that a mask misses holds so many of those, this near to each other.
STRIDE, FEWEST_MISSED, MISSED_APART_M = 20, 20, 0.03
# What an outline says where it is not believed: far inside.
SILENT_PX = -1e6


@dataclass(frozen=True)
class Silhouette:
    """One camera's outline.

    Attributes:
        distance: pixels to where the mask is one half, negative inside; very far inside where it is not believed.
        focal: pixels.
        slack: how far outside of it depth is believed, metres.
    """

    distance: Float[np.ndarray, "h w"]
    focal: float
    slack: float


def measure_silhouettes(
    depths: Sequence[CleanDepth], masks: Sequence[Float[np.ndarray, "h w"]], cameras: Sequence[Cameras]
) -> list[Silhouette]:
    """The outlines of all cameras of a moment, judged by the depth of the others.

    Args:
        masks: of the person, one a camera, 0..1.
    """
    clouds = [
        torch.from_numpy(clean.points(camera)[::STRIDE])
        for clean, camera in zip(depths, cameras, strict=True)
    ]
    found = []
    for index, (mask, camera) in enumerate(zip(masks, cameras, strict=True)):
        others = torch.cat([cloud for place, cloud in enumerate(clouds) if place != index] or clouds)
        found.append(_judge(signed_distance(mask), camera, others))
    return found


def signed_distance(mask: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Pixels to where the mask is one half, negative inside; to about a quarter of a pixel."""
    size = (2 * mask.shape[1], 2 * mask.shape[0])
    inside = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    out, into = (cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) for part in (~inside, inside))
    signed = np.where(inside, 0.5 - into, out - 0.5) / 2
    return cv2.resize(signed.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_AREA)


def _judge(distance: np.ndarray, camera: Cameras, points: torch.Tensor) -> Silhouette:
    focal = float(camera.Ks[0, 0, 0])
    pixels, depth = camera.project(points)
    u, v = np.floor(pixels[0].numpy()).astype(int).T
    z = depth[0].numpy()
    seen = (z > 0) & (u >= 0) & (v >= 0) & (u < distance.shape[1]) & (v < distance.shape[0])
    u, v, z = u[seen], v[seen], z[seen]
    outside = distance[v, u] * z / focal
    missed = outside > MOST_SLACK_M
    if missed.any():
        reach = MISSED_APART_M * focal / float(np.median(z[missed]))
        distance = np.where(_missed_parts(distance.shape, u[missed], v[missed], reach), SILENT_PX, distance)
    near = outside[(outside > -NEAR_OUTLINE_M) & (distance[v, u] > SILENT_PX)]
    slack = np.percentile(near, SLACK_PERCENTILE) if len(near) >= FEWEST_POINTS else MOST_SLACK_M
    return Silhouette(distance.astype(np.float32), focal, float(np.clip(slack, LEAST_SLACK_M, MOST_SLACK_M)))


def _missed_parts(shape: tuple[int, ...], u: np.ndarray, v: np.ndarray, reach: float) -> np.ndarray:
    """Pixels within reach of many points that lie together."""
    counts = np.zeros(shape, np.int32)
    np.add.at(counts, (v, u), 1)
    size = 2 * int(np.ceil(reach)) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    labels, number = ndimage.label(cv2.dilate((counts > 0).astype(np.uint8), disk))
    held = ndimage.sum_labels(counts, labels, np.arange(number + 1))
    return (held >= FEWEST_MISSED)[labels] & (labels > 0)
