"""A network's own mask of a region, as coarse as the network made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.roi import Roi, points_to_crop, uncrop
from simulacra.recon.runs.files import write_arrays
from simulacra.recon.runs.records import check_arrays, read_arrays, record_errors


@dataclass(frozen=True)
class SoftMask:
    """The person in a region of an image.

    Attributes:
        values: ``h w``, 0..1, of the region's crop.
        roi: the region.
    """

    values: Float[np.ndarray, "h w"]
    roi: Roi

    def in_image(self, width: int, height: int) -> Float[np.ndarray, "height width"]:
        """The same in a whole image, bilinearly; 0 outside the region."""
        return np.clip(uncrop(self.values, self.roi, width, height), 0.0, 1.0)


def average(masks: Sequence[SoftMask]) -> SoftMask:
    """The mean of several masks of one image, in the region of the first; each counts where it looked."""
    first = masks[0]
    total = np.zeros_like(first.values)
    weight = np.zeros_like(first.values)
    for mask in masks:
        total += resample(mask, first)
        weight += resample(SoftMask(np.ones_like(mask.values), mask.roi), first)
    return SoftMask(total / np.maximum(weight, 1e-6), first.roi)


def resample(mask: SoftMask, to: SoftMask) -> Float[np.ndarray, "h2 w2"]:
    """A mask's values over the region of another, 0 where it does not reach."""
    values, roi = mask.values, mask.roi
    if roi == to.roi:
        return values
    height, width = values.shape
    corners = np.array([[0, 0], [to.values.shape[1], 0], [0, to.values.shape[0]]], dtype=np.float32)
    in_image = (
        corners @ to.roi.to_image(*to.values.shape[::-1])[:, :2].T
        + to.roi.to_image(*to.values.shape[::-1])[:, 2]
    )
    # cv2 counts from pixel centres, so both sets of positions lose half a pixel.
    affine = cv2.getAffineTransform(
        corners - 0.5, points_to_crop(in_image, roi, width, height) - np.float32(0.5)
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, affine, to.values.shape[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)


def save_soft_mask(mask: SoftMask, path: Path) -> None:
    """Writes a mask, in 8 bits."""
    center, size, rotation, mirror = astuple(mask.roi)
    region = np.array([*center, *size, rotation, float(mirror)])
    write_arrays(path, values=np.round(mask.values * 255.0).astype(np.uint8), region=region)


def load_soft_mask(path: Path) -> SoftMask:
    """Reads back what `save_soft_mask` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    with record_errors(path):
        stored = read_arrays(path)
        x, y, width, height, rotation, mirror = (float(value) for value in stored["region"])
        values = stored["values"].astype(np.float32) / np.float32(255.0)
        check_arrays(SoftMask, {"values": values})
    return SoftMask(values, Roi((x, y), (width, height), rotation, bool(mirror)))
