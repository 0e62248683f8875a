"""One camera's view of the Gaussians on the CPU: records and tile lists, and the passes over them.

Numpy arrays in, numpy arrays out. Work is cut into ranges for ``render.runtime.threads``; results are the same bits
for any number of threads. Memory beyond inputs and images: 64 bytes a Gaussian and camera, 8 a (Gaussian,
tile) pair, and in the backward pass 40 a pair (with N channels 32 + 4 (N + 1), rounded up to 32).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from simulacra.render.gaussians.blending import TILE_HEIGHT, TILE_WIDTH, blend, blend_backward
from simulacra.render.gaussians.blending_channels import blend_channels, blend_channels_backward, reduce_slots
from simulacra.render.gaussians.blending_statistics import (
    SHARES,
    measure_shares,
    median_gaussians,
    reduce_shares,
)
from simulacra.render.gaussians.projection import CAMERA, RECORD, SLOT, project
from simulacra.render.gaussians.projection_backward import VIEW, VIEW_BLOCK, project_backward
from simulacra.render.gaussians.simd import LANES
from simulacra.render.gaussians.sorting import sort_into_tiles
from simulacra.render.runtime.threads import run_ranges, run_split, split, thread_count

PROJECT_BLOCK = 2048  # least Gaussians a thread is woken for
CHUNKS_A_THREAD = 8  # tiles go to threads in that many runs each: even load, yet neighbours stay together
TILE_COST = 64  # the fixed cost of a tile, in entries
COLORS = 3  # this many channels have kernels of their own

Images = tuple[np.ndarray, np.ndarray, np.ndarray]  # features h w f, alpha h w, depth h w; or their gradients


@dataclass(frozen=True)
class Shapes:
    """What projection takes of the Gaussians, contiguous float32."""

    means: np.ndarray
    quats: np.ndarray
    log_scales: np.ndarray
    logit_opacities: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        """All four, in the order in which kernels take them."""
        return self.means, self.quats, self.log_scales, self.logit_opacities


@dataclass(frozen=True)
class Screen:
    """A camera: a row of ``CAMERA`` numbers, the image's size, whether opacities are compensated, and the dilation."""

    camera: np.ndarray
    width: int
    height: int
    antialiased: bool
    eps2d: float


@dataclass(frozen=True)
class TiledGaussians:
    """Projected and sorted Gaussians, and what the drawing leaves for its reverse.

    Attributes:
        screen: the camera.
        records: ``n RECORD``.
        values: features, depth and zeros, ``n C``; None if the features are colors, which the records hold.
        tile_starts: see ``sort_into_tiles``, as for the next two.
        entries: the Gaussians of each tile, in order of depth.
        slot_starts: where each Gaussian's gradients are collected.
        ends: of each tile, the entry before which it was finished; filled by ``blend_tiles``.
    """

    screen: Screen
    records: np.ndarray
    values: np.ndarray | None
    tile_starts: np.ndarray
    entries: np.ndarray
    slot_starts: np.ndarray
    ends: np.ndarray

    @property
    def tiles(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[int, int]]:
        """What the kernels take of them: (tile_starts, entries), and width and height of the image."""
        return (self.tile_starts, self.entries), (self.screen.width, self.screen.height)

    def over_tiles(self, work: Callable[[int, int, int], None]) -> None:
        """Call ``work(part, start, stop)`` over all tiles."""
        threads = thread_count()
        run_ranges(work, _tile_chunks(self.tile_starts, threads), threads)


def camera_row(viewmat: torch.Tensor, K: torch.Tensor) -> np.ndarray:
    """The rows of (rotation | translation), then fx fy cx cy."""
    row = np.empty(CAMERA, np.float32)
    row[:12] = viewmat.detach().numpy()[:3].ravel()
    matrix = K.detach().numpy()
    row[12:] = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    return row


def project_tiles(
    shapes: Shapes, features: np.ndarray, offsets: np.ndarray, screen: Screen, radii: np.ndarray
) -> TiledGaussians:
    """Project and sort; ``radii`` (n) is written.

    Raises:
        ValueError: a quaternion of length zero.
    """
    n, threads, count = len(radii), thread_count(), features.shape[1]
    records = torch.empty(n, RECORD).numpy()  # torch aligns to 64 bytes, so that a record is one cache line
    depths, tiles = np.empty(n, np.float32), np.empty((n, 4), np.int16)
    size = (screen.width, screen.height, TILE_WIDTH, TILE_HEIGHT)
    colors = features if count == COLORS else np.zeros((n, COLORS), np.float32)
    bounds = split(n, min(threads, max(1, n // PROJECT_BLOCK)), LANES)
    inputs = (
        *shapes.arrays(),
        colors,
        offsets,
        screen.camera,
        *size,
        screen.antialiased,
        np.float32(screen.eps2d),
    )
    outputs = (records, depths, tiles, radii)
    sound: list[bool] = []
    run_ranges(lambda _, a, b: sound.append(project(*inputs, a, b, *outputs)), bounds, threads)
    if not all(sound):
        raise ValueError("a quaternion of length zero has no orientation")
    values = None
    if count != COLORS:
        values = np.zeros((n, -(-(count + 1) // 4) * 4), np.float32)
        values[:, :count], values[:, count] = features, depths
    columns, rows = -(-screen.width // TILE_WIDTH), -(-screen.height // TILE_HEIGHT)
    lists = sort_into_tiles(depths, tiles, columns, rows, threads)
    return TiledGaussians(screen, records, values, *lists, np.empty(columns * rows, np.int32))


def blend_tiles(view: TiledGaussians, background: np.ndarray, images: Images) -> None:
    """Blend into ``images``."""
    rest = (background, images, view.ends)
    if view.values is None:
        view.over_tiles(lambda _, a, b: blend(view.records, *view.tiles, a, b, *rest))
    else:
        view.over_tiles(lambda _, a, b: blend_channels(view.records, view.values, *view.tiles, a, b, *rest))


def blend_tiles_backward(
    view: TiledGaussians,
    images: Images,
    upstream: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    grad_features: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The reverse of ``blend_tiles``: slots of moments and where each Gaussian's begin, for ``project_tiles_backward``.

    Of colors, gradients are left in the slots; those of other features are written to ``grad_features``.
    ``upstream`` are the gradients of the images; that of depth may be None.
    """
    if view.values is None:
        slots = np.empty(len(view.entries) * SLOT + LANES, np.float32)  # the last one is read as whole lanes
        rest = (images, view.ends, *upstream, slots)
        view.over_tiles(lambda _, a, b: blend_backward(view.records, *view.tiles, a, b, *rest))
        return slots, view.slot_starts
    if upstream[2] is None:
        upstream = (*upstream[:2], np.zeros_like(upstream[1]))
    n, stride = len(view.records), LANES + -(-view.values.shape[1] // LANES) * LANES
    slots = np.empty(len(view.entries) * stride, np.float32)
    inputs = (view.records, view.values, *view.tiles)
    view.over_tiles(
        lambda _, a, b: blend_channels_backward(*inputs, a, b, images, view.ends, upstream, slots)
    )
    moments = np.empty(n * SLOT + LANES, np.float32)
    run_split(
        lambda a, b: reduce_slots(view.slot_starts, slots, stride, a, b, moments, grad_features), n, LANES
    )
    return moments, np.arange(n + 1, dtype=np.int32)


def project_tiles_backward(
    view: TiledGaussians,
    shapes: Shapes,
    slots: np.ndarray,
    slot_starts: np.ndarray,
    shared: list[np.ndarray],
    grad_rgb: np.ndarray,
    grad_offsets: np.ndarray,
) -> np.ndarray:
    """The reverse of projection: adds to ``shared`` (gradients of the four shapes), writes this camera's
    ``grad_rgb`` and ``grad_offsets``; returns the gradient of its view matrix, ``3 4``, float64.
    """
    screen = view.screen
    partial = np.zeros((-(-len(view.records) // VIEW_BLOCK), VIEW, LANES), np.float32)
    inputs = (*shapes.arrays(), screen.camera, screen.width, screen.height, screen.antialiased)
    rest = (view.records, slot_starts, slots, *shared, grad_rgb, grad_offsets, partial)
    run_split(lambda a, b: project_backward(*inputs, a, b, *rest), len(view.records), VIEW_BLOCK)
    total = partial.sum((0, 2), dtype=np.float64)
    return np.concatenate([total[:9].reshape(3, 3), total[9:, None]], axis=1)


def medians(view: TiledGaussians, depths: np.ndarray) -> np.ndarray:
    """The index of the Gaussian at every pixel's median depth, -1 where there is none: int32 ``h w``. Their
    depths are written to ``depths``, 0 where there is none.
    """
    found = np.empty((view.screen.height, view.screen.width), np.int32)
    view.over_tiles(lambda _, a, b: median_gaussians(view.records, *view.tiles, a, b, found, depths))
    return found


def shares(view: TiledGaussians) -> tuple[np.ndarray, np.ndarray]:
    """Sum and maximum over the image of each Gaussian's blending weight, ``n`` each; after ``blend_tiles``."""
    slots = np.empty(len(view.entries) * SHARES, np.float32)
    view.over_tiles(lambda _, a, b: measure_shares(view.records, *view.tiles, a, b, view.ends, slots))
    totals, largest = (np.empty(len(view.records), np.float32) for _ in range(2))
    run_split(
        lambda a, b: reduce_shares(view.slot_starts, slots, a, b, totals, largest), len(totals), PROJECT_BLOCK
    )
    return totals, largest


def _tile_chunks(tile_starts: np.ndarray, threads: int) -> list[int]:
    """Bounds of runs of neighbouring tiles of about equal work, in image order (their data is near each
    other).
    """
    tiles = len(tile_starts) - 1
    if threads == 1:
        return [0, tiles]
    work = tile_starts.astype(np.int64) + TILE_COST * np.arange(tiles + 1)
    chunks = min(tiles, threads * CHUNKS_A_THREAD)
    inner = np.searchsorted(work, work[-1] * np.arange(1, chunks) // chunks)
    return [0, *(int(i) for i in np.unique(inner) if 0 < i < tiles), tiles]
