"""Depth on another pixel grid: resampled where the cameras are one, reprojected where they are two.

Depth is interpolated as its inverse, which is linear over the image of a plane, so that planes stay planes. Between two
surfaces there is none: across an edge of depth, and beside pixels without a measurement, the nearest pixel counts.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.session import Lens
from simulacra.recon.session.lens import distort

# Neighbours whose depths differ by more than this share are of two surfaces.
SAME_SURFACE = 0.05
STRIP = 128
# Metres: nothing is measured nearer to a camera.
NEAREST = 1e-3
# Pixels that neighbouring depth pixels may lie apart in the color image.
WIDEST_CELL = 24


def resample_depth(depth: Float[np.ndarray, "h w"], width: int, height: int) -> Float[np.ndarray, "h2 w2"]:
    """Depth of the same view on a grid of another size. 0, in and out: not measured."""
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-9), 0.0)
    columns, left, right, across = _neighbours(width, depth.shape[1])
    rows, upper, lower, along = _neighbours(height, depth.shape[0])
    result = np.zeros((height, width), np.float32)
    for start in range(0, height, STRIP):
        strip = slice(start, start + STRIP)
        corners = np.stack([inverse[np.ix_(y[strip], x)] for y in (upper, lower) for x in (left, right)])
        a, b = along[strip, None], across[None, :]
        mixed = (1 - a) * ((1 - b) * corners[0] + b * corners[1]) + a * (
            (1 - b) * corners[2] + b * corners[3]
        )
        nearest = inverse[np.ix_(rows[strip], columns)]
        one = corners.min(axis=0) * (1 + SAME_SURFACE) > corners.max(axis=0)
        found = np.where(one, mixed, nearest)
        result[strip] = np.where(nearest > 0, 1 / np.maximum(found, 1e-9), 0.0)
    return result


def _neighbours(count: int, stored: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Float[np.ndarray, "n"]]:
    """For each new pixel's centre: the nearest stored pixel, those before and after, and the share of the latter."""
    at = (np.arange(count) + 0.5) * stored / count - 0.5
    before = np.floor(at).astype(np.int64)
    share = at - before
    nearest = np.clip(np.rint(at).astype(np.int64), 0, stored - 1)
    return nearest, np.clip(before, 0, stored - 1), np.clip(before + 1, 0, stored - 1), share


def register_depth(
    depth: Float[np.ndarray, "h w"],
    rays: Float[np.ndarray, "h w 2"],
    T_color_depth: Float[np.ndarray, "4 4"],
    K_color: Float[np.ndarray, "3 3"],
    lens: Lens | None,
    size: tuple[int, int],
) -> Float[np.ndarray, "h2 w2"]:
    """Depth of one camera as the other would have measured it, by drawing the depth image's surface into it.

    Neighbouring depth pixels on one surface make a cell of two triangles, which is filled; across edges nothing is.
    Of several surfaces the nearest counts. What the depth camera does not see stays 0: a shadow beside the person's
    outline, on the side of the color camera, and what is out of its view.

    Args:
        depth: along the depth camera's axis, metres, 0 where not measured.
        rays: x / z and y / z of the depth camera's pixels, its lens taken out; nan where it has none.
        T_color_depth: color camera out of depth camera, metres.
        K_color: of the color camera.
        lens: of the color camera, whose recorded image the result lies over.
        size: width and height of the color image.

    Returns:
        metres along the color camera's axis, 0 where not known.
    """
    points = np.concatenate([rays, np.ones((*depth.shape, 1))], axis=-1) * depth[..., None]
    points = points @ T_color_depth[:3, :3].T + T_color_depth[:3, 3]
    known = (depth > 0) & np.isfinite(points).all(axis=-1)
    known &= np.where(known, points[..., 2], 0.0) > NEAREST
    z = np.where(known, points[..., 2], 1.0)
    seen = np.where(known[..., None], points[..., :2] / z[..., None], 0.0)
    if lens is not None:
        seen = distort(lens, seen)
        known &= np.isfinite(seen).all(axis=-1)
    x, y = (K_color[i, i] * seen[..., i] + K_color[i, 2] for i in (0, 1))
    width, height = size
    # What falls far outside is not drawn, and must not overflow a pixel's number.
    known &= (np.abs(x) < 4 * width + 1e4) & (np.abs(y) < 4 * height + 1e4)
    corners = _cells(np.where(known[..., None], np.stack([x, y, 1 / z], axis=-1), 0.0))
    depths = _cells(np.where(known, depth, 0.0)[..., None])[..., 0]
    whole = depths.min(axis=1) * (1 + SAME_SURFACE) > depths.max(axis=1)
    # A surface seen nearly edge-on by the color camera spans many pixels and is no surface to it.
    extent = corners[..., :2].max(axis=1) - corners[..., :2].min(axis=1)
    whole &= (extent < WIDEST_CELL).all(axis=1)
    inverse = np.zeros((height, width))
    _draw_points(inverse, x[known], y[known], 1 / z[known])
    _fill(inverse, corners[whole])
    return np.where(inverse > 0, 1 / np.maximum(inverse, 1e-9), 0.0).astype(np.float32)


def _cells(values: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "n 4 c"]:
    """The four corners of every cell between pixel centres."""
    parts = [values[:-1, :-1], values[:-1, 1:], values[1:, :-1], values[1:, 1:]]
    return np.stack(parts, axis=2).reshape(-1, 4, values.shape[2])


def _draw_points(
    inverse: Float[np.ndarray, "h w"],
    x: Float[np.ndarray, "n"],
    y: Float[np.ndarray, "n"],
    value: Float[np.ndarray, "n"],
) -> None:
    """Each measured pixel marks the pixel that it falls on; the largest inverse depth stays."""
    height, width = inverse.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    np.maximum.at(inverse, (y[inside].astype(np.int64), x[inside].astype(np.int64)), value[inside])


def _fill(inverse: Float[np.ndarray, "h w"], cells: Float[np.ndarray, "n 4 3"]) -> None:
    """Fills cells by the nearest surface: inverse depth is linear in the picture, so barycentrics need no correction.

    The candidates of a cell are the pixels of its bounding box; cells of like size are handled together.
    """
    height, width = inverse.shape
    for order in ((0, 1, 2), (1, 3, 2)):
        triangles = cells[:, order]
        low = np.ceil(triangles[..., :2].min(axis=1) - 0.5)
        high = np.floor(triangles[..., :2].max(axis=1) - 0.5)
        low, high = np.maximum(low, 0), np.minimum(high, [width - 1, height - 1])
        size = (high - low + 1).astype(np.int64)
        drawn = (size > 0).all(axis=1)
        triangles, low, size = triangles[drawn], low[drawn].astype(np.int64), size[drawn]
        for shape in np.unique(size, axis=0):
            same = (size == shape).all(axis=1)
            for dy in range(shape[1]):
                for dx in range(shape[0]):
                    _fill_pixel(inverse, triangles[same], low[same] + [dx, dy])


def _fill_pixel(
    inverse: Float[np.ndarray, "h w"], triangles: Float[np.ndarray, "n 3 3"], pixels: np.ndarray
) -> None:
    """One candidate pixel of each triangle."""
    centre = pixels + 0.5
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    area = _cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = _cross(centre - a[:, :2], c - a) / area
        v = _cross(b - a, centre - a[:, :2]) / area
    hit: Bool[np.ndarray, "n"] = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9)
    value = a[:, 2] + u * (b[:, 2] - a[:, 2]) + v * (c[:, 2] - a[:, 2])
    np.maximum.at(inverse, (pixels[hit, 1], pixels[hit, 0]), value[hit])


def _cross(p: Float[np.ndarray, "n c"], q: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
    return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
