"""The losses of a training step and their gradients in Numba, float32; `losses.py` has the definitions and the twins.

A plain torch step of 50,000 Gaussians at 512² spent four times as long on these as on drawing: each elementwise
operation passes over the image once more, forward and backward. Here it is one pass each. Sums are taken within rows
in float64 and over rows in order, so that the number of threads does not change a bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int

from simulacra.render.runtime.compiled import njit
from simulacra.render.runtime.threads import run_split

# A depth error beyond this is another surface, metres.
FAR_DEPTH_M = 0.03
# Where the drawing covers less, its depth is that of an edge.
LEAST_ALPHA = 0.5

_FAR, _LEAST = np.float32(FAR_DEPTH_M), np.float32(LEAST_ALPHA)
_ZERO, _ONE = np.float32(0), np.float32(1)
_FAST = {"contract", "nsz"}

Image = Float32[np.ndarray, "h w 3"]
Plane = Float32[np.ndarray, "h w"]
Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class ComparedImages:
    """What `compare` looked at, and the pictures that it made.

    Attributes:
        images: drawn color, alpha, depth.
        photograph: color over black, mask, depth (0 unknown).
        colors: exp(gain), shift, background.
        ours: the drawing over the background, in the camera's colors.
        theirs: the photograph over the background.
    """

    images: Arrays
    photograph: Arrays
    colors: Arrays
    ours: Image
    theirs: Image


def compare(images: Arrays, photograph: Arrays, colors: Arrays) -> tuple[Image, Image, list[float]]:
    """Both pictures over the background, and sums over pixels; arguments and pictures as in `ComparedImages`.

    Returns:
        ours, theirs; sums of absolute differences of color, of coverage, and of depth in metres, and how many
        pixels the last is over.
    """
    ours, theirs = np.empty_like(images[0]), np.empty_like(images[0])
    sums = np.empty((len(ours), 4), np.float64)
    run_split(
        lambda start, stop: _compare_rows(images, photograph, colors, ours, theirs, sums, start, stop),
        len(ours),
    )
    return ours, theirs, [float(total) for total in sums.sum(0)]


def compare_backward(
    pictures: ComparedImages, similarity: Image | None, scales: Float32[np.ndarray, "4"]
) -> tuple[Image, Plane, Plane, Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
    """Gradients of drawn color, alpha, depth, gain and shift.

    Args:
        similarity: the gradient of SSIM by ours.
        scales: what a pixel's (for SSIM: the score's) l1, SSIM, mask and depth are multiplied by.
    """
    drawn, seen = (*pictures.images, pictures.ours), (*pictures.photograph[1:], pictures.theirs)
    grad_rgb, grad_alpha, grad_depth = (np.empty_like(image) for image in pictures.images)
    sums = np.empty((len(grad_rgb), 6), np.float64)
    of_ssim = np.zeros_like(grad_rgb) if similarity is None else similarity
    outputs = (grad_rgb, grad_alpha, grad_depth, sums)
    run_split(
        lambda start, stop: _compare_back_rows(
            drawn, seen, pictures.colors, of_ssim, scales, outputs, start, stop
        ),
        len(grad_rgb),
    )
    total = sums.sum(0).astype(np.float32)
    return grad_rgb, grad_alpha, grad_depth, total[:3], total[3:]


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _compare_rows(images, photograph, colors, ours, theirs, sums, start, stop):
    rgb, alpha, depth = images
    their_rgb, mask, known = photograph
    gain, shift, background = colors
    for y in range(start, stop):
        color, cover, far, count = 0.0, 0.0, 0.0, 0
        for x in range(rgb.shape[1]):
            a, m = alpha[y, x], mask[y, x]
            for c in range(3):
                our = rgb[y, x, c] * gain[c] + a * shift[c] + (_ONE - a) * background[c]
                their = their_rgb[y, x, c] + (_ONE - m) * background[c]
                ours[y, x, c], theirs[y, x, c] = our, their
                color += abs(our - their)
            cover += abs(a - m)
            if known[y, x] > _ZERO and a > _LEAST:
                far += min(abs(depth[y, x] / a - known[y, x]), _FAR)
                count += 1
        sums[y, 0], sums[y, 1], sums[y, 2], sums[y, 3] = color, cover, far, count


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _compare_back_rows(drawn, seen, colors, similarity, scales, outputs, start, stop):
    rgb, alpha, depth, ours = drawn
    mask, known, theirs = seen
    gain, shift, background = colors
    grad_rgb, grad_alpha, grad_depth, sums = outputs
    of_l1, of_ssim, of_mask, of_depth = scales[0], scales[1], scales[2], scales[3]
    for y in range(start, stop):
        for k in range(6):
            sums[y, k] = 0.0
        for x in range(rgb.shape[1]):
            a = alpha[y, x]
            of_alpha = of_mask * np.sign(a - mask[y, x])
            for c in range(3):
                g = of_l1 * np.sign(ours[y, x, c] - theirs[y, x, c]) + of_ssim * similarity[y, x, c]
                grad_rgb[y, x, c] = g * gain[c]
                of_alpha += g * (shift[c] - background[c])
                sums[y, c] += g * gain[c] * rgb[y, x, c]
                sums[y, 3 + c] += g * a
            grad_depth[y, x] = _ZERO
            if known[y, x] > _ZERO and a > _LEAST:
                expected = depth[y, x] / a
                error = expected - known[y, x]
                if abs(error) <= _FAR:
                    g = of_depth * np.sign(error) / a
                    grad_depth[y, x] = g
                    of_alpha -= g * expected
            grad_alpha[y, x] = of_alpha


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _regularity(means, log_scales, anchors, near, strengths, of_means, of_scales):
    log_largest, smooth, stay, size = strengths
    n, k = near.shape
    moved = np.empty((n, 3), np.float32)
    cost_smooth, cost_stay, cost_size = 0.0, 0.0, 0.0
    of_smooth, of_stay, of_size = 200 * smooth / n, 200 * stay / n, size / n
    for i in range(n):
        for c in range(3):
            moved[i, c] = 100 * (means[i, c] - anchors[i, c])
            cost_stay += moved[i, c] * moved[i, c]
            of_means[i, c] = of_stay * moved[i, c]
            too_long = log_scales[i, c] - log_largest
            of_scales[i, c] = of_size if too_long > 0 else 0
            cost_size += max(too_long, 0)
    for i in range(n):
        for c in range(3):
            mean = _ZERO
            for j in range(k):
                mean += moved[near[i, j], c]
            apart = moved[i, c] - mean / k
            cost_smooth += apart * apart
            of_means[i, c] += of_smooth * apart
            for j in range(k):
                of_means[near[i, j], c] -= of_smooth / k * apart
    return (smooth * cost_smooth + stay * cost_stay + size * cost_size) / n


def regularity(
    means: Float32[np.ndarray, "n 3"],
    log_scales: Float32[np.ndarray, "n 3"],
    anchors: Float32[np.ndarray, "n 3"],
    near: Int[np.ndarray, "n k"],
    log_largest: float,
    smooth: float,
    stay: float,
    size: float,
) -> tuple[float, Float32[np.ndarray, "n 3"], Float32[np.ndarray, "n 3"]]:
    """The cost, and its gradients by means and log_scales."""
    of_means, of_scales = np.empty_like(means), np.empty_like(log_scales)
    strengths = tuple(np.float32(w) for w in (log_largest, smooth, stay, size))
    cost = _regularity(means, log_scales, anchors, near, strengths, of_means, of_scales)
    return float(cost), of_means, of_scales
