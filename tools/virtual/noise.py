"""Seeded gradient noise in space: the stuff of folds, weave, skin and backdrops.

Perlin's gradient noise (Improving Noise, 2002) over a lattice whose gradients come from an integer hash, so that there
is no table to be stored and the same seed gives the same numbers on every machine.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.compiled import njit

LACUNARITY = 2.03  # not 2: lattices of the octaves would meet in the same zeros
GAIN = 0.5


def fractal_noise(
    points: Float[np.ndarray, "n 3"], seed: int, octaves: int = 3, size: float = 1.0
) -> Float[np.ndarray, " n"]:
    """Sum of octaves of noise at the points, about -1 to 1; its largest features are ``size`` long."""
    out = np.zeros(len(points), np.float32)
    # Seeds that are made of others may be of more than 32 bits.
    bits = np.uint32(seed % 2**32)
    _fractal(np.ascontiguousarray(points, np.float32), bits, octaves, np.float32(1 / size), out)
    return out


@njit(inline="always")
@no_type_check
def _mix_bits(h):
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    return h ^ (h >> np.uint32(15))


@njit(inline="always")
@no_type_check
def _hash(x, y, z, seed):
    h = (np.uint32(x) * np.uint32(0x8DA6B343)) ^ (np.uint32(y) * np.uint32(0xD8163841))
    return _mix_bits(h ^ (np.uint32(z) * np.uint32(0xCB1AB31F)) ^ (seed * np.uint32(0x9E3779B1)))


@njit(inline="always")
@no_type_check
def _slope(h, x, y, z):
    """Along one of twelve edge directions of a cube."""
    k = ((h & np.uint32(15)) * np.uint32(3)) >> np.uint32(2)  # 0 to 11, some of them twice: no slow division
    a = x if k < 8 else y
    b = y if k < 4 else z
    return (a if h & np.uint32(16) else -a) + (b if h & np.uint32(32) else -b)


@njit(nogil=True)
@no_type_check
def lattice_noise(x, y, z, seed):
    """One octave at a place, in units of its lattice; about -1 to 1."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    x, y, z = x - fx, y - fy, z - fz
    ix, iy, iz = np.int32(fx), np.int32(fy), np.int32(fz)
    u = x * x * x * (x * (x * 6 - 15) + 10)
    v = y * y * y * (y * (y * 6 - 15) + 10)
    w = z * z * z * (z * (z * 6 - 15) + 10)
    x0, x1 = np.uint32(ix) * np.uint32(0x8DA6B343), np.uint32(ix + 1) * np.uint32(0x8DA6B343)
    y0, y1 = np.uint32(iy) * np.uint32(0xD8163841), np.uint32(iy + 1) * np.uint32(0xD8163841)
    z0, z1 = np.uint32(iz) * np.uint32(0xCB1AB31F), np.uint32(iz + 1) * np.uint32(0xCB1AB31F)
    own = seed * np.uint32(0x9E3779B1)
    z0, z1 = z0 ^ own, z1 ^ own
    a = _slope(_mix_bits(x0 ^ y0 ^ z0), x, y, z)
    b = _slope(_mix_bits(x1 ^ y0 ^ z0), x - 1, y, z)
    c = _slope(_mix_bits(x0 ^ y1 ^ z0), x, y - 1, z)
    d = _slope(_mix_bits(x1 ^ y1 ^ z0), x - 1, y - 1, z)
    low = (a + u * (b - a)) + v * ((c + u * (d - c)) - (a + u * (b - a)))
    a = _slope(_mix_bits(x0 ^ y0 ^ z1), x, y, z - 1)
    b = _slope(_mix_bits(x1 ^ y0 ^ z1), x - 1, y, z - 1)
    c = _slope(_mix_bits(x0 ^ y1 ^ z1), x, y - 1, z - 1)
    d = _slope(_mix_bits(x1 ^ y1 ^ z1), x - 1, y - 1, z - 1)
    high = (a + u * (b - a)) + v * ((c + u * (d - c)) - (a + u * (b - a)))
    return low + w * (high - low)


@njit(nogil=True)
@no_type_check
def noise_at(x, y, z, seed, octaves, size, footprint):
    """Octaves of noise at a place, without those too fine for a pixel of ``footprint`` (same units) to show."""
    total, amplitude, period = 0.0, 1.0, size
    for octave in range(octaves):
        shown = 0.5 * period / footprint - 0.5
        if shown <= 0.0:
            break
        value = lattice_noise(x / period, y / period, z / period, np.uint32(seed + octave))
        total += amplitude * min(shown, 1.0) * value
        amplitude *= GAIN
        period /= LACUNARITY
    return total


@njit(nogil=True)
@no_type_check
def chance(a, b, seed):
    """A number from 0 to 1 that belongs to two whole numbers."""
    # Numba widens products of 32 bits to 64.
    return (_hash(np.int32(a), np.int32(b), np.int32(7), np.uint32(seed)) & np.uint64(0xFFFFFF)) / 16777216.0


@njit(nogil=True, cache=True)
@no_type_check
def _fractal(points, seed, octaves, frequency, out):
    for i in range(len(points)):
        total, amplitude, f = 0.0, 1.0, frequency
        for octave in range(octaves):
            x, y, z = points[i, 0] * f, points[i, 1] * f, points[i, 2] * f
            total += amplitude * lattice_noise(x, y, z, seed + np.uint32(octave))
            amplitude *= GAIN
            f *= LACUNARITY
        out[i] = total
