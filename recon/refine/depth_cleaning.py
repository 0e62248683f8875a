"""Which depth pixels to believe: not the flying ones at edges, not those seen at a grazing angle."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage

from simulacra.render.camera import Cameras

# Neighbouring pixels further apart than this are of two surfaces: time-of-flight sensors put flying pixels between.
JUMP_M = 0.02
# Pixels this close to a jump, a hole or the mask's border are dropped.
BORDER_PX = 2
# Least cosine between the surface's normal and the line of sight.
LEAST_COSINE = 0.2
# Bilateral smoothing before normals are taken: window in pixels, range in metres (sensor noise is a few mm).
SMOOTHING_PX, SMOOTHING_M = 7, 0.015


@dataclass(frozen=True)
class CleanDepth:
    """A depth image and what to think of each pixel.

    Attributes:
        depth: smoothed within surfaces, metres along the axis; 0 where there is none.
        usable: pixels to believe.
        normals: unit, in the world, towards the camera; zero where not usable.
        cosines: between the normal and the line of sight, 0 where not usable.
    """

    depth: Float[np.ndarray, "h w"]
    usable: Bool[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    cosines: Float[np.ndarray, "h w"]

    def points(self, camera: Cameras) -> Float[np.ndarray, "n 3"]:
        """The believable pixels as points of the world, float32, row after row.

        Args:
            camera: of the depth image, a batch of one.
        """
        return np.asarray(camera.unproject(torch.from_numpy(self.depth)[None])[0].numpy()[self.usable])


def clean_depth(
    depth: Float[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
    mask: Float[np.ndarray, "h w"],
    camera: Cameras,
) -> CleanDepth:
    """The believable part of one depth image of a person, with normals by central differences.

    Args:
        mask: of the person, 0..1.
        camera: of the depth image, a batch of one.
    """
    inside = valid & (mask > 0.5) & (depth > 0)
    smooth = cv2.bilateralFilter(np.where(inside, depth, 0).astype(np.float32), SMOOTHING_PX, SMOOTHING_M, 3)
    points = camera.unproject(torch.from_numpy(smooth)[None])[0].numpy()
    across, down = np.zeros_like(points), np.zeros_like(points)
    across[:, 1:-1] = points[:, 2:] - points[:, :-2]
    down[1:-1] = points[2:] - points[:-2]
    normals = np.cross(down, across)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    sight = camera.centers()[0].numpy() - points
    sight /= np.maximum(np.linalg.norm(sight, axis=-1, keepdims=True), 1e-12)
    cosines = (normals * sight).sum(-1)
    normals *= np.sign(cosines)[..., None]
    cosines = np.abs(cosines)
    border = ndimage.binary_dilation(_jumps(smooth) | ~inside, iterations=BORDER_PX)
    usable = inside & ~border & (cosines > LEAST_COSINE)
    return CleanDepth(smooth, usable, normals * usable[..., None], (cosines * usable).astype(np.float32))


def _jumps(depth: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels on either side of a step in depth."""
    found = np.zeros(depth.shape, bool)
    rows, columns = np.abs(np.diff(depth, axis=0)) > JUMP_M, np.abs(np.diff(depth, axis=1)) > JUMP_M
    found[1:] |= rows
    found[:-1] |= rows
    found[:, 1:] |= columns
    found[:, :-1] |= columns
    return found
