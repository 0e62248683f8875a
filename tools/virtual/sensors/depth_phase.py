"""Depth by time of flight with modulated light, on the sensor's own grid.

A pixel adds the light of all that it sees as phasors of amplitude albedo x cosine / range^2 and phase 4 pi f r / c: at
edges that gives depths between the surfaces (flying pixels), and where the phasors disagree at the highest frequency
the pixel is given up, as firmware does. Noise of the range is sigma sqrt(a + ambient) / a of the amplitude a (Lange and
Seitz 2001: photons of the signal and of everything else). The harmonics of light that is no sine make an error that
swings with range (wiggling: Lindner and Kolb 2006). Light by way of other surfaces is longer on its way (multipath:
Fuchs 2010): here one bounce between the surfaces in the picture, without shadows between them, on a coarse grid, so a
low-frequency approximation of what is in view only.
"""

from __future__ import annotations

import math
from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.compiled import kernel_compiler

from .depth_grid import Scene, all_returns

kernel = kernel_compiler(__file__)

LIGHT = 299_792_458.0
# Samples along a side of a pixel's footprint.
SIDE = 4
# Ranges within a footprint that differ by less are averaged without phasors: the same to a thousandth of a millimetre.
ONE_SURFACE = 0.01
# The picture is divided into so many cells along its longer side for light from surface to surface.
CELLS = 28


def phasors(
    scene: Scene, footprint: float, coarse_hz: float, fine_hz: float
) -> tuple[Float[np.ndarray, "sh sw"], Float[np.ndarray, "sh sw"], Float[np.ndarray, "sh sw"]]:
    """Range (metres, before ambiguity), amplitude and coherence at the fine frequency (0..1) of each pixel.

    footprint: side of what a pixel sees, in pixels.
    """
    shape = (scene.height, scene.width)
    distance, amplitude, coherence = (np.zeros(shape, np.float32) for _ in range(3))
    strengths, ranges = all_returns(scene)
    _phasors(
        strengths, ranges, 1 / scene.scale, scene.x0, scene.y0, footprint,
        4 * np.pi * coarse_hz / LIGHT, 4 * np.pi * fine_hz / LIGHT, distance, amplitude, coherence,
    )  # fmt: skip
    return distance, amplitude, coherence


def multipath(scene: Scene, fine_hz: float) -> Float[np.ndarray, "sh sw"]:
    """How much longer the range becomes by light of one bounce, metres, interpolated from cells."""
    rows, columns = scene.depth.shape
    side = max(1, -(-max(rows, columns) // CELLS))
    cells = np.zeros((-(-rows // side), -(-columns // side), 10), np.float64)
    _cells(scene.depth, scene.normals, scene.infrared, scene.rotation, scene.K, side, cells)
    flat = cells.reshape(-1, 10)
    flat = np.ascontiguousarray(flat[flat[:, 0] > 0])
    bias = np.zeros(len(flat))
    _bounce(flat, 4 * np.pi * fine_hz / LIGHT, bias)
    weight = (cells[..., 0] > 0).astype(np.float32)
    value = np.zeros_like(weight)
    value[cells[..., 0] > 0] = bias
    # From cells' middles to the sensor's pixels; empty cells say nothing.
    x = ((np.arange(scene.width) + scene.x0 + 0.5) / scene.scale / side - 0.5).astype(np.float32)
    y = ((np.arange(scene.height) + scene.y0 + 0.5) / scene.scale / side - 0.5).astype(np.float32)
    maps = np.meshgrid(x, y)
    total, known = (
        cv2.remap(part, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in (value * weight, weight)
    )
    return total / np.maximum(known, 1e-3)


@kernel()
@no_type_check
def _phasors(strength, whole, step, x0, y0, footprint, coarse, fine, distance, amplitude, coherence):
    rows, columns = strength.shape
    ranges = np.empty(SIDE * SIDE, np.float32)
    strengths = np.empty(SIDE * SIDE, np.float32)
    at_i = np.empty((distance.shape[1], SIDE), np.int64)
    at_j = np.empty(SIDE, np.int64)
    for x in range(distance.shape[1]):
        for u in range(SIDE):
            at_i[x, u] = math.floor((x + x0 + 0.5 + footprint * ((u + 0.5) / SIDE - 0.5)) * step)
    for y in range(distance.shape[0]):
        for v in range(SIDE):
            at_j[v] = math.floor((y + y0 + 0.5 + footprint * ((v + 0.5) / SIDE - 0.5)) * step)
        for x in range(distance.shape[1]):
            count = 0
            total, weighted = np.float32(0), np.float32(0)
            low, high = np.float32(1e30), np.float32(0)
            for v in range(SIDE):
                j = at_j[v]
                if j < 0 or j >= rows:
                    continue
                for u in range(SIDE):
                    i = at_i[x, u]
                    if i < 0 or i >= columns or whole[j, i] <= 0:
                        continue
                    a, r = strength[j, i], whole[j, i]
                    ranges[count], strengths[count] = r, a
                    count += 1
                    total += a
                    weighted += a * r
                    low, high = min(low, r), max(high, r)
            if count == 0 or total <= 0:
                continue
            # One surface mixes nothing: its mean range, without the cost of sines.
            if high - low < np.float32(ONE_SURFACE):
                distance[y, x], coherence[y, x] = weighted / total, np.float32(1)
                amplitude[y, x] = total / np.float32(SIDE * SIDE)
                continue
            # Phases count from the nearest range: counted from the sensor they would wrap.
            base = np.float64(low)
            re, im, fine_re, fine_im = 0.0, 0.0, 0.0, 0.0
            for k in range(count):
                beyond = np.float64(ranges[k]) - base
                re += strengths[k] * math.cos(coarse * beyond)
                im += strengths[k] * math.sin(coarse * beyond)
                fine_re += strengths[k] * math.cos(fine * beyond)
                fine_im += strengths[k] * math.sin(fine * beyond)
            distance[y, x] = base + math.atan2(im, re) / coarse
            amplitude[y, x] = math.sqrt(re * re + im * im) / (SIDE * SIDE)
            coherence[y, x] = math.sqrt(fine_re * fine_re + fine_im * fine_im) / total


@kernel()
@no_type_check
def _cells(depth, normals, infrared, rotation, K, side, cells):
    """Of each cell: range, place (3), normal (3) in the camera's frame, irradiance from the sensor, albedo, area."""
    rows, columns = depth.shape
    for cy in range(cells.shape[0]):
        for cx in range(cells.shape[1]):
            count, best, at_i, at_j = 0, 1e9, -1, -1
            for v in range(4):
                j = min(cy * side + int((v + 0.5) * side / 4), rows - 1)
                for u in range(4):
                    i = min(cx * side + int((u + 0.5) * side / 4), columns - 1)
                    if depth[j, i] <= 0:
                        continue
                    count += 1
                    off = (u - 1.6) ** 2 + (v - 1.6) ** 2
                    if off < best:
                        best, at_i, at_j = off, i, j
            if count == 0:
                continue
            z = np.float64(depth[at_j, at_i])
            x, y = (at_i + 0.5 - K[0, 2]) / K[0, 0], (at_j + 0.5 - K[1, 2]) / K[1, 1]
            length = math.sqrt(x * x + y * y + 1)
            cell = cells[cy, cx]
            cell[1], cell[2], cell[3] = x * z, y * z, z
            facing = 0.0
            for k in range(3):
                cell[4 + k] = (
                    rotation[k, 0] * normals[at_j, at_i, 0]
                    + rotation[k, 1] * normals[at_j, at_i, 1]
                    + rotation[k, 2] * normals[at_j, at_i, 2]
                )
                facing -= cell[4 + k] * cell[1 + k]
            # A normal that points away is turned round: what is seen faces the sensor.
            if facing < 0:
                cell[4], cell[5], cell[6] = -cell[4], -cell[5], -cell[6]
            cosine = max(abs(facing) / (z * length), 0.05)
            cell[0] = z * length
            cell[7] = cosine / cell[0] ** 2
            cell[8] = infrared[at_j, at_i]
            cell[9] = count / 16 * (side * z / K[0, 0]) * (side * z / K[1, 1]) / cosine


@kernel()
@no_type_check
def _bounce(cells, fine, bias):
    """Phasor of the direct light, 1, and of what comes by way of every other cell."""
    for i in range(len(cells)):
        re, im = 1.0, 0.0
        r, px, py, pz = cells[i, 0], cells[i, 1], cells[i, 2], cells[i, 3]
        nx, ny, nz, light = cells[i, 4], cells[i, 5], cells[i, 6], cells[i, 7]
        for j in range(len(cells)):
            dx, dy, dz = cells[j, 1] - px, cells[j, 2] - py, cells[j, 3] - pz
            here = nx * dx + ny * dy + nz * dz
            there = -(cells[j, 4] * dx + cells[j, 5] * dy + cells[j, 6] * dz)
            if here <= 0 or there <= 0:
                continue
            square = dx * dx + dy * dy + dz * dz
            # No nearer than a cell is wide: the form factor is of a point.
            area = cells[j, 9]
            floor = max(square, area)
            share = cells[j, 8] * cells[j, 7] * here * there * area / (math.pi * square * floor * light)
            if share < 1e-5:
                continue
            longer = 0.5 * (cells[j, 0] + math.sqrt(square) - r)
            re += share * math.cos(fine * longer)
            im += share * math.sin(fine * longer)
        bias[i] = math.atan2(im, re) / fine
