"""How tall a person is in a world without unit, from pictures whose cameras are known: by that the unit is found.

The mid hip is triangulated. In each picture the person's highest and lowest pixels are rays; where these pass the
upright plane through the hip that faces the camera are the crown and the soles. A median over the pictures is taken:
shoes and hair stand out towards some cameras and away from others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.observe.pose import PoseNetwork
from simulacra.recon.runs.progress import track
from simulacra.recon.session import SessionCamera
from simulacra.recon.session.lens import undistort
from simulacra.render.image import read_image
from simulacra.render.runtime.errors import CaptureError

# Pictures looked at, spread over all.
MOST_VIEWS = 12
FEWEST_VIEWS = 3
HIPS = (23, 24)
# Views in which a silhouette is cut off, or of something else, differ from the median by more than this.
OUTLIER = 0.15
# Beyond this the pictures do not agree on a stature (quartiles apart, over it).
MOST_SPREAD = 0.08


@dataclass(frozen=True)
class MeasuredStature:
    """In the world's own unit.

    Attributes:
        height: of the person.
        bottom: height of the soles over the world's origin.
        spread: half the quartiles' distance over the height.
        views: pictures that it was measured in.
    """

    height: float
    bottom: float
    spread: float
    views: int


@dataclass(frozen=True)
class Silhouette:
    """Pixels of one picture: the mid hip, the highest and the lowest of the person."""

    hip: Float[np.ndarray, "2"]
    top: Float[np.ndarray, "2"]
    bottom: Float[np.ndarray, "2"]


def measure_stature(cameras: Sequence[SessionCamera], images: Mapping[str, Path]) -> MeasuredStature:
    """Looks for the person in pictures spread over all, and measures.

    Args:
        cameras: in a world with +Y up.
        images: each camera's recorded picture.

    Raises:
        CaptureError: the person is not seen whole in enough pictures, or these disagree.
        AssetError: the network that finds people is not there.
        MissingExtraError: what runs it is not installed.
    """
    network = PoseNetwork()
    chosen = [
        cameras[i] for i in sorted(set(np.linspace(0, len(cameras) - 1, MOST_VIEWS).astype(int).tolist()))
    ]
    seen = {}
    for camera in track(chosen, "measuring the person", len(chosen)):
        found = network(read_image(images[camera.name]))
        if found is None:
            continue
        silhouette = extremes(found.mask > 0.5, found.px[list(HIPS)].mean(axis=0))
        if silhouette is not None:
            seen[camera.name] = silhouette
    return stature_of([camera for camera in chosen if camera.name in seen], seen)


def extremes(mask: Bool[np.ndarray, "h w"], hip: Float[np.ndarray, "2"]) -> Silhouette | None:
    """The mask's highest and lowest pixels; None where it is empty or reaches the picture's upper or lower edge."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows) or rows[0] < 2 or rows[-1] > len(mask) - 3:
        return None
    top, bottom = (
        np.array([np.flatnonzero(mask[row]).mean() + 0.5, edge])
        for row, edge in ((rows[0], float(rows[0])), (rows[-1], rows[-1] + 1.0))
    )
    return Silhouette(np.asarray(hip, np.float64), top, bottom)


def stature_of(cameras: Sequence[SessionCamera], silhouettes: Mapping[str, Silhouette]) -> MeasuredStature:
    """The stature that silhouettes of known cameras have.

    Raises:
        CaptureError: too few, or they disagree.
    """
    if len(cameras) < FEWEST_VIEWS:
        raise CaptureError(
            "the person is seen from head to toe in too few pictures to measure a stature",
            expected=f"{FEWEST_VIEWS} pictures",
            found=len(cameras),
            remedy="--metres-per-unit, a known distance over the reconstructed one",
        )
    centres = np.array([-camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3] for camera in cameras])
    rays = np.array([_ray(camera, silhouettes[camera.name].hip) for camera in cameras])
    hip = _nearest_point(centres, rays)
    heights = []
    for camera, centre in zip(cameras, centres):
        # Rays meet the upright plane through the hip that faces this camera.
        facing = (hip - centre) * [1, 0, 1]
        distance = float(np.linalg.norm(facing))
        ends = []
        for pixel in (silhouettes[camera.name].top, silhouettes[camera.name].bottom):
            ray = _ray(camera, pixel)
            along = float(ray @ facing) / max(distance, 1e-12)
            ends.append(centre[1] + ray[1] * distance / along if along > 1e-6 else np.nan)
        heights.append(ends)
    tops, bottoms = np.array(heights).T
    tall = tops - bottoms
    good = np.isfinite(tall) & (np.abs(tall / np.nanmedian(tall) - 1) < OUTLIER)
    height = float(np.median(tall[good])) if good.any() else 0.0
    spread = float(np.subtract(*np.quantile(tall[good], [0.75, 0.25])) / 2 / height) if height > 0 else np.inf
    if good.sum() < FEWEST_VIEWS or spread > MOST_SPREAD:
        raise CaptureError(
            "pictures do not agree on the person's stature",
            expected=f"{FEWEST_VIEWS} pictures within {100 * MOST_SPREAD:.0f} %",
            found=f"{int(good.sum())} pictures, {100 * spread:.0f} %",
            remedy="--metres-per-unit, a known distance over the reconstructed one",
        )
    return MeasuredStature(height, float(np.median(bottoms[good])), spread, int(good.sum()))


def _ray(camera: SessionCamera, pixel: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3"]:
    """Unit direction in the world of a recorded pixel."""
    point = (pixel - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]
    if camera.lens is not None:
        point = undistort(camera.lens, point[None])[0]
    ray = camera.viewmat[:3, :3].T @ np.array([point[0], point[1], 1.0])
    return ray / np.linalg.norm(ray)


def _nearest_point(
    centres: Float[np.ndarray, "n 3"], rays: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "3"]:
    """The point with the least squared distance to all rays."""
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    return np.linalg.lstsq(across.sum(axis=0), (across @ centres[..., None]).sum(axis=0)[:, 0], rcond=None)[0]
