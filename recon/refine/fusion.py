"""Depth images and silhouettes of all cameras fused into one closed surface.

A truncated signed distance volume (Curless and Levoy, "A volumetric method for building complex models from range
images", 1996): every depth image says of every voxel how far in front of its surface it lies. Voxels that no camera
measured, behind all surfaces or where the sensor failed (dark hair, shoes), are as far outside the person as the
silhouettes say: measured space carving filled by the visual hull; and depth that lies outside of a silhouette by more
than the rig's cameras disagree, or under the floor, is cut away. The surface is read off as oriented
points where the distance changes sign along the grid's edges; no triangles are needed to place Gaussians.

Symbols: ``c`` cameras, ``n`` points, ``x y z`` voxels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from simulacra.recon.refine.depth_cleaning import CleanDepth
from simulacra.recon.refine.silhouettes import measure_silhouettes
from simulacra.render.camera import Cameras
from simulacra.render.runtime.compiled import njit
from simulacra.render.runtime.errors import ConfigError
from simulacra.render.runtime.threads import run_split

# Less measurement than this at a voxel and the silhouettes decide; the weight of one frontal depth pixel is 1.
LEAST_WEIGHT = 0.15
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

    def take(self, chosen: Bool[np.ndarray, " n"]) -> FusedPoints:
        """Some of them."""
        return FusedPoints(self.points[chosen], self.normals[chosen], self.measured[chosen])

    @staticmethod
    def concatenate(parts: Sequence[FusedPoints]) -> FusedPoints:
        """All parts' points, one after the other."""
        fields = ((part.points, part.normals, part.measured) for part in parts)
        return FusedPoints(*(np.concatenate(field) for field in zip(*fields, strict=True)))


@dataclass(frozen=True)
class Box:
    """A part of the world, between two corners; metres."""

    low: Float[np.ndarray, "3"]
    high: Float[np.ndarray, "3"]

    def holds(self, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Which points lie in it."""
        return np.asarray(((points >= self.low) & (points < self.high)).all(-1))


@dataclass(frozen=True)
class Closer:
    """A part of the person that is looked at more closely.

    Attributes:
        outside: how far outside of the person places of the world are expected to lie, metres; believed where no depth
            was measured, as silhouettes are. Minus infinity where nothing is expected; None of nowhere.
    """

    box: Box
    outside: Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]] | None = None


def fuse(
    depths: Sequence[CleanDepth],
    masks: Sequence[Float[np.ndarray, "h w"]],
    cameras: Sequence[Cameras],
    voxel: float,
    truncation: float,
    floor: float | None = None,
    within: Closer | None = None,
) -> FusedPoints:
    """The person's surface from a few depth images of one moment.

    Args:
        masks: of the person, one a camera, 0..1.
        voxel: side of a cell, metres.
        truncation: distance at which the signed distance is cut off, metres.
        floor: height under which nobody is, metres; None where it is not known.
        within: the part of it that is looked at, and what is known of it; all if None.

    Raises:
        ConfigError: more voxels than memory should be asked for.
    """
    low, shape = _grid(_bounds(depths, cameras) if within is None else within.box, voxel)
    total, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    # How far outside the silhouettes a voxel lies, by the one that has it farthest; and so with each one's slack.
    outside, beyond = np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    silhouettes = measure_silhouettes(depths, masks, cameras)
    for clean, outline, camera in zip(depths, silhouettes, cameras, strict=True):
        P = (camera.Ks[0].double() @ camera.viewmats[0, :3].double()).numpy()
        said = (P, low, voxel, truncation, clean.depth, clean.usable, clean.cosines)
        drawn = (outline.distance, outline.focal, outline.slack)
        # Not Numba's own parallel loops: they leave torch with another number of threads than it had.
        run_split(partial(_integrate, *said, *drawn, total, weight, outside, beyond), shape[0])
    if floor is not None:
        below = (floor - low[1] - voxel * np.arange(shape[1]))[None, :, None].astype(np.float32)
        outside, beyond = np.maximum(outside, below), np.maximum(beyond, below)
    if within is not None and within.outside is not None:
        centres = low + voxel * np.indices(shape).reshape(3, -1).T
        outside = np.maximum(outside, within.outside(centres).reshape(shape).astype(np.float32))
    solid = _solid(total, weight, outside / truncation, beyond / truncation, cut=within is not None)
    points, normals = _crossings(solid)
    support = ndimage.map_coordinates(weight, points.T, order=1) > LEAST_WEIGHT
    points, normals, support = _thin(points, normals, support)
    return FusedPoints((low + points * voxel).astype(np.float32), normals.astype(np.float32), support)


def measured_points(clean: CleanDepth, camera: Cameras, voxel: float) -> FusedPoints:
    """A single camera's believable depth as oriented points, one a voxel.

    There is nothing to fuse; and where nothing was measured a single outline leaves no hull but a cone, from the lens
    to the end of the world.

    Args:
        voxel: side of a cell, metres.
    """
    points = clean.points(camera).astype(np.float64)
    low = points.min(0)
    normals = clean.normals[clean.usable].astype(np.float64)
    thinned, normals, measured = _thin((points - low) / voxel, normals, np.ones(len(points), bool))
    return FusedPoints((low + thinned * voxel).astype(np.float32), normals.astype(np.float32), measured)


def _bounds(depths: Sequence[CleanDepth], cameras: Sequence[Cameras]) -> Box:
    """The box around nearly all measured points."""
    found = []
    for clean, camera in zip(depths, cameras, strict=True):
        points = clean.points(camera)
        found.append(points[:: max(1, len(points) // 5000)])
    cloud = np.concatenate(found)
    low, high = np.percentile(cloud, [0.1, 99.9], axis=0).astype(np.float64)
    return Box(low - MARGIN_M, high + MARGIN_M)


def _grid(box: Box, voxel: float) -> tuple[Float[np.ndarray, "3"], tuple[int, int, int]]:
    """First corner and size of the volume; coarser voxels are the caller's decision, never silent."""
    shape = np.ceil((box.high - box.low) / voxel).astype(int) + 1
    if shape.prod() > MOST_VOXELS:
        raise ConfigError(
            "there are too many voxels to fuse",
            where="refine.voxel_mm",
            expected=f"<= {MOST_VOXELS} voxels",
            found="x".join(map(str, shape)),
            remedy="a larger refine.voxel_mm",
        )
    return box.low, (int(shape[0]), int(shape[1]), int(shape[2]))


@njit(nogil=True, cache=True)
def _integrate(
    P, low, voxel, truncation, depth, usable, cosines,
    outline, focal, slack, total, weight, outside, beyond, start, stop,
):  # fmt: skip
    """One camera's say about a slab of voxels: weighted distance in units of the truncation, and metres outside of
    its silhouette, without and with its slack, where that is the most so far.
    """
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
                a = (P[0, 0] * X + P[0, 1] * Y + P[0, 2] * Z + P[0, 3]) / w
                b = (P[1, 0] * X + P[1, 1] * Y + P[1, 2] * Z + P[1, 3]) / w
                u, v = math.floor(a), math.floor(b)
                if u < 0 or v < 0 or u >= width or v >= height:
                    continue
                off = _read_between(outline, a - 0.5, b - 0.5) * w / focal
                outside[ix, iy, iz] = max(outside[ix, iy, iz], off)
                beyond[ix, iy, iz] = max(beyond[ix, iy, iz], off - slack)
                if usable[v, u]:
                    distance = depth[v, u] - w
                    if distance > -truncation:
                        trust = cosines[v, u] ** 2
                        if distance < 0:  # less sure behind the surface, where another side may be
                            trust *= 1.05 + distance / truncation
                        total[ix, iy, iz] += trust * min(distance / truncation, 1.0)
                        weight[ix, iy, iz] += trust


@njit(nogil=True, cache=True)
def _read_between(image, x, y):
    """An image between the centres of its pixels, the first of which is at (0, 0) here; its edge goes on outside."""
    column = min(max(math.floor(x), 0), image.shape[1] - 2)
    row = min(max(math.floor(y), 0), image.shape[0] - 2)
    p, q = min(max(x - column, 0.0), 1.0), min(max(y - row, 0.0), 1.0)
    upper = image[row, column] * (1 - p) + image[row, column + 1] * p
    lower = image[row + 1, column] * (1 - p) + image[row + 1, column + 1] * p
    return upper * (1 - q) + lower * q


def _solid(total, weight, outside, beyond, cut: bool) -> Float[np.ndarray, "x y z"]:  # type: ignore[no-untyped-def]
    """Signed distance in units of the truncation, negative inside, of the largest connected body; where the volume is
    cut out of a larger one, also of what goes on beyond its walls.
    """
    distance = total / np.maximum(weight, 1e-6)
    solid = np.where(weight > LEAST_WEIGHT, distance, np.clip(outside, -1, 1)).astype(np.float32)
    solid = np.maximum(solid, np.clip(beyond, -1, 1))
    labels, count = ndimage.label(solid < 0)
    if count:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        kept = np.arange(count + 1) == sizes.argmax()
        if cut:
            kept |= _at_walls(labels, count)
        solid[(labels > 0) & ~kept[labels]] = 1.0
    solid[_hollows(solid)] = -1.0
    return ndimage.gaussian_filter(solid, SMOOTHING_VOXELS)


def _hollows(solid: Float[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Room inside the person that no way leads to from outside: behind what was measured, where cameras disagree."""
    empty, count = ndimage.label(solid >= 0)
    around = _at_walls(empty, count)
    around[0] = True
    return ~around[empty]


def _at_walls(labels: Int[np.ndarray, "x y z"], count: int) -> Bool[np.ndarray, " labels"]:
    """Which of the labels 0..count lie at a wall of the volume."""
    found = np.zeros(count + 1, bool)
    for axis in range(3):
        for side in (0, -1):
            found[np.unique(np.take(labels, side, axis))] = True
    return found


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
