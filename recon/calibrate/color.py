"""Colors of cameras made alike, by the points that they see in common.

Two cameras show one point in two colors: for their settings differ (what is undone here), for the point shines or lies
in shadow from one of them, and because depth and calibration are off by some pixels (what must not be learnt). So the
map of each camera has few parameters and is chosen by points that were left out:

    none    no map
    gain    one factor a channel
    affine  3x4: a mixture of the channels and an offset
    curve   a monotone function a channel

All are x + F(x) theta, linear in their unknowns, so that all cameras are solved at once: the difference of any two
cameras at a common point is to vanish. The gauge is the mean camera: the thetas sum to 0, so that no camera is the
right one, and the trivial solution (all colors alike grey) is no solution. Highlights, and what is not really the same
point, are outliers of a robust cost (Geman and McClure's).

Only cameras that are asked for are ever read: a camera that is held out to judge a reconstruction stays as it is.

Symbols: ``n`` points, ``c`` cameras, ``p`` parameters of a channel of a map. Colors are sRGB values in 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CaptureError

Model = Literal["none", "gain", "affine", "curve"]
MODELS: tuple[Model, ...] = ("none", "gain", "affine", "curve")
# Kept in this range: clipped channels say nothing of a camera's settings.
DARKEST, BRIGHTEST = 0.03, 0.97
FEWEST_POINTS = 200
_KNOTS = np.linspace(0, 1, 6)
_FOLDS = 5
_ROBUST = 3.0
_ITERATIONS = 10
# Of the identity, in units of one point of contrast 1: holds what few points fix.
_RIDGE = 2.0
# A map must lower the difference on points left out by so much of it to be worth having over a simpler one.
_WORTH = 0.02
# Points are taken on a grid of so many pixels, are one where depths agree to this, and colors are means around them.
_GRID_PX = 12
_SAME_M = 0.01
_BLUR_PX = 1.5
_LEAST_COSINE = 0.4


@dataclass(frozen=True)
class SharedColors:
    """Colors of points in the cameras that see them.

    Attributes:
        cameras: names. colors: NaN where a camera does not see a point.
        block: points of one block are near each other (or of one frame) and are left out together.
    """

    cameras: tuple[str, ...]
    colors: Float[np.ndarray, "n c 3"]
    block: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class ColorMatch:
    """Maps of the cameras, and what they are worth.

    Attributes:
        model: the one chosen. theta: its parameters.
        before, after: median difference between two cameras at a common point that was left out (mean of channels).
        tried: the same after each of the models.
        points: that two cameras saw.
    """

    cameras: tuple[str, ...]
    model: Model
    theta: Float[np.ndarray, "c 3 p"]
    before: float
    after: float
    tried: Mapping[str, float]
    points: int

    def apply(self, camera: str, image: Float[np.ndarray, "*hw 3"]) -> Float[np.ndarray, "*hw 3"]:
        """A picture as the mean camera would have taken it.

        Raises:
            KeyError: the camera was not matched: one that is held out has no map.
        """
        if camera not in self.cameras:
            raise KeyError(f"colors of {camera} were not matched; there are {', '.join(self.cameras)}")
        if self.model == "none":
            return image
        theta = self.theta[self.cameras.index(camera)]
        flat = image.reshape(-1, 3).astype(np.float64)
        return np.clip(_mapped(flat, theta, self.model), 0, 1).astype(image.dtype).reshape(image.shape)


def match_colors(shared: SharedColors, model: Model | None = None) -> ColorMatch:
    """Maps that make the cameras agree.

    Args:
        model: which map; chosen by points left out if None.

    Raises:
        CaptureError: the cameras share too few points.
    """
    colors = _usable(shared.colors)
    seen = np.isfinite(colors).all(-1)
    kept = seen.sum(1) >= 2
    colors, block = colors[kept], shared.block[kept]
    if len(colors) < FEWEST_POINTS or (seen[kept].sum(0) == 0).any():
        raise CaptureError(
            "the cameras share too few points to match their colors",
            where=", ".join(n for n, own in zip(shared.cameras, seen[kept].sum(0), strict=True) if own == 0)
            or None,
            expected=f"{FEWEST_POINTS} points that two cameras see",
            found=len(colors),
        )
    tried: dict[str, float] = {name: _left_out(colors, block, name) for name in MODELS}
    before = tried["none"]
    if model is None:
        model = "none"
        for name in MODELS[1:]:
            if tried[name] < (1 - _WORTH) * tried[model]:
                model = name
    theta = _fitted(colors, model)
    return ColorMatch(shared.cameras, model, theta, before, tried[model], tried, len(colors))


def difference(colors: Float[np.ndarray, "n c 3"]) -> float:
    """Median over all pairs of cameras at all points of the difference (mean of the channels)."""
    found = []
    for first in range(colors.shape[1]):
        for second in range(first + 1, colors.shape[1]):
            apart = np.abs(colors[:, first] - colors[:, second]).mean(-1)
            found.append(apart[np.isfinite(apart)])
    return float(np.median(np.concatenate(found)))


def shared_colors_by_depth(session: Session, cameras: Sequence[str], frames: Sequence[int]) -> SharedColors:
    """Colors of points that an RGB-D rig measured, on the person where there are masks.

    A point belongs to two cameras if both measured it where it is, and both see it from in front.

    Args:
        cameras: those to be matched; no other is read.

    Raises:
        CaptureError: a camera has no depth.
    """
    session = session.with_cameras(cameras)
    parts, blocks = [], []
    for number, frame in enumerate(frames):
        views = {name: _view(session, frame, name) for name in cameras if session.has(frame, name)}
        for name in views:
            points = _points(views[name])
            colors = np.full((len(points), len(cameras), 3), np.nan)
            for other, view in views.items():
                colors[:, cameras.index(other)] = _seen(points, view)
            parts.append(colors)
            # Of one frame, bands of height are left out together.
            height = points[:, 1] - points[:, 1].min() if len(points) else np.zeros(0)
            bands = np.floor(height / max(float(height.max(initial=0)), 1e-9) * 9.99).astype(int)
            blocks.append(10 * number + bands)
    return SharedColors(tuple(cameras), np.concatenate(parts), np.concatenate(blocks))


# -- maps ------------------------------------------------------------------------------------------


def _features(colors: Float[np.ndarray, "n 3"], channel: int, model: Model) -> Float[np.ndarray, "n p"]:
    own = colors[:, channel]
    if model == "gain":
        return own[:, None]
    if model == "affine":
        return np.concatenate([colors, np.ones((len(colors), 1))], 1)
    if model == "curve":
        return np.maximum(1 - np.abs(own[:, None] - _KNOTS) * (len(_KNOTS) - 1), 0)
    return np.zeros((len(colors), 1))


def _mapped(
    colors: Float[np.ndarray, "n 3"], theta: Float[np.ndarray, "3 p"], model: Model
) -> Float[np.ndarray, "n 3"]:
    return colors + np.stack([_features(colors, k, model) @ theta[k] for k in range(3)], -1)


def _mapped_all(
    colors: Float[np.ndarray, "n c 3"], theta: Float[np.ndarray, "c 3 p"], model: Model
) -> Float[np.ndarray, "n c 3"]:
    result = np.full_like(colors, np.nan)
    for camera in range(colors.shape[1]):
        seen = np.isfinite(colors[:, camera]).all(-1)
        result[seen, camera] = _mapped(colors[seen, camera], theta[camera], model)
    return result


def _fitted(colors: Float[np.ndarray, "n c 3"], model: Model) -> Float[np.ndarray, "c 3 p"]:
    """Parameters that bring all cameras together, robustly; weights are shared by the channels."""
    cameras = colors.shape[1]
    seen = np.isfinite(colors).all(-1)
    known = np.nan_to_num(colors)
    size = _features(known[:, 0], 0, model).shape[1]
    theta = np.zeros((cameras, 3, size))
    if model == "none":
        return theta
    features = np.stack(
        [np.stack([_features(known[:, c], k, model) for k in range(3)], 1) for c in range(cameras)], 1
    )  # n c 3 p
    weights = seen.astype(np.float64)
    for _ in range(_ITERATIONS):
        for channel in range(3):
            theta[:, channel] = _channel(known[..., channel], features[:, :, channel], weights)
        rest = _mapped_all(colors, theta, model)
        middle = _weighted_mean(np.nan_to_num(rest), weights)
        apart = np.linalg.norm(np.nan_to_num(rest) - middle[:, None], axis=-1)
        scale = 1.4826 * float(np.median(apart[seen])) + 1e-6
        weights = seen / (1 + (apart / (_ROBUST * scale)) ** 2) ** 2
    return _monotone(theta) if model == "curve" else theta


def _channel(
    values: Float[np.ndarray, "n c"], features: Float[np.ndarray, "n c p"], weights: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, "c p"]:
    """Least squares of the differences from the mean of each point, the thetas summing to 0."""
    count, cameras, size = features.shape
    total = np.maximum(weights.sum(1), 1e-12)
    normal = np.zeros((cameras, size, cameras, size))
    for c in range(cameras):
        normal[c, :, c] = (weights[:, c, None] * features[:, c]).T @ features[:, c]
    scaled = (weights[..., None] * features).reshape(count, -1)
    normal = normal.reshape(cameras * size, -1) - (scaled / total[:, None]).T @ scaled
    middle = (weights * values).sum(1) / total
    slope = ((weights * (values - middle[:, None]))[..., None] * features).sum(0).ravel()
    gauge = np.tile(np.eye(size), (cameras, 1))
    ridge = _RIDGE * np.eye(cameras * size)
    stiff = 1e3 * max(float(normal.trace()) / (cameras * size), 1.0)
    solved = np.linalg.solve(normal + ridge + stiff * gauge @ gauge.T, -slope).reshape(cameras, size)
    return solved - solved.mean(0)


def _monotone(theta: Float[np.ndarray, "c 3 p"]) -> Float[np.ndarray, "c 3 p"]:
    """Curves made to rise: values at the knots never below what they were at darker ones."""
    return np.maximum.accumulate(_KNOTS + theta, axis=-1) - _KNOTS


def _weighted_mean(
    values: Float[np.ndarray, "n c 3"], weights: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, "n 3"]:
    return (weights[..., None] * values).sum(1) / np.maximum(weights.sum(1), 1e-12)[:, None]


def _left_out(colors: Float[np.ndarray, "n c 3"], block: Int[np.ndarray, " n"], model: Model) -> float:
    """Median difference at points of blocks that were left out, under maps of the others."""
    order = np.unique(block)
    fold = np.searchsorted(order, block) * _FOLDS // len(order)
    mapped = np.full_like(colors, np.nan)
    for out in range(_FOLDS):
        own = fold == out
        if own.any() and not own.all():
            mapped[own] = _mapped_all(colors[own], _fitted(colors[~own], model), model)
    return difference(mapped if np.isfinite(mapped).any() else colors)


def _usable(colors: Float[np.ndarray, "n c 3"]) -> Float[np.ndarray, "n c 3"]:
    good = np.all((colors > DARKEST) & (colors < BRIGHTEST), axis=-1, keepdims=True)
    return np.where(good, colors, np.nan)


# -- points ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """One camera's picture with its depth, and the surface's cosine to the view."""

    image: Float[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    use: Bool[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    viewmat: Float[np.ndarray, "4 4"]


def _view(session: Session, frame: int, name: str) -> _View:
    measured = session.depth(frame, name)
    if measured is None:
        raise CaptureError(
            "a camera has no depth: what it shares with others is not known", where=f"{name}, {frame}"
        )
    depth, use = measured
    camera = session.camera(name)
    mask = session.mask(frame, name)
    if mask is not None:
        use = use & (cv2.erode((mask > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    image = cv2.GaussianBlur(session.image(frame, name), (0, 0), _BLUR_PX)
    use = use & (_cosine(depth, camera.K) > _LEAST_COSINE)
    return _View(image, depth, use, camera.K, camera.viewmat)


def _cosine(depth: Float[np.ndarray, "h w"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "h w"]:
    """Of the angle between the measured surface and the viewing direction, from smoothed depth."""
    smooth = cv2.GaussianBlur(depth.astype(np.float64), (0, 0), 3.0)
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]] + 0.5
    local = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones_like(rows)], -1)
    points = local * smooth[..., None]
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    length = np.linalg.norm(normal, axis=-1) * np.linalg.norm(local, axis=-1)
    return np.abs((normal * local).sum(-1)) / np.maximum(length, 1e-12)


def _points(view: _View) -> Float[np.ndarray, "n 3"]:
    """World points on a grid of the picture."""
    grid = np.zeros(view.use.shape, dtype=bool)
    grid[_GRID_PX // 2 :: _GRID_PX, _GRID_PX // 2 :: _GRID_PX] = True
    rows, columns = np.nonzero(view.use & grid)
    z = view.depth[rows, columns].astype(np.float64)
    x = (columns + 0.5 - view.K[0, 2]) / view.K[0, 0] * z
    y = (rows + 0.5 - view.K[1, 2]) / view.K[1, 1] * z
    return (np.stack([x, y, z], -1) - view.viewmat[:3, 3]) @ view.viewmat[:3, :3]


def _seen(points: Float[np.ndarray, "n 3"], view: _View) -> Float[np.ndarray, "n 3"]:
    """Colors of points in a view, NaN where it does not see them."""
    local = points @ view.viewmat[:3, :3].T + view.viewmat[:3, 3]
    z = np.maximum(local[:, 2], 1e-3)
    x = local[:, 0] / z * view.K[0, 0] + view.K[0, 2]
    y = local[:, 1] / z * view.K[1, 1] + view.K[1, 2]
    height, width = view.depth.shape
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (local[:, 2] > 0)
    column, row = column.clip(0, width - 1), row.clip(0, height - 1)
    good = inside & view.use[row, column] & (np.abs(view.depth[row, column] - local[:, 2]) < _SAME_M)
    sampled = cv2.remap(
        view.image,
        (x - 0.5).astype(np.float32)[:, None],
        (y - 0.5).astype(np.float32)[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).reshape(-1, 3)
    return np.where(good[:, None], sampled, np.nan).astype(np.float64)
