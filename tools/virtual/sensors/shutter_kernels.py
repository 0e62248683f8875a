"""The compiled kernel of motion blur.

Of a pixel q at time t (0 is the middle of the exposure) the light comes from the place p with p + t v(p) = q, v(p) the
motion of what p shows. p is found by fixed point iteration from three starts: with the fastest motion of the
neighbourhood (a moving thing that comes over q), with q's own, and standing still. Of those that hold the nearest to
the camera is seen, or without depths the one that moves fastest. Where none holds, something uncovers what was never
seen: the picture goes on there as it is where that thing's motion points to. Gathering by the neighbourhood's fastest
motion is from McGuire et al. (2012), A reconstruction filter for plausible motion blur.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__)

# Side of the tiles of which the fastest motions are known, pixels.
TILE = 16
# A start holds if it arrives within this of q, pixels.
ARRIVES = 0.75
STEPS = 3
# Where motions about a pixel differ by less, pixels, nothing comes over anything.
ALIKE = 0.5
# Samples along a motion are so far apart, pixels: each is a mean of two by two.
SPACING = 1.5


@kernel()
@no_type_check
def motion_of_tiles(motion, out):
    """Of each tile: the longest motion (2), least and largest motion right (2) and down (2)."""
    height, width = motion.shape[:2]
    for ty in range(out.shape[0]):
        for tx in range(out.shape[1]):
            best, fu, fv = np.float32(0), np.float32(0), np.float32(0)
            low_u, high_u, low_v, high_v = (
                np.float32(1e9),
                np.float32(-1e9),
                np.float32(1e9),
                np.float32(-1e9),
            )
            for y in range(ty * TILE, min(height, ty * TILE + TILE)):
                for x in range(tx * TILE, min(width, tx * TILE + TILE)):
                    u, v = motion[y, x, 0], motion[y, x, 1]
                    low_u, high_u = min(low_u, u), max(high_u, u)
                    low_v, high_v = min(low_v, v), max(high_v, v)
                    if u * u + v * v > best:
                        best, fu, fv = u * u + v * v, u, v
            tile = out[ty, tx]
            tile[0], tile[1], tile[2], tile[3], tile[4], tile[5] = fu, fv, low_u, high_u, low_v, high_v


@njit(inline="always")
@no_type_check
def _motion_about(tiles, ty, tx, reach):
    """The longest motion in the tiles about one, its length squared, and whether all move alike."""
    rows, columns = tiles.shape[:2]
    best, u, v = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    low_u, high_u, low_v, high_v = np.float32(1e9), np.float32(-1e9), np.float32(1e9), np.float32(-1e9)
    for j in range(max(0, ty - reach), min(rows, ty + reach + 1)):
        for i in range(max(0, tx - reach), min(columns, tx + reach + 1)):
            a, b = tiles[j, i, 0], tiles[j, i, 1]
            low_u, high_u = min(low_u, tiles[j, i, 2]), max(high_u, tiles[j, i, 3])
            low_v, high_v = min(low_v, tiles[j, i, 4]), max(high_v, tiles[j, i, 5])
            if a * a + b * b > best:
                best, u, v = a * a + b * b, a, b
    return best, u, v, max(high_u - low_u, high_v - low_v) < np.float32(ALIKE)


@njit(inline="always")
@no_type_check
def _start(motion, u, v, t, x, y):
    """From where what moves by (u, v) comes to (x, y): indices, place, and whether it arrives."""
    height, width = motion.shape[:2]
    half, reach = np.float32(0.5), np.float32(ARRIVES)
    right, low = np.float32(width) - half, np.float32(height) - half
    px, py = x - t * u, y - t * v
    i, j, arrives = np.int64(0), np.int64(0), False
    for _ in range(STEPS):
        if not (px > -half and py > -half and px < right and py < low):
            break
        i, j = np.int64(px + half), np.int64(py + half)
        px, py = x - t * motion[j, i, 0], y - t * motion[j, i, 1]
        if abs(px - np.float32(i)) < reach and abs(py - np.float32(j)) < reach:
            arrives = True
            break
    return i, j, px, py, arrives


@njit(inline="always")
@no_type_check
def _interpolate(image, x, y):
    """The picture's four channels at a place between pixels' centres, bilinear."""
    height, width = image.shape[:2]
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    i, j = min(np.int64(x), width - 2), min(np.int64(y), height - 2)
    fx, fy = x - np.float32(i), y - np.float32(j)
    right, low = fx * (np.float32(1) - fy), fy * (np.float32(1) - fx)
    both = fx * fy
    here = np.float32(1) - right - low - both
    k, below = i + 1, j + 1
    return (
        image[j, i, 0] * here + image[j, k, 0] * right + image[below, i, 0] * low + image[below, k, 0] * both,
        image[j, i, 1] * here + image[j, k, 1] * right + image[below, i, 1] * low + image[below, k, 1] * both,
        image[j, i, 2] * here + image[j, k, 2] * right + image[below, i, 2] * low + image[below, k, 2] * both,
        image[j, i, 3] * here + image[j, k, 3] * right + image[below, i, 3] * low + image[below, k, 3] * both,
    )


@kernel()
@no_type_check
def blur(image, motion, depth, tiles, reach, most, start, stop, out):
    """Rows of tiles start..stop; four channels, out begins as the image.

    depth: h w, or 0 0 for none. reach: tiles that the longest motion covers.
    """
    height, width = image.shape[:2]
    known = depth.shape[0] > 0
    for ty in range(start, stop):
        for tx in range(tiles.shape[1]):
            length2, fu, fv, alike = _motion_about(tiles, ty, tx, reach)
            rows = range(ty * TILE, min(height, ty * TILE + TILE))
            columns = range(tx * TILE, min(width, tx * TILE + TILE))
            if length2 < 0.25:
                continue  # it stays as it is
            samples = min(max(math.ceil(math.sqrt(length2) / SPACING), 3), most)
            for y in rows:
                for x in columns:
                    if alike:
                        r, g, b, a = _average_along(image, motion, x, y, samples)
                    else:
                        r, g, b, a = _gather(image, motion, depth, known, x, y, fu, fv, samples)
                    out[y, x, 0], out[y, x, 1], out[y, x, 2], out[y, x, 3] = r, g, b, a


@njit(inline="always")
@no_type_check
def _average_along(image, motion, x, y, samples):
    """The mean along a pixel's own motion."""
    zero = np.float32(0)
    red, green, blue, fourth = zero, zero, zero, zero
    step = np.float32(1.0 / samples)
    u, v = motion[y, x, 0] * step, motion[y, x, 1] * step
    half = np.float32(0.5 * (samples - 1))
    bx, by = np.float32(x) - half * u, np.float32(y) - half * v
    for _ in range(samples):
        one, two, three, four = _interpolate(image, bx, by)
        red += one
        green += two
        blue += three
        fourth += four
        bx += u
        by += v
    return red * step, green * step, blue * step, fourth * step


@njit(inline="always")
@no_type_check
def _rank(motion, depth, known, i, j):
    """What is in front has more: nearness, or without depths the square of the speed."""
    if known:
        z = depth[j, i]
        return np.float32(1) / z if z > 0 else np.float32(0)
    return motion[j, i, 0] ** 2 + motion[j, i, 1] ** 2


@njit(inline="always")
@no_type_check
def _gather(image, motion, depth, known, x, y, fu, fv, samples):
    qx, qy = np.float32(x), np.float32(y)
    u, v = motion[y, x, 0], motion[y, x, 1]
    still = u == 0 and v == 0
    # Starts that would end at the same place are not tried.
    alike = abs(u - fu) + abs(v - fv) < np.float32(0.5)
    zero = np.float32(0)
    red, green, blue, fourth = zero, zero, zero, zero
    step = np.float32(1.0 / samples)
    t = np.float32(0.5) * step - np.float32(0.5)
    for _ in range(samples):
        best, bx, by = np.float32(-1.0), zero, zero
        i, j, px, py, arrives = _start(motion, fu, fv, t, qx, qy)
        if arrives:
            best, bx, by = _rank(motion, depth, known, i, j), px, py
        if not (alike or still):
            i, j, px, py, arrives = _start(motion, u, v, t, qx, qy)
            if arrives:
                rank = _rank(motion, depth, known, i, j)
                if rank > best:
                    best, bx, by = rank, px, py
        near_still = abs(t * u) < np.float32(ARRIVES) and abs(t * v) < np.float32(ARRIVES)
        if near_still and (still or known or best < 0):
            rank = _rank(motion, depth, known, x, y)
            if rank > best:
                best, bx, by = rank, qx - t * u, qy - t * v
        if best < 0:
            bx, by = qx - t * (fu if still else u), qy - t * (fv if still else v)
        one, two, three, four = _interpolate(image, bx, by)
        red += one
        green += two
        blue += three
        fourth += four
        t += step
    return red * step, green * step, blue * step, fourth * step
