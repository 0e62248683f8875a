"""Lenses: from the ray of a pinhole camera to where the recorded image has it, exactly, and back.

A point is (x, y), the ray (x, y, 1) before the lens or its place on the image plane behind it, both in focal lengths:
pixel = fx x + cx. With r = |(x, y)|, of a fisheye model the ray first becomes (x, y) theta / r with theta = atan r.

    opencv                       k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4]]]; OpenCV's calibrateCamera
    opencv_fisheye               k1 k2 k3 k4; OpenCV's fisheye module, COLMAP's radial fisheyes
    thin_prism_fisheye           k1 k2 p1 p2 k3 k4 sx1 sy1; COLMAP
    rad_tan_thin_prism_fisheye   k0 to k5, p0 p1, s0 to s3; Project Aria, COLMAP
    brown, brown_fisheye         k1 k2 k3 k4 p1 p2 s: radial to r^8, OpenCV's p1 p2, then x + s y; Metashape
    fov                          omega; Devernay and Faugeras 2001, COLMAP
    division                     k: r = r_image / (1 + k r_image^2); Fitzgibbon 2001, COLMAP
    eucm                         alpha beta; Khomutenko et al. 2016, COLMAP
    radial_table                 centre x, centre y, largest radius, then factors at equally spaced radii from 0 to the
                                 largest: a point at radius r about the centre goes to r times the factor there, linear
                                 in between and the last factor beyond; a lens table needs square pixels

A model is good out to where its image radius stops growing (`reach`): beyond, two rays share a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.errors import CalibrationError

LensModel = Literal[
    "opencv",
    "opencv_fisheye",
    "thin_prism_fisheye",
    "rad_tan_thin_prism_fisheye",
    "brown",
    "brown_fisheye",
    "fov",
    "division",
    "eucm",
    "radial_table",
]
LENS_MODELS: tuple[LensModel, ...] = get_args(LensModel)
# How many coefficients each model may have.
COUNTS: dict[LensModel, tuple[int, ...]] = {
    "opencv": (4, 5, 8, 12),
    "opencv_fisheye": (4,),
    "thin_prism_fisheye": (8,),
    "rad_tan_thin_prism_fisheye": (12,),
    "brown": (7,),
    "brown_fisheye": (7,),
    "fov": (1,),
    "division": (1,),
    "eucm": (2,),
}
FISHEYES = frozenset({"opencv_fisheye", "thin_prism_fisheye", "rad_tan_thin_prism_fisheye", "brown_fisheye"})
LONGEST_TABLE = 4096
# Coefficients beyond this are no lens, and their powers are no numbers.
LARGEST = 1e6
# Rays are sought up to this angle from the axis: a pinhole image ends before it.
WIDEST = np.radians(89.5)
SAMPLES = 4000
NEWTON_STEPS = 30
# A ray is found when its image is the given point to this, in focal lengths: a billionth of a pixel's order.
FOUND = 1e-10


@dataclass(frozen=True)
class Lens:
    """What a lens does to the recorded images: one of the models of this module, and its coefficients."""

    model: LensModel
    coefficients: tuple[float, ...]


def check_lens(lens: Lens, where: object, K: Float[np.ndarray, "3 3"] | None = None) -> None:
    """What holds for every lens that can exist.

    Raises:
        CalibrationError: another number of coefficients than the model has, not finite, beyond any lens, or a table
            for pixels that are not square.
    """
    values = lens.coefficients
    counts = COUNTS.get(lens.model, tuple(range(5, LONGEST_TABLE + 4)))
    if len(values) not in counts or not all(np.isfinite(values)) or max(map(abs, values)) > LARGEST:
        raise CalibrationError(
            "lens coefficients are not those of their model",
            where=where,
            expected=f"{lens.model}: {' or '.join(map(str, counts[:4]))} finite numbers",
            found=str(list(values))[:120],
        )
    good = {
        "fov": lambda: abs(values[0]) < np.pi,
        "eucm": lambda: 0 <= values[0] <= 1 and values[1] > 0,
        "radial_table": lambda: values[2] > 0 and min(values[3:]) > 0 and (K is None or _square(K)),
    }.get(lens.model, lambda: True)
    if not good():
        raise CalibrationError(
            "lens coefficients cannot be",
            where=where,
            expected={
                "fov": "an angle under pi",
                "eucm": "alpha in 0..1, beta over 0",
                "radial_table": "square pixels, a radius and factors over 0",
            }[lens.model],
            found=str(list(values))[:120],
        )


def _square(K: Float[np.ndarray, "3 3"]) -> bool:
    return bool(abs(K[0, 0] / K[1, 1] - 1) < 1e-6)


def distort(lens: Lens, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Where the image has rays, in focal lengths; not a number where the model has no image of a ray."""
    flat = np.asarray(points, np.float64).reshape(-1, 2)
    with np.errstate(all="ignore"):
        return _distort(lens, flat).reshape(np.shape(points))


def undistort(lens: Lens, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """The rays of points of the image, in focal lengths; not a number where the lens images no ray there.

    Newton's method on `distort`, from the radial part's inverse, so that of several rays with one image the one
    nearest the axis is found.
    """
    target = np.asarray(points, np.float64).reshape(-1, 2)
    centre = _centre(lens)
    radii = np.tan(np.linspace(0.0, WIDEST, SAMPLES))
    radii = radii[radii <= reach(lens, float(radii[-1]))]
    offset = target - centre
    length = np.maximum(np.linalg.norm(offset, axis=-1), 1e-12)
    with np.errstate(all="ignore"):
        rays = centre + offset * (np.interp(length, radius_on_image(lens, radii), radii) / length)[:, None]
        for _ in range(NEWTON_STEPS):
            residual = distort(lens, rays) - target
            if not np.nanmax(np.abs(residual), initial=0.0) > 1e-15:
                break
            step = _solve2(_jacobian(lens, rays), residual)
            longest = 0.2 * (1 + np.linalg.norm(rays, axis=-1, keepdims=True))
            size = np.linalg.norm(step, axis=-1, keepdims=True)
            rays = rays - step * np.minimum(1.0, longest / np.maximum(size, 1e-300))
        error = np.abs(distort(lens, rays) - target).max(axis=-1, initial=0.0)
        beyond = np.linalg.norm(rays - centre, axis=-1) > radii[-1] * 1.001
        lost = ~(error <= FOUND) | beyond | ~(np.linalg.det(_jacobian(lens, rays)) > 0)
    rays[lost] = np.nan
    return rays.reshape(np.shape(points))


def radius_on_image(lens: Lens, radii: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The radial part: how far from the lens' centre the image has rays at these radii, in focal lengths."""
    with np.errstate(all="ignore"):
        if lens.model == "radial_table":
            return radii * _table_factor(lens, radii)
        if lens.model in ("fov", "division", "eucm"):
            return np.asarray(_simple_radius(lens, radii))
        s = np.arctan(radii) if lens.model in FISHEYES else radii
        return s * _radial_factor(lens, s * s)


def reach(lens: Lens, radius: float) -> float:
    """The radius, at most the given one, out to which the image radius grows with the ray's."""
    radii = np.concatenate([[0.0], np.tan(np.linspace(0.0, np.arctan(radius), SAMPLES))[1:]])
    image = radius_on_image(lens, radii)
    ends = np.flatnonzero(~(np.diff(image) > 0))
    return float(radii[ends[0]] if len(ends) else radius)


def first_fold(lens: Lens) -> tuple[float, float]:
    """Where the image first turns back on itself, going outwards in any direction: radius of the ray, and of its image.

    In focal lengths about the lens' centre; infinite where no direction does before WIDEST. Tangential and prism parts
    count: an image can fold over on one side only.
    """
    radii = np.tan(np.linspace(0.0, WIDEST, SAMPLES // 4))
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    outwards = np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    centre = _centre(lens)
    image = distort(lens, centre + radii[:, None, None] * outwards) - centre
    along = (image * outwards).sum(axis=-1)
    back = ~(np.diff(along, axis=0) > 0)
    first = np.where(back.any(axis=0), back.argmax(axis=0), len(radii))
    if first.min() == len(radii):
        return np.inf, np.inf
    folded = np.flatnonzero(first < len(radii))
    return float(radii[first.min()]), float(along[first[folded], folded].min())


def sound_part(lens: Lens, K: Float[np.ndarray, "3 3"], width: int, height: int) -> float:
    """How far out the pinhole picture has an image that does not turn back, as a part of the way to its farthest
    corner; 1 where it has all of it.
    """
    corners = np.array([[x, y] for x in (0, width) for y in (0, height)])
    farthest = float(np.linalg.norm((corners - K[:2, 2]) / K[[0, 1], [0, 1]], axis=-1).max())
    return min(first_fold(lens)[0] / farthest, 1.0)


def undistortion_maps(
    lens: Lens, K: Float[np.ndarray, "3 3"], width: int, height: int
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """For every pixel of the pinhole image, column and row in the recorded one as cv2.remap counts (first pixel 0).

    K's first pixel centre is at (0.5, 0.5). Pixels whose rays the lens does not know lie outside of the image: -1e4.
    """
    columns = (np.arange(width) + 0.5 - K[0, 2]) / K[0, 0]
    rows = (np.arange(height) + 0.5 - K[1, 2]) / K[1, 1]
    centre = _centre(lens)
    corners = np.array([[x, y] for x in columns[[0, -1]] for y in rows[[0, -1]]])
    edge = reach(lens, float(np.linalg.norm(corners - centre, axis=-1).max()))
    maps = np.full((2, height, width), -1e4, np.float32)
    for start in range(0, height, 64):  # a strip at a time: a phone's picture has 12 megapixels
        block = np.stack(np.meshgrid(columns, rows[start : start + 64]), axis=-1)
        image = distort(lens, block)
        known = np.isfinite(image).all(-1) & (np.linalg.norm(block - centre, axis=-1) <= edge * (1 + 1e-9))
        for axis in (0, 1):
            pixels = K[axis, axis] * image[..., axis] + K[axis, 2] - 0.5
            maps[axis, start : start + 64] = np.where(known, np.clip(pixels, -1e4, 1e6), -1e4)
    return maps[0], maps[1]


# -- models ----------------------------------------------------------------------------------------


def _distort(lens: Lens, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    if lens.model == "radial_table":
        centre = np.array(lens.coefficients[:2])
        offset = points - centre
        return centre + offset * _table_factor(lens, np.linalg.norm(offset, axis=-1))[..., None]
    if lens.model in ("fov", "division", "eucm"):
        r = np.linalg.norm(points, axis=-1)
        # At the axis these models are the identity but for a factor, which the ray's length does not show.
        small = np.maximum(r, 1e-9)
        return points * (_simple_radius(lens, small) / small)[..., None]
    if lens.model in FISHEYES:
        r = np.linalg.norm(points, axis=-1)
        points = points * np.where(r > 1e-9, np.arctan(r) / np.maximum(r, 1e-9), 1.0)[..., None]
    return _polynomial(lens, points)


def _centre(lens: Lens) -> Float[np.ndarray, "2"]:
    return np.array(lens.coefficients[:2]) if lens.model == "radial_table" else np.zeros(2)


def _table_factor(lens: Lens, radii: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    largest, factors = lens.coefficients[2], np.array(lens.coefficients[3:])
    return np.interp(radii, np.linspace(0.0, largest, len(factors)), factors)


def _simple_radius(lens: Lens, r: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The models that are one closed formula of the radius."""
    if lens.model == "fov":
        omega = lens.coefficients[0]
        return np.arctan(2 * r * np.tan(omega / 2)) / omega if abs(omega) > 1e-9 else r
    if lens.model == "division":
        return 2 * r / (1 + np.sqrt(1 - 4 * lens.coefficients[0] * r * r))
    alpha, beta = lens.coefficients
    return r / (alpha * np.sqrt(beta * r * r + 1) + 1 - alpha)


def _radial_factor(lens: Lens, r2: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The radial factor of the polynomial models at squared radii (squared angles, of a fisheye)."""
    c = lens.coefficients
    if lens.model == "opencv":
        k1, k2, _, _, k3, k4, k5, k6 = (c + (0.0,) * 4)[:8]
        return (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    radial = {
        "opencv_fisheye": c,
        "thin_prism_fisheye": (*c[:2], *c[4:6]),
        "rad_tan_thin_prism_fisheye": c[:6],
    }.get(lens.model, c[:4])
    total = np.zeros_like(r2)
    for k in reversed(radial):
        total = r2 * (k + total)
    return 1 + total


def _polynomial(lens: Lens, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """The polynomial models of plane coordinates: radial, tangential and thin prism parts."""
    c = lens.coefficients
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    factor = _radial_factor(lens, r2)
    if lens.model == "rad_tan_thin_prism_fisheye":
        # Here tangential and prism parts act on what the radial part has made; and p0, p1 go with x, y.
        x, y, factor = factor * x, factor * y, np.ones_like(r2)
        r2 = x * x + y * y
        p2, p1, (sx1, sx2, sy1, sy2) = c[6], c[7], c[8:12]
    else:
        p1, p2 = {"opencv_fisheye": (0.0, 0.0), "brown": c[4:6], "brown_fisheye": c[4:6]}.get(
            lens.model, c[2:4]
        )
        sx1 = sx2 = sy1 = sy2 = 0.0
        if lens.model == "opencv" and len(c) == 12:
            sx1, sx2, sy1, sy2 = c[8:12]
        elif lens.model == "thin_prism_fisheye":
            sx1, sy1 = c[6:8]
    u = factor * x + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (sx1 + r2 * sx2)
    v = factor * y + 2 * p2 * x * y + p1 * (r2 + 2 * y * y) + r2 * (sy1 + r2 * sy2)
    if lens.model in ("brown", "brown_fisheye"):
        u = u + c[6] * v
    return np.stack([u, v], axis=-1)


# -- Newton's method -------------------------------------------------------------------------------


def _jacobian(lens: Lens, rays: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2 2"]:
    """By central differences: Newton's method needs it to a few digits only."""
    h = 1e-6 * (1 + np.abs(rays).max(axis=-1, keepdims=True, initial=0.0))
    columns = []
    for axis in (0, 1):
        shift = np.zeros_like(rays)
        shift[:, axis] = h[:, 0]
        columns.append((distort(lens, rays + shift) - distort(lens, rays - shift)) / (2 * h))
    return np.stack(columns, axis=-1)


def _solve2(J: Float[np.ndarray, "n 2 2"], b: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    det = J[:, 0, 0] * J[:, 1, 1] - J[:, 0, 1] * J[:, 1, 0]
    x = J[:, 1, 1] * b[:, 0] - J[:, 0, 1] * b[:, 1]
    y = J[:, 0, 0] * b[:, 1] - J[:, 1, 0] * b[:, 0]
    return np.stack([x, y], axis=-1) / det[:, None]
