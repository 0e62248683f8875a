"""Pictures through a lens: drawn by a pinhole camera that sees a bit more, then resampled to where the lens has it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.interpolate import RectBivariateSpline

from simulacra.recon.session.lens import Lens, distort, undistort
from simulacra.render.camera import Cameras
from simulacra.render.runtime.errors import CalibrationError

# Rays are found exactly at every so many pixels, and between them by a spline where that is good enough.
STEP = 8
GOOD_ENOUGH_PX = 1e-3
# Pixels about the drawn picture, for filters.
MARGIN = 2
# A pinhole picture that must be larger than this, in images of the camera's size along a side, is not drawn.
LARGEST = 3.0
# A bilinear sample stands for so many of the drawn picture's pixels along a side; more samples a pixel than the second
# number, squared, cost more than they show.
DENSEST, MOST_SAMPLES = 1.5, 4


@dataclass(frozen=True)
class LensView:
    """How to take a lens' picture.

    Attributes:
        K: intrinsics of the pinhole picture to draw, whose size is width x height.
        columns: of each pixel behind the lens, its place in the pinhole picture as cv2.remap counts.
        rows: likewise, down.
        samples: along a side, for each pixel.
    """

    K: Float[np.ndarray, "3 3"]
    width: int
    height: int
    columns: Float[np.ndarray, "h w"]
    rows: Float[np.ndarray, "h w"]
    samples: int

    def camera(self, viewmat: Float[np.ndarray, "4 4"]) -> Cameras:
        """The pinhole camera to draw with: a batch of one, float32."""
        return Cameras(
            torch.from_numpy(viewmat).float()[None],
            torch.from_numpy(self.K).float()[None],
            self.width,
            self.height,
        )

    def picture(self, image: Float[np.ndarray, "ph pw *k"]) -> Float[np.ndarray, "h w *k"]:
        """A drawn picture behind the lens: bilinear, the mean of several places where it shrinks."""
        if self.samples == 1:
            return _remap(image, self.columns, self.rows, cv2.INTER_LINEAR)
        across = [np.gradient(values, axis=1).astype(np.float32) for values in (self.columns, self.rows)]
        down = [np.gradient(values, axis=0).astype(np.float32) for values in (self.columns, self.rows)]
        total = np.zeros((*self.columns.shape, *image.shape[2:]), np.float32)
        offsets = (np.arange(self.samples) + 0.5) / self.samples - 0.5
        for v in offsets:
            for u in offsets:
                columns, rows = (
                    own + np.float32(u) * dx + np.float32(v) * dy
                    for own, dx, dy in zip((self.columns, self.rows), across, down)
                )
                total += _remap(image, columns, rows, cv2.INTER_LINEAR)
        return total / np.float32(self.samples**2)

    def nearest(self, values: Float[np.ndarray, "ph pw *k"]) -> Float[np.ndarray, "h w *k"]:
        """Depth, normals, layers behind the lens: each pixel has one of the drawn values."""
        return _remap(values, self.columns, self.rows, cv2.INTER_NEAREST)

    def seen(self) -> Bool[np.ndarray, "h w"]:
        """Pixels that the lens has light for."""
        return self.columns > -1e3


def lens_view(K: Float[np.ndarray, "3 3"], width: int, height: int, lens: Lens | None) -> LensView:
    """The pinhole picture that a camera with a lens needs, and the way through the lens.

    Raises:
        CalibrationError: a lens that sees too wide for one pinhole picture.
    """
    return _lens_view(tuple(map(float, np.asarray(K, np.float64).ravel())), width, height, lens)


@functools.lru_cache(maxsize=16)
def _lens_view(k: tuple[float, ...], width: int, height: int, lens: Lens | None) -> LensView:
    K = np.array(k).reshape(3, 3)
    if lens is None:
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        return LensView(K, width, height, columns, rows, 1)
    rays = _rays(K, width, height, lens)
    places = rays * K[[0, 1], [0, 1]] + K[:2, 2]
    known = np.isfinite(places).all(-1)
    if not known.any():
        raise CalibrationError(
            "a lens images nothing", where="lens of a virtual camera", found=str(lens)[:120]
        )
    low = np.floor(places[known].min(0)).astype(int) - MARGIN
    high = np.ceil(places[known].max(0)).astype(int) + MARGIN
    wide, tall = (int(size) for size in high - low)
    if wide > LARGEST * width or tall > LARGEST * height:
        raise CalibrationError(
            "a lens sees too wide for one pinhole picture",
            where="lens of a virtual camera",
            expected=f"a pinhole picture of at most {LARGEST:g} times the camera's size",
            found=f"{wide} x {tall} for {width} x {height} pixels",
            remedy="a longer focal length, or a smaller image circle",
        )
    wanted = K.copy()
    wanted[:2, 2] -= low
    at = np.where(known[..., None], places - low - 0.5, -1e4).astype(np.float32)
    return LensView(wanted, wide, tall, at[..., 0].copy(), at[..., 1].copy(), _samples(at, known))


def _samples(at: Float[np.ndarray, "h w 2"], known: Bool[np.ndarray, "h w"]) -> int:
    """Samples along a pixel's side, for where it holds most of the drawn picture's pixels."""
    across = np.linalg.norm(np.diff(at, axis=1), axis=-1)[known[:, 1:] & known[:, :-1]]
    down = np.linalg.norm(np.diff(at, axis=0), axis=-1)[known[1:] & known[:-1]]
    most = max(float(across.max(initial=1.0)), float(down.max(initial=1.0)))
    return min(MOST_SAMPLES, int(np.ceil(most / DENSEST)))


def _rays(K: Float[np.ndarray, "3 3"], width: int, height: int, lens: Lens) -> Float[np.ndarray, "h w 2"]:
    """Rays of all pixels, in focal lengths: by a spline where the lens is smooth, else one by one."""
    columns = (np.arange(width) + 0.5 - K[0, 2]) / K[0, 0]
    rows = (np.arange(height) + 0.5 - K[1, 2]) / K[1, 1]
    coarse = [_every_nth(values, STEP) for values in (columns, rows)]
    targets = np.stack(np.meshgrid(columns, rows), axis=-1)
    if min(map(len, coarse)) > 4:
        found = undistort(lens, np.stack(np.meshgrid(*coarse), axis=-1))
        if np.isfinite(found).all():
            splines = [RectBivariateSpline(coarse[1], coarse[0], found[..., axis], s=0) for axis in (0, 1)]
            rays = np.stack([spline(rows, columns) for spline in splines], axis=-1)
            error = np.abs(distort(lens, rays) - targets).max()
            if error * max(K[0, 0], K[1, 1]) <= GOOD_ENOUGH_PX:
                return rays
    return np.concatenate([undistort(lens, targets[k : k + 64]) for k in range(0, height, 64)])


def _every_nth(values: Float[np.ndarray, "n"], step: int) -> Float[np.ndarray, "m"]:
    """Each so many-th value, and the last."""
    chosen = np.unique(np.append(np.arange(0, len(values), step), len(values) - 1))
    return values[chosen]


def _remap(
    image: Float[np.ndarray, "ph pw *k"], columns: np.ndarray, rows: np.ndarray, how: int
) -> Float[np.ndarray, "h w *k"]:
    return cv2.remap(image, columns, rows, how, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
