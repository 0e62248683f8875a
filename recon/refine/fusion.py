"""Depth images and silhouettes of all cameras fused into one closed surface.

A truncated signed distance volume (Curless and Levoy, "A volumetric method for building complex models from range
images", 1996): every depth image says of every voxel how far in front of its surface it lies. Voxels that no camera
measured, behind all surfaces or where the sensor failed (dark hair, shoes), are inside the person unless a
silhouette says otherwise: measured space carving filled by the visual hull. The surface is read off as oriented
points where the distance changes sign along the grid's edges; no triangles are needed to place Gaussians.

Symbols: ``c`` cameras, ``n`` points, ``x y z`` voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from simulacra.recon.refine.depth_cleaning import CleanDepth
from simulacra.render.camera import Cameras
from simulacra.render.runtime.compiled import njit
from simulacra.render.runtime.errors import ConfigError
from simulacra.render.runtime.threads import run_split

# Less measurement than this at a voxel and the silhouettes decide; the weight of one frontal depth pixel is 1.
LEAST_WEIGHT = 0.15
# So many silhouettes that exclude a voxel overrule less depth than CONTESTED_WEIGHT: one mask may be wrong.
CONTRADICTING_MASKS, CONTESTED_WEIGHT = 2, 1.0
# Smoothing of the volume in voxels: takes the voxel grid and the sensor's noise out, leaves folds of cloth.
SMOOTHING_VOXELS = 0.8
# Room around the measured points, metres: silhouettes may reach beyond what was measured (hair).
MARGIN_M = 0.06
# Voxels at most, so that a stray point far off cannot ask for all memory (4 bytes x 4 arrays each).
MOST_VOXELS = 60_000_000


@dataclass(frozen=True)
class FusedPoints:
    """Oriented points of the fused surface.

    Attributes:
        measured: whether depth supports the point, rather than silhouettes alone.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    measured: Bool[np.ndarray, " n"]


def fuse(
    depths: Sequence[CleanDepth],
    masks: Sequence[Float[np.ndarray, "h w"]],
    cameras: Sequence[Cameras],
    voxel: float,
    truncation: float,
) -> FusedPoints:
    """The person's surface from a few depth images of one moment.

    Args:
        masks: of the person, one a camera, 0..1.
        voxel: side of a cell, metres.
        truncation: distance at which the signed distance is cut off, metres.

    Raises:
        ConfigError: more voxels than memory should be asked for.
    """
    low, shape = _bounds(depths, cameras, voxel)
    total, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    excluded = np.zeros(shape, np.uint8)
    for clean, mask, camera in zip(depths, masks, cameras, strict=True):
        P = (camera.Ks[0].double() @ camera.viewmats[0, :3].double()).numpy()
        # What lies outside of a mask is cut away for good: its edge is given one pixel.
        generous = ndimage.maximum_filter(mask > 0.5, size=3)
        said = (P, low, voxel, truncation, clean.depth, clean.usable, clean.cosines, generous)
        # Not Numba's own parallel loops: they leave torch with another number of threads than it had.
        run_split(partial(_integrate, *said, total, weight, excluded), shape[0])
    solid = _solid(total, weight, excluded)
    points, normals = _crossings(solid)
    support = ndimage.map_coordinates(weight, points.T, order=1) > LEAST_WEIGHT
    points, normals, support = _thin(points, normals, support)
    return FusedPoints((low + points * voxel).astype(np.float32), normals.astype(np.float32), support)


def _bounds(
    depths: Sequence[CleanDepth], cameras: Sequence[Cameras], voxel: float
) -> tuple[Float[np.ndarray, "3"], tuple[int, int, int]]:
    """The box around nearly all measured points; coarser voxels are the caller's decision, never silent."""
    import torch

    found = []
    for clean, camera in zip(depths, cameras, strict=True):
        points = camera.unproject(torch.from_numpy(clean.depth)[None])[0].numpy()[clean.usable]
        found.append(points[:: max(1, len(points) // 5000)])
    cloud = np.concatenate(found)
    low = np.percentile(cloud, 0.1, axis=0) - MARGIN_M
    high = np.percentile(cloud, 99.9, axis=0) + MARGIN_M
    shape = np.ceil((high - low) / voxel).astype(int) + 1
    if shape.prod() > MOST_VOXELS:
        raise ConfigError(
            "there are too many voxels to fuse",
            where="refine.voxel_mm",
            expected=f"<= {MOST_VOXELS} voxels",
            found="x".join(map(str, shape)),
            remedy="a larger refine.voxel_mm",
        )
    return low.astype(np.float64), (int(shape[0]), int(shape[1]), int(shape[2]))


@njit(nogil=True, cache=True)
def _integrate(P, low, voxel, truncation, depth, usable, cosines, mask, total, weight, excluded, start, stop):
    """One depth image's say about a slab of voxels: weighted distance in units of the truncation, and exclusion."""
    height, width = depth.shape
    for ix in range(start, stop):
        X = low[0] + ix * voxel
        for iy in range(total.shape[1]):
            Y = low[1] + iy * voxel
            for iz in range(total.shape[2]):
                Z = low[2] + iz * voxel
                w = P[2, 0] * X + P[2, 1] * Y + P[2, 2] * Z + P[2, 3]
                if w < 0.05:
                    continue
                u = math.floor((P[0, 0] * X + P[0, 1] * Y + P[0, 2] * Z + P[0, 3]) / w)
                v = math.floor((P[1, 0] * X + P[1, 1] * Y + P[1, 2] * Z + P[1, 3]) / w)
                if u < 0 or v < 0 or u >= width or v >= height:
                    continue
                if not mask[v, u]:
                    excluded[ix, iy, iz] += 1
                if usable[v, u]:
                    distance = depth[v, u] - w
                    if distance > -truncation:
                        trust = cosines[v, u] ** 2
                        if distance < 0:  # less sure behind the surface, where another side may be
                            trust *= 1.05 + distance / truncation
                        total[ix, iy, iz] += trust * min(distance / truncation, 1.0)
                        weight[ix, iy, iz] += trust


def _solid(total, weight, excluded) -> Float[np.ndarray, "x y z"]:  # type: ignore[no-untyped-def]
    """Signed distance in units of the truncation, negative inside, of the largest connected body."""
    distance = total / np.maximum(weight, 1e-6)
    solid = np.where(weight > LEAST_WEIGHT, distance, np.where(excluded >= 1, 1.0, -1.0)).astype(np.float32)
    solid[(excluded >= CONTRADICTING_MASKS) & (solid < 0) & (weight < CONTESTED_WEIGHT)] = 1.0
    labels, count = ndimage.label(solid < 0)
    if count:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        solid[(labels > 0) & (labels != sizes.argmax())] = 1.0
    return ndimage.gaussian_filter(solid, SMOOTHING_VOXELS)


def _crossings(
    solid: Float[np.ndarray, "x y z"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points in voxel units where the sign changes along an edge of the grid, and outward normals there."""
    gradient = np.stack(np.gradient(solid), -1)
    points, normals = [], []
    for axis in range(3):
        here = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        there = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        changes = (solid[here] < 0) != (solid[there] < 0)
        part = (solid[here] / (solid[here] - solid[there] + 1e-30))[changes]
        place = np.argwhere(changes).astype(np.float64)
        place[:, axis] += part
        points.append(place)
        normals.append(
            gradient[here][changes] * (1 - part)[:, None] + gradient[there][changes] * part[:, None]
        )
    return np.concatenate(points), np.concatenate(normals)


def _thin(points, normals, support):
    """One point a voxel: the mean of the crossings that fall into it."""
    keys = np.floor(points).astype(np.int64)
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()

    def mean(values):
        sums = [np.bincount(inverse, values[:, k]) for k in range(values.shape[1])]
        return np.stack(sums, 1) / counts[:, None]

    merged = mean(normals)
    merged /= np.maximum(np.linalg.norm(merged, axis=1, keepdims=True), 1e-12)
    return mean(points), merged, mean(support[:, None].astype(np.float64))[:, 0] > 0.5
