"""The grid on which a depth sensor itself measures, and the way from the picture's pixels to it and back.

A picture of 1024 pixels is not measured with 1024 if the sensor has fewer: depth files are mostly resampled to the
color camera's grid. The sensor's grid has its own focal length in pixels and, here, the picture's axes; pictures that
are coarser than the sensor are measured on their own grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__)

# Neighbours on the sensor's grid that differ by more of their depth are not mixed when resampled.
SAME_SURFACE = 0.015


@dataclass(frozen=True)
class Scene:
    """What is in front of a sensor, and where the sensor's grid lies in the picture.

    Attributes:
        depth: of the picture's pixels, z in metres.
        normals: of the same pixels, unit, world.
        infrared: of the same pixels, albedo.
        K: of the picture.
        rotation: world to camera.
        scale: sensor's pixels in a picture's, at most 1.
        x0: first column of the part of the sensor's grid that has something in it.
        y0: first row of that part.
        width: of that part.
        height: of that part.
        columns: of the whole grid, so that a pixel's number does not depend on the part.
    """

    depth: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    infrared: Float[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    scale: float
    x0: int
    y0: int
    width: int
    height: int
    columns: int

    def sensor_K(self) -> tuple[np.float32, np.float32, np.float32, np.float32]:
        """fx, fy, cx, cy of the part of the sensor's grid."""
        fx, fy, cx, cy = self.K[0, 0], self.K[1, 1], self.K[0, 2], self.K[1, 2]
        s = self.scale
        return (
            np.float32(fx * s),
            np.float32(fy * s),
            np.float32(cx * s - self.x0),
            np.float32(cy * s - self.y0),
        )


def scene_of(
    depth: Float[np.ndarray, "h w"],
    normals: Float[np.ndarray, "h w 3"],
    infrared: Float[np.ndarray, "h w"],
    K: Float[np.ndarray, "3 3"],
    viewmat: Float[np.ndarray, "4 4"],
    focal_px: float,
    margin: int,
) -> Scene | None:
    """None where nothing is in the picture. margin: sensor's pixels about what is, that windows reach."""
    full = np.ascontiguousarray(depth, np.float32)
    rows, columns = np.flatnonzero((full > 0).any(1)), np.flatnonzero((full > 0).any(0))
    if not len(rows):
        return None
    scale = min(1.0, focal_px / float(K[0, 0]))
    wide, tall = (int(np.ceil(size * scale - 1e-6)) for size in (full.shape[1], full.shape[0]))
    x0 = max(0, int(columns[0] * scale) - margin)
    y0 = max(0, int(rows[0] * scale) - margin)
    x1 = min(wide, int((columns[-1] + 1) * scale) + margin + 1)
    y1 = min(tall, int((rows[-1] + 1) * scale) + margin + 1)
    return Scene(
        full,
        np.ascontiguousarray(normals, np.float32),
        np.ascontiguousarray(infrared, np.float32),
        np.asarray(K, np.float64),
        np.ascontiguousarray(viewmat[:3, :3], np.float32),
        scale,
        x0,
        y0,
        x1 - x0,
        y1 - y0,
        wide,
    )


def point_samples(scene: Scene) -> tuple[Float[np.ndarray, "sh sw"], Float[np.ndarray, "sh sw"]]:
    """Depth and return (albedo x cosine / range squared, range in metres) in the middles of the sensor's pixels."""
    strengths, _ = all_returns(scene)
    z = np.empty((scene.height, scene.width), np.float32)
    strength = np.empty_like(z)
    same = np.float32(SAME_SURFACE)
    _pick(scene.depth, strengths, np.float32(1 / scene.scale), scene.x0, scene.y0, same, z, strength)
    return z, strength


def all_returns(scene: Scene) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Return and range in metres of the picture's pixels, 0 where nothing is."""
    strength, distance = (np.zeros(scene.depth.shape, np.float32) for _ in range(2))
    K = scene.K[[0, 1, 0, 1], [0, 1, 2, 2]].astype(np.float32)
    returns(scene.depth, scene.normals, scene.infrared, scene.rotation, K, strength, distance)
    return strength, distance


def to_picture(scene: Scene, z: Float[np.ndarray, "sh sw"]) -> Float[np.ndarray, "h w"]:
    """Depth of the sensor's grid on the picture's: bilinear on surfaces, nearest at their edges."""
    out = np.zeros(scene.depth.shape, np.float32)
    if scene.scale == 1.0:
        out[scene.y0 : scene.y0 + scene.height, scene.x0 : scene.x0 + scene.width] = z
    else:
        _resample(z, np.float32(scene.scale), scene.x0, scene.y0, np.float32(SAME_SURFACE), out)
    return out


@kernel()
@no_type_check
def returns(depth, normals, infrared, rotation, K, strength, distance):
    """Return and range of all pixels of a picture; a normal of zeros is taken to face the sensor."""
    half, one = np.float32(0.5), np.float32(1)
    for j in range(depth.shape[0]):
        y = (np.float32(j) + half - K[3]) / K[1]
        # The ray in the world is linear along a row.
        ax = rotation[1, 0] * y + rotation[2, 0]
        ay = rotation[1, 1] * y + rotation[2, 1]
        az = rotation[1, 2] * y + rotation[2, 2]
        for i in range(depth.shape[1]):
            z = depth[j, i]
            if z <= 0:
                continue
            x = (np.float32(i) + half - K[2]) / K[0]
            length = np.sqrt(x * x + y * y + one)
            nx, ny, nz = normals[j, i, 0], normals[j, i, 1], normals[j, i, 2]
            facing = (
                nx * (rotation[0, 0] * x + ax)
                + ny * (rotation[0, 1] * x + ay)
                + nz * (rotation[0, 2] * x + az)
            )
            cosine = min(abs(facing) / length, one)
            if nx == 0 and ny == 0 and nz == 0:
                cosine = one
            r = z * length
            distance[j, i] = r
            strength[j, i] = infrared[j, i] * cosine / (r * r)


@kernel()
@no_type_check
def _pick(depth, strengths, step, x0, y0, same, z, strength):
    """Bilinear where the four pixels about a place are of one surface, else the nearest."""
    rows, columns = depth.shape
    half, one = np.float32(0.5), np.float32(1)
    for y in range(z.shape[0]):
        v = (np.float32(y + y0) + half) * step - half
        j = min(max(int(v), 0), rows - 2)
        fv = min(max(v - np.float32(j), np.float32(0)), one)
        for x in range(z.shape[1]):
            u = (np.float32(x + x0) + half) * step - half
            i = min(max(int(u), 0), columns - 2)
            fu = min(max(u - np.float32(i), np.float32(0)), one)
            a, b, c, d = depth[j, i], depth[j, i + 1], depth[j + 1, i], depth[j + 1, i + 1]
            low, high = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
            at_j, at_i = j + (fv > half), i + (fu > half)
            strength[y, x] = strengths[at_j, at_i]
            if low > 0 and high - low < same * low:
                top, bottom = a + (b - a) * fu, c + (d - c) * fu
                z[y, x] = top + (bottom - top) * fv
            else:
                z[y, x] = depth[at_j, at_i]


@kernel()
@no_type_check
def _resample(z, scale, x0, y0, same, out):
    height, width = z.shape
    half = np.float32(0.5)
    for j in range(out.shape[0]):
        v = (np.float32(j) + half) * scale - half - np.float32(y0)
        if v < -1 or v > height:
            continue
        y = min(max(int(np.floor(v)), 0), max(height - 2, 0))
        fv = min(max(v - np.float32(y), np.float32(0)), np.float32(1))
        y1 = min(y + 1, height - 1)
        for i in range(out.shape[1]):
            u = (np.float32(i) + half) * scale - half - np.float32(x0)
            if u < -1 or u > width:
                continue
            x = min(max(int(np.floor(u)), 0), max(width - 2, 0))
            fu = min(max(u - np.float32(x), np.float32(0)), np.float32(1))
            x1 = min(x + 1, width - 1)
            a, b, c, d = z[y, x], z[y, x1], z[y1, x], z[y1, x1]
            low, high = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
            if low > 0 and high - low < same * low:
                top, bottom = a + (b - a) * fu, c + (d - c) * fu
                out[j, i] = top + (bottom - top) * fv
            elif high > 0:
                near_top = b if fu > half else a
                near_low = d if fu > half else c
                out[j, i] = near_low if fv > half else near_top
