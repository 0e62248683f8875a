"""How much of a machine's arithmetic a rasterizer uses, so that results from different machines compare.

A pair is useful if the Gaussian reaches 1/255 at the pixel and the pixel is still open: what any exact rasterizer has
to compute. Some 24 floating-point operations a useful pair are needed forward (quadratic form 7, exponential 9,
blending of color and depth 8), and 42 more backward; a multiply-add counts as two.
"""

from __future__ import annotations

import time
from typing import no_type_check

import numpy as np
import torch
from numba import njit

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians
from simulacra.render.gaussians.reference import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, project

FORWARD_FLOP = 24
BACKWARD_FLOP = 42
SIDE = 1024  # of the matrices whose product measures the peak
SECONDS = 0.4


def peak_flops(threads: int) -> float:
    """Multiply-adds (times two) a second of the machine on so many threads: the best of several matrix products."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a, b = torch.rand(2, SIDE, SIDE)
        product = torch.empty(SIDE, SIDE)
        best, end = np.inf, time.perf_counter() + SECONDS
        torch.mm(a, b, out=product)
        while time.perf_counter() < end:
            begun = time.perf_counter()
            torch.mm(a, b, out=product)
            best = min(best, time.perf_counter() - begun)
    finally:
        torch.set_num_threads(before)
    return 2 * SIDE**3 / best


def useful_pairs(gaussians: Gaussians, cameras: Cameras) -> int:
    """(pixel, Gaussian) pairs that add to the image of the batch's first camera."""
    with torch.no_grad():
        screen = project(gaussians, cameras.viewmats[0], cameras.Ks[0], cameras.width, cameras.height)
        opacities = screen.opacities
        order = torch.argsort(screen.depths, stable=True)
        order = order[screen.drawn[order]]
        conics = torch.linalg.inv(screen.covariances[order]).flatten(1)
        spread = torch.diagonal(screen.covariances[order], dim1=1, dim2=2)
        reach = (2 * (opacities[order, None] / ALPHA_MIN).log().clamp(min=0) * spread).sqrt()
    open_share = np.ones((cameras.height, cameras.width), np.float32)
    arrays = (screen.means[order], conics, reach, opacities[order])
    return int(_count(*(array.numpy() for array in arrays), open_share))


@njit
@no_type_check
def _count(centres, conics, reach, opacities, left):
    height, width = left.shape
    pairs = 0
    for i in range(len(centres)):
        x, y = centres[i]
        a, b, c = conics[i, 0], conics[i, 1], conics[i, 3]
        for row in range(
            max(0, int(np.ceil(y - reach[i, 1] - 0.5))), min(height - 1, int(y + reach[i, 1] - 0.5)) + 1
        ):
            dy = row + 0.5 - y
            for column in range(
                max(0, int(np.ceil(x - reach[i, 0] - 0.5))), min(width - 1, int(x + reach[i, 0] - 0.5)) + 1
            ):
                if left[row, column] == 0:
                    continue
                dx = column + 0.5 - x
                alpha = opacities[i] * np.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)
                if alpha < ALPHA_MIN:
                    continue
                after = left[row, column] * (1 - min(alpha, ALPHA_MAX))
                if after > TRANSMITTANCE_MIN:
                    left[row, column] = after
                    pairs += 1
                else:
                    left[row, column] = 0
    return pairs
