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

from render.compiled import kernel_compiler

kernel = kernel_compiler(__file__)

# Side of the tiles of which the fastest motions are known, pixels.
TILE = 16
# A start holds if it arrives within this of q, pixels.
ARRIVES = 0.75
STEPS = 3
# Samples along a motion are so far apart, pixels: each is a mean of two by two.
SPACING = 1.5


@kernel()
@no_type_check
def fastest_in_tiles(motion, out):
    """The longest motion in each tile."""
    height, width = motion.shape[:2]
    out[:] = 0
    for y in range(height):
        for x in range(width):
            u, v = motion[y, x, 0], motion[y, x, 1]
            if u == 0 and v == 0:
                continue
            ty, tx = y // TILE, x // TILE
            if u * u + v * v > out[ty, tx, 0] ** 2 + out[ty, tx, 1] ** 2:
                out[ty, tx, 0], out[ty, tx, 1] = u, v


@njit(inline="always")
@no_type_check
def _fastest_about(fastest, ty, tx, reach):
    """The longest motion in the tiles about one."""
    rows, columns = fastest.shape[:2]
    best, u, v = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for j in range(max(0, ty - reach), min(rows, ty + reach + 1)):
        for i in range(max(0, tx - reach), min(columns, tx + reach + 1)):
            a, b = fastest[j, i, 0], fastest[j, i, 1]
            if a * a + b * b > best:
                best, u, v = a * a + b * b, a, b
    return best, u, v


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
def _add(image, x, y, out, row, column, weight):
    """Adds the picture at a place between pixels' centres, bilinear."""
    height, width, channels = image.shape
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    i, j = np.int64(x), np.int64(y)
    fx, fy = x - i, y - j
    i1, j1 = min(i + 1, width - 1), min(j + 1, height - 1)
    one = np.float32(1)
    for c in range(channels):
        top = image[j, i, c] * (one - fx) + image[j, i1, c] * fx
        low = image[j1, i, c] * (one - fx) + image[j1, i1, c] * fx
        out[row, column, c] += weight * (top * (one - fy) + low * fy)


@kernel()
@no_type_check
def blur(image, motion, depth, fastest, reach, most, start, stop, out):
    """Rows of tiles start..stop. out begins as the image. depth: h w, or 0 0 for none; reach: tiles that the longest
    motion covers.
    """
    height, width = image.shape[:2]
    known = depth.shape[0] > 0
    for ty in range(start, stop):
        for tx in range(fastest.shape[1]):
            length2, fu, fv = _fastest_about(fastest, ty, tx, reach)
            rows = range(ty * TILE, min(height, ty * TILE + TILE))
            columns = range(tx * TILE, min(width, tx * TILE + TILE))
            if length2 < 0.25:
                continue  # it stays as it is
            samples = min(max(math.ceil(math.sqrt(length2) / SPACING), 3), most)
            weight = np.float32(1.0 / samples)
            for y in rows:
                for x in columns:
                    _gather(image, motion, depth, known, x, y, fu, fv, samples, weight, out)


@njit(inline="always")
@no_type_check
def _rank(motion, depth, known, i, j):
    """What is in front has more: nearness, or without depths the square of the speed."""
    if known:
        z = depth[j, i]
        return np.float32(1) / z if z > 0 else np.float32(0)
    return motion[j, i, 0] ** 2 + motion[j, i, 1] ** 2


@njit
@no_type_check
def _gather(image, motion, depth, known, x, y, fu, fv, samples, weight, out):
    qx, qy = np.float32(x), np.float32(y)
    u, v = motion[y, x, 0], motion[y, x, 1]
    still = u == 0 and v == 0
    # Starts that would end at the same place are not tried.
    alike = abs(u - fu) + abs(v - fv) < np.float32(0.5)
    for c in range(image.shape[2]):
        out[y, x, c] = 0
    for k in range(samples):
        t = np.float32((k + 0.5) / samples - 0.5)
        best, bx, by = np.float32(-1.0), np.float32(0), np.float32(0)
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
            bx, by = qx - t * u, qy - t * v
            if still:
                bx, by = qx - t * fu, qy - t * fv
        _add(image, bx, by, out, y, x, weight)
