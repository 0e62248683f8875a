"""The surface of a person beyond the body model: clothes, hair and shoes, out of the depth images of one moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from simulacra.recon.refine.coloring import color_points, surfels
from simulacra.recon.refine.depth_cleaning import clean_depth
from simulacra.recon.refine.fusion import fuse
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.files import write_arrays
from simulacra.recon.session import Session
from simulacra.render.camera import Cameras
from simulacra.render.runtime.errors import CaptureError

__all__ = [
    "RefineConfig",
    "Surface",
    "color_points",
    "load_surface",
    "refine",
    "save_surface",
    "surfels",
]

RECORD = "surface.npz"


@config
class RefineConfig:
    """How depth is fused.

    Attributes:
        voxel_mm: spacing of the volume, and of the surface points read off it.
        truncation_mm: how far in front of and behind a measured surface it is believed.
    """

    voxel_mm: float = 6.0
    truncation_mm: float = 24.0


@dataclass(frozen=True)
class Surface:
    """Oriented, colored points of one moment.

    Attributes:
        frame: of the session.
        spacing: metres between neighbours, about.
        points: world, metres.
        normals: world, unit.
        colors: sRGB 0..1.
        measured: depth supports the point.
        seen: a camera sees its color.
    """

    frame: int
    spacing: float
    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    colors: Float[np.ndarray, "n 3"]
    measured: Bool[np.ndarray, " n"]
    seen: Bool[np.ndarray, " n"]


def refine(
    session: Session,
    frame: int,
    cameras: Sequence[str],
    mask_of: Callable[[int, str], Float[np.ndarray, "h w"] | None],
    settings: RefineConfig,
) -> Surface | None:
    """Fuses the depth images of the named cameras in one frame; None where the capture has no depth.

    Raises:
        CaptureError: there is depth, but no believable pixel of the person in it.
    """
    depths, masks, names, views = [], [], [], []
    for camera in cameras:
        mask, measured = mask_of(frame, camera), session.depth(frame, camera)
        if mask is None or measured is None:
            continue
        view = session.cameras_as_tensors(camera)
        depths.append(clean_depth(*measured, mask, view))
        masks.append(mask)
        names.append(camera)
        views.append(view)
    if not depths:
        return None
    # A few stray pixels are no surface.
    if sum(int(clean.usable.sum()) for clean in depths) < 1000:
        raise CaptureError(
            "the depth images hold nothing of the person",
            where=f"frame {frame}, cameras {', '.join(cameras)}",
            remedy="look at the masks, the depth scale and the depth-to-color alignment: simulacra import says how",
        )
    images = (session.image(frame, camera) for camera in names)
    return _surface(frame, depths, masks, images, views, settings)


def _surface(frame, depths, masks, images, views: list[Cameras], settings: RefineConfig) -> Surface:  # type: ignore[no-untyped-def]
    voxel = settings.voxel_mm / 1000
    fused = fuse(depths, masks, views, voxel, settings.truncation_mm / 1000)
    points, normals = torch.from_numpy(fused.points), torch.from_numpy(fused.normals)
    with torch.no_grad():
        colors, seen = color_points(points, normals, voxel, images, masks, views)
    return Surface(frame, voxel, fused.points, fused.normals, colors.numpy(), fused.measured, seen.numpy())


def save_surface(folder: Path, surface: Surface | None) -> None:
    """Writes the record; an absent surface is an empty one, so that the stage's folder says that it ran."""
    fields = {} if surface is None else {name: np.asarray(value) for name, value in vars(surface).items()}
    write_arrays(folder / RECORD, **fields)


def load_surface(folder: Path) -> Surface | None:
    """Reads what `save_surface` wrote."""
    with np.load(folder / RECORD) as arrays:
        if not arrays.files:
            return None
        fields = {name: arrays[name] for name in arrays.files}
    return Surface(frame=int(fields.pop("frame")), spacing=float(fields.pop("spacing")), **fields)
