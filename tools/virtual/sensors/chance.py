"""Random numbers of sensors: a function of seed and pixel, so that threads and order change nothing.

Splitmix64's finaliser (Steele, Lea and Flood 2014) of a counter; normal numbers by Box and Muller (1958), Poisson's
by inversion where they are few and by the normal approximation above.
"""

from __future__ import annotations

import hashlib
import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__)

# Above so many a Poisson number is drawn as a normal one: its skewness is 0.18 there, and falls with the root.
MANY = 30.0


def key(seed: int, *names: object) -> np.uint64:
    """A seed of its own for each purpose (and camera, and frame) that is named."""
    text = "/".join(map(str, (seed, *names)))
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))


def normal_field(height: int, width: int, seed: np.uint64) -> Float[np.ndarray, "h w"]:
    """Independent standard normal numbers."""
    out = np.empty((height, width), np.float32)
    fill_normal(out, seed)
    return out


def two_normal_fields(
    height: int, width: int, seed: np.uint64
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Two fields of standard normal numbers, all independent, for little more than one."""
    first, second = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    fill_two_normals(first, second, seed)
    return first, second


@njit(inline="always")
@no_type_check
def bits64(seed, index):
    """64 random bits of a counter."""
    z = seed + (np.uint64(index) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(inline="always")
@no_type_check
def uniform(bits):
    """In (0, 1), from the upper half of 64 bits."""
    return (np.float32(bits >> np.uint64(41)) + np.float32(0.5)) * np.float32(2.0**-23)


@njit(inline="always")
@no_type_check
def uniform_low(bits):
    """In (0, 1), from the lower half, independent of the upper."""
    return (np.float32((bits >> np.uint64(9)) & np.uint64(0x7FFFFF)) + np.float32(0.5)) * np.float32(2.0**-23)


@njit(inline="always")
@no_type_check
def normal(bits):
    """A standard normal number, its largest 5.6."""
    radius = math.sqrt(np.float32(-2.0) * math.log(uniform(bits)))
    return np.float32(radius * math.cos(np.float32(2 * math.pi) * uniform_low(bits)))


@njit(inline="always")
@no_type_check
def poisson(mean, u):
    """A Poisson number of a small mean by inversion of its distribution at u in (0, 1)."""
    chance = math.exp(-mean)
    total = chance
    count = np.float32(0.0)
    while u > total and count < np.float32(200.0):
        count += np.float32(1.0)
        chance *= mean / count
        total += chance
    return count


@kernel()
@no_type_check
def fill_two_normals(first, second, seed):
    height, width = first.shape
    for y in range(height):
        for x in range(width):
            bits = bits64(seed, y * width + x)
            radius = math.sqrt(np.float32(-2.0) * math.log(uniform(bits)))
            angle = np.float32(2 * math.pi) * uniform_low(bits)
            first[y, x] = radius * math.cos(angle)
            second[y, x] = radius * math.sin(angle)


@kernel()
@no_type_check
def fill_normal(out, seed):
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = normal(bits64(seed, y * width + x))
