"""Compiled kernels of the color sensor: light to numbers behind a color filter array, and back to colors.

Demosaicing: Malvar, He and Cutler (2004), High-quality linear interpolation for demosaicing of Bayer-patterned color
images: bilinear interpolation corrected by the Laplacian of the color that the pixel does have.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

from . import chance as sensor_noise
from .chance import MANY, bits64, normal, poisson, uniform

kernel = kernel_compiler(__file__, sensor_noise.__file__)


@njit(inline="always")
@no_type_check
def filter_of(y, x):
    """Color of a pixel's filter, RGGB: red at even rows and columns."""
    return (y & 1) + (x & 1)


@njit(inline="always")
@no_type_check
def _number(electrons, full_well, read_noise, noisy, bits, to_number, black, largest):
    """What the converter says of an expected number of electrons."""
    counted = electrons
    if noisy:
        shot = np.float32(0.0)
        if electrons < np.float32(MANY):
            # One draw for the photons, another for the electronics.
            counted = poisson(electrons, uniform(bits)) if electrons > np.float32(0.0) else shot
            again = bits64(bits, np.uint64(1))
            counted = min(counted, full_well) + read_noise * normal(again)
        else:
            variance = electrons + read_noise * read_noise
            counted = min(
                electrons + np.sqrt(variance) * normal(bits), full_well + np.float32(4) * read_noise
            )
    else:
        counted = min(counted, full_well)
    number = np.floor(counted * to_number + black + np.float32(0.5))
    return min(max(number, np.float32(0.0)), largest)


@kernel()
@no_type_check
def count_mosaic(image, scale, falloff, full_well, read_noise, noisy, seed, to_number, black, largest, out):
    """Numbers of a sensor with RGGB filters. scale: electrons of linear 1 by color; falloff: at the corner."""
    height, width = out.shape
    half_y, half_x = np.float32(0.5 * height), np.float32(0.5 * width)
    corner = np.float32(1.0) / (half_y * half_y + half_x * half_x)
    for y in range(height):
        dy = np.float32(y) + np.float32(0.5) - half_y
        for x in range(width):
            dx = np.float32(x) + np.float32(0.5) - half_x
            color = filter_of(y, x)
            light = np.float32(1.0) - falloff * (dx * dx + dy * dy) * corner
            electrons = max(image[y, x, color], np.float32(0.0)) * scale[color] * light
            out[y, x] = _number(
                electrons,
                full_well,
                read_noise,
                noisy,
                bits64(seed, y * width + x),
                to_number,
                black,
                largest,
            )


@kernel()
@no_type_check
def count_colors(image, scale, falloff, full_well, read_noise, noisy, seed, to_number, black, largest, out):
    """The same of a sensor that has all three colors in each pixel."""
    height, width = out.shape[:2]
    half_y, half_x = np.float32(0.5 * height), np.float32(0.5 * width)
    corner = np.float32(1.0) / (half_y * half_y + half_x * half_x)
    for y in range(height):
        dy = np.float32(y) + np.float32(0.5) - half_y
        for x in range(width):
            dx = np.float32(x) + np.float32(0.5) - half_x
            light = np.float32(1.0) - falloff * (dx * dx + dy * dy) * corner
            for c in range(3):
                electrons = max(image[y, x, c], np.float32(0.0)) * scale[c] * light
                random = bits64(seed, 3 * (y * width + x) + c)
                out[y, x, c] = _number(
                    electrons, full_well, read_noise, noisy, random, to_number, black, largest
                )


@kernel()
@no_type_check
def demosaic_malvar(mosaic, out):
    """mosaic: numbers within a border of two mirrored pixels on all sides. out: h w 3."""
    height, width = out.shape[:2]
    eighth = np.float32(0.125)
    for y in range(height):
        for x in range(width):
            i, j = y + 2, x + 2
            c = mosaic[i, j]
            up, down, left, right = mosaic[i - 1, j], mosaic[i + 1, j], mosaic[i, j - 1], mosaic[i, j + 1]
            up2, down2 = mosaic[i - 2, j], mosaic[i + 2, j]
            left2, right2 = mosaic[i, j - 2], mosaic[i, j + 2]
            corners = (
                mosaic[i - 1, j - 1] + mosaic[i - 1, j + 1] + mosaic[i + 1, j - 1] + mosaic[i + 1, j + 1]
            )
            here = filter_of(y, x)
            if here == 1:
                rows = (
                    np.float32(5) * c
                    + np.float32(4) * (left + right)
                    - corners
                    - (left2 + right2)
                    + np.float32(0.5) * (up2 + down2)
                ) * eighth
                columns = (
                    np.float32(5) * c
                    + np.float32(4) * (up + down)
                    - corners
                    - (up2 + down2)
                    + np.float32(0.5) * (left2 + right2)
                ) * eighth
                even = (y & 1) == 0  # red beside it, blue above and below
                out[y, x, 0] = rows if even else columns
                out[y, x, 1] = c
                out[y, x, 2] = columns if even else rows
            else:
                cross2 = up2 + down2 + left2 + right2
                green = (np.float32(4) * c + np.float32(2) * (up + down + left + right) - cross2) * eighth
                other = (np.float32(6) * c + np.float32(2) * corners - np.float32(1.5) * cross2) * eighth
                out[y, x, here] = c
                out[y, x, 1] = green
                out[y, x, 2 - here] = other


@kernel()
@no_type_check
def encode(raw, black, gains, table, out):
    """Numbers to 8 bits: black taken off, gains by color, and the tone curve as a table over linear 0..1."""
    height, width = out.shape[:2]
    last = np.float32(len(table) - 1)
    for y in range(height):
        for x in range(width):
            for c in range(3):
                value = (raw[y, x, c] - black) * gains[c]
                value = min(max(value, np.float32(0.0)), np.float32(1.0))
                out[y, x, c] = table[np.int64(value * last + np.float32(0.5))]
