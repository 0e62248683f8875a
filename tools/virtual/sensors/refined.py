"""Raw depth of a triangulating camera against a reference of the same frame, and a model of that camera against it.

The layout is that of DDRNet's recordings (Yan et al. 2018, Depth denoising and refinement): `depth_map`,
`high_quality_depth` (fused over many frames) and `mask`, one PNG a frame, millimetres. The reference is made from the
raw depth, so it shares some of its errors: what is measured is a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float

from simulacra.render.image import read_mask, read_uint16
from simulacra.render.runtime.errors import InputError

from .depth import StructuredLight, sense_depth

# Of DDRNet's own code (losses.py), first pixel's centre at (0, 0).
FX, FY, CX, CY = 536.628, 536.606, 310.591, 234.759
PARTS = ("depth_map", "high_quality_depth", "mask")
# Depth in these files ends at 2 m, where it is cut.
FARTHEST = 1.9
# No infrared picture comes with them: all of a person is taken to have this albedo.
ALBEDO = 0.5
# Errors beyond are of edges, metres.
CLIP = 0.02
# Slopes of the reference in metres a pixel, and distances to the mask's edge in pixels, that are told apart.
SLOPES = (0.0, 0.001, 0.002, 0.004, 0.008, 0.05)
EDGES = (0.0, 2.0, 4.0, 8.0, 16.0, 200.0)


@dataclass(frozen=True)
class FusedDepth:
    """One frame: raw and reference depth in metres (0 none) and where both are of the person."""

    name: str
    raw: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    inside: Bool[np.ndarray, "h w"]

    def K(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsics, first pixel's centre at (0.5, 0.5)."""
        return np.array([[FX, 0, CX + 0.5], [0, FY, CY + 0.5], [0, 0, 1]])


def read_reference(folder: Path, frame: str) -> FusedDepth:
    """A frame of a folder of this layout.

    Raises:
        InputError: a file is missing or not what it should be.
    """
    files = [folder / part / f"{frame}.png" for part in PARTS]
    raw, depth = (read_uint16(file).astype(np.float32) / 1000 for file in files[:2])
    mask = read_mask(files[2]) > 0.5
    if not raw.shape == depth.shape == mask.shape:
        raise InputError(
            "depth, reference and mask differ in size",
            where=folder,
            found=f"{raw.shape} {depth.shape} {mask.shape}",
        )
    inside = mask & (depth > 0) & (depth < FARTHEST)
    return FusedDepth(frame, raw, depth, inside)


def frames_of(folder: Path) -> list[str]:
    """Names of the frames that have all parts, in order."""
    found = [{p.stem for p in (folder / part).glob("*.png")} for part in PARTS]
    return sorted(set.intersection(*found))


def modelled(reference: FusedDepth, sensor: StructuredLight, seed: int) -> Float[np.ndarray, "h w"]:
    """What a sensor would make of the reference, were it the truth."""
    truth = np.where(reference.inside, reference.depth, 0).astype(np.float32)
    infrared = np.full_like(truth, ALBEDO)
    normals = normals_of(truth, reference.K())
    return sense_depth(truth, normals, infrared, reference.K(), np.eye(4), sensor, seed)


def errors(reference: FusedDepth, measured: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "n"]:
    """Measured less reference, metres, where both are."""
    return (measured - reference.depth)[reference.inside & (measured > 0)].astype(np.float64)


def spread(values: Float[np.ndarray, "n"]) -> float:
    """Mean absolute error with those of edges cut down: finer than a median of whole millimetres."""
    return float(np.minimum(np.abs(values - np.median(values)), CLIP).mean())


def fitted(target: float, measure: Callable[[float], float], low: float, high: float) -> float:
    """The scale at which a measure that grows with it reaches a target, by halving ten times."""
    for _ in range(10):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if measure(middle) < target else (low, middle)
    return float(np.sqrt(low * high))


def by_slope(reference: FusedDepth, measured: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "n"]:
    """Mean absolute error (cut as `spread`) by the reference's slope, away from the mask's edge."""
    smooth = cv2.GaussianBlur(reference.depth, (0, 0), 1.0)
    slope = np.hypot(*np.gradient(smooth))
    return _bin_errors(reference, measured, slope, SLOPES, _edge_distance(reference) > 8)


def by_edge(reference: FusedDepth, measured: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "n"]:
    """The same by the distance to the mask's edge."""
    return _bin_errors(reference, measured, _edge_distance(reference), EDGES, np.ones_like(reference.inside))


def _edge_distance(reference: FusedDepth) -> Float[np.ndarray, "h w"]:
    return cv2.distanceTransform(reference.inside.astype(np.uint8), cv2.DIST_L2, 5)


def _bin_errors(
    reference: FusedDepth,
    measured: Float[np.ndarray, "h w"],
    by: Float[np.ndarray, "h w"],
    limits: tuple[float, ...],
    wanted: Bool[np.ndarray, "h w"],
) -> Float[np.ndarray, "n"]:
    known = reference.inside & (measured > 0) & wanted
    error = np.minimum(np.abs(measured - reference.depth), CLIP)
    parts = [error[known & (by > a) & (by <= b)] for a, b in pairwise(limits)]
    return np.array([float(part.mean()) if part.size > 50 else np.nan for part in parts])


def normals_of(depth: Float[np.ndarray, "h w"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "h w 3"]:
    """Unit normals of a depth map in the camera's frame, smoothed over a few pixels; zeros where nothing is."""
    smooth = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), 2.0)
    height, width = depth.shape
    x = (np.arange(width) + 0.5 - K[0, 2]) / K[0, 0]
    y = (np.arange(height) + 0.5 - K[1, 2]) / K[1, 1]
    points = np.stack([x[None, :] * smooth, y[:, None] * smooth, smooth], axis=-1)
    normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where((depth > 0)[..., None], normal / np.maximum(length, 1e-12), 0).astype(np.float32)
