"""Rotated rectangles of an image: cut them out, and bring points and masks back.

Positions are continuous pixels in which the centre of pixel (0, 0) is at (0.5, 0.5), in the image and in
the crop alike, so an image or crop of width w spans [0, w]. OpenCV's warps count from pixel centres: the
half pixels are taken off here and nowhere else. A crop position u in [0, n] and its image position p are
tied by

    p = center + R(rotation) ((u / n - 1/2) * size),   R = [[cos, -sin], [sin, cos]]

so with +y down a positive rotation turns the region clockwise on the screen; `mirror` negates the first
component.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Roi:
    """A rotated rectangle in image pixels.

    Attributes:
        center: x, y in pixels.
        size: width, height in pixels before rotation.
        rotation: radians, clockwise on the screen.
        mirror: the crop is seen in a mirror (left and right exchanged).
    """

    center: tuple[float, float]
    size: tuple[float, float]
    rotation: float = 0.0
    mirror: bool = False

    @staticmethod
    def square(
        center: tuple[float, float] | np.ndarray, side: float, rotation: float = 0.0, mirror: bool = False
    ) -> Roi:
        """A square region."""
        return Roi((float(center[0]), float(center[1])), (float(side), float(side)), float(rotation), mirror)

    @staticmethod
    def letterbox(width: int, height: int) -> Roi:
        """The smallest upright square that holds a whole image, about its centre."""
        return Roi.square((width / 2.0, height / 2.0), float(max(width, height)))

    def scaled(self, factor: float) -> Roi:
        """The same region, larger by `factor` about its centre."""
        return Roi(self.center, (self.size[0] * factor, self.size[1] * factor), self.rotation, self.mirror)

    def sampled_as_mediapipe(self, width: int, height: int) -> Roi:
        """The region whose `width` x `height` crop holds the samples that MediaPipe's CPU path takes for
        this one.

        That path (`image_to_tensor_converter_opencv.cc`) maps corners to corners but counts from pixel
        centres, so crop pixel i is read at position i of the region instead of i + 1/2: half a crop pixel
        towards its first corner, and half an image pixel back. The detectors answer differently (by several
        pixels) for other samples, so we feed them these; as we know where they were read, our positions do
        not inherit the shift that MediaPipe's have.
        """
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        dx = -0.5 * self.size[0] / width * (-1.0 if self.mirror else 1.0)
        dy = -0.5 * self.size[1] / height
        center = (self.center[0] + cos * dx - sin * dy + 0.5, self.center[1] + sin * dx + cos * dy + 0.5)
        return Roi(center, self.size, self.rotation, self.mirror)

    def to_image(self, width: int, height: int) -> Float[np.ndarray, "2 3"]:
        """The affine map from positions of a `width` x `height` crop to image positions."""
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        turn = np.array([[cos, -sin], [sin, cos]])
        scale = np.array([self.size[0] / width * (-1.0 if self.mirror else 1.0), self.size[1] / height])
        linear = turn * scale
        offset = np.array(self.center) - linear @ np.array([width / 2.0, height / 2.0])
        return np.concatenate([linear, offset[:, None]], axis=1)


def points_to_image(
    points: Float[np.ndarray, "n 2"], roi: Roi, width: int, height: int
) -> Float[np.ndarray, "n 2"]:
    """Positions in a crop, in crop pixels, as positions in the image."""
    affine = roi.to_image(width, height)
    return (points @ affine[:, :2].T + affine[:, 2]).astype(np.float32)


def points_to_crop(
    points: Float[np.ndarray, "n 2"], roi: Roi, width: int, height: int
) -> Float[np.ndarray, "n 2"]:
    """Positions in the image as positions in a crop, in crop pixels."""
    affine = roi.to_image(width, height)
    return ((points - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T).astype(np.float32)


def crop(
    image: Float[np.ndarray, "h w *c"], roi: Roi, width: int, height: int, *, replicate: bool = False
) -> Float[np.ndarray, "h2 w2 *c"]:
    """A region resampled bilinearly to `width` x `height`.

    Args:
        image: any number of channels.
        roi: which region; it may leave the image.
        width: of the crop, in pixels.
        height: likewise.
        replicate: outside the image its border is repeated; otherwise it is 0.
    """
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    affine = _between_pixel_centers(roi.to_image(width, height))
    return cv2.warpAffine(
        image, affine, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border
    )


def uncrop(mask: Float[np.ndarray, "h2 w2"], roi: Roi, width: int, height: int) -> Float[np.ndarray, "h w"]:
    """A crop's mask brought back to a `width` x `height` image, bilinearly, 0 outside the region."""
    affine = _between_pixel_centers(roi.to_image(mask.shape[1], mask.shape[0]))
    return cv2.warpAffine(
        mask, affine, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )


def _between_pixel_centers(affine: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """The same map between OpenCV's positions, where a pixel's centre has whole numbers."""
    half = np.array([0.5, 0.5])
    return np.concatenate([affine[:, :2], (affine[:, 2] + affine[:, :2] @ half - half)[:, None]], axis=1)
