"""The surface of a person beyond the body model: clothes, hair and shoes, out of the depth images of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Tensor

from simulacra.recon.refine.coloring import color_points, surfels
from simulacra.recon.refine.detail import closer_parts
from simulacra.recon.refine.fusion import Box, Closer, FusedPoints, fuse, measured_points
from simulacra.recon.refine.moment import MaskOf, choose_moment, clean_depths
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.files import write_arrays
from simulacra.recon.runs.records import check_arrays, read_arrays, record_errors
from simulacra.recon.session import Session
from simulacra.render.body.model import BodyModel

__all__ = [
    "RefineConfig",
    "Surface",
    "choose_moment",
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
        detail_mm: the same spacing about the head and the hands.
    """

    voxel_mm: Annotated[float, Interval(ge=0.5, le=200)] = 6.0
    truncation_mm: Annotated[float, Interval(ge=0.5, le=1000)] = 24.0
    detail_mm: Annotated[float, Interval(ge=0.5, le=200)] = 3.5

    def __post_init__(self) -> None:
        # A surface is read off between a voxel before it and one behind it.
        if self.truncation_mm < self.voxel_mm:
            raise ValueError(
                f"truncation_mm at least voxel_mm: not {self.truncation_mm:g} of {self.voxel_mm:g}"
            )


@dataclass(frozen=True)
class Surface:
    """Oriented, colored points of one moment.

    Attributes:
        frame: of the session.
        spacing: of each point, metres to its neighbours, about.
        points: world, metres.
        normals: world, unit.
        colors: sRGB 0..1.
        measured: depth supports the point.
        seen: a camera sees its color.
    """

    frame: int
    spacing: Float[np.ndarray, " n"]
    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    colors: Float[np.ndarray, "n 3"]
    measured: Bool[np.ndarray, " n"]
    seen: Bool[np.ndarray, " n"]


def refine(
    session: Session,
    frame: int,
    cameras: Sequence[str],
    mask_of: MaskOf,
    settings: RefineConfig,
    floor: float | None = None,
    fitted: tuple[BodyModel, Float[Tensor, "v 3"]] | None = None,
) -> Surface:
    """Fuses the depth images of the named cameras in one frame, one that `choose_moment` gave; of a single camera what
    it measured, and nothing behind.

    Args:
        mask_of: the person's mask of a frame and camera, 0..1.
        floor: height under which nobody is, metres; None where it is not known.
        fitted: the body and its vertices in that frame, world: the head and the hands are looked at more closely.
    """
    depths = clean_depths(session, frame, cameras, mask_of)
    masks = [mask for name in depths if (mask := mask_of(frame, name)) is not None]
    views = [session.cameras_as_tensors(name) for name in depths]
    images = (session.image(frame, name) for name in depths)
    voxel, detail = settings.voxel_mm / 1000, min(settings.detail_mm, settings.voxel_mm) / 1000
    if len(depths) == 1:
        (clean,) = depths.values()
        fused = measured_points(clean, views[0], voxel)
        spacing = np.full(len(fused.points), voxel, np.float32)
    else:
        fuse_part = partial(fuse, list(depths.values()), masks, views)
        truncation = settings.truncation_mm / 1000
        details: tuple[Closer, ...] = ()
        if fitted and detail < voxel:
            measured = [clean.points(view) for clean, view in zip(depths.values(), views, strict=True)]
            details = closer_parts(*fitted, np.concatenate(measured))
        closer = [fuse_part(detail, truncation, floor, part) for part in details]
        fused, spacing = _put_together(
            fuse_part(voxel, truncation, floor), voxel, closer, detail, [part.box for part in details]
        )
    points, normals = torch.from_numpy(fused.points), torch.from_numpy(fused.normals)
    apart = torch.from_numpy(spacing)
    with torch.no_grad():
        colors, seen = color_points(points, normals, apart, images, masks, views)
    return Surface(frame, spacing, fused.points, fused.normals, colors.numpy(), fused.measured, seen.numpy())


def _put_together(
    whole: FusedPoints, voxel: float, closer: Sequence[FusedPoints], detail: float, boxes: Sequence[Box]
) -> tuple[FusedPoints, Float[np.ndarray, " n"]]:
    """The whole person but for the boxes, and what was seen closer in each; and the points' spacings."""
    parts, free = [], np.ones(len(whole.points), bool)
    for place, (found, box) in enumerate(zip(closer, boxes, strict=True)):
        free &= ~box.holds(whole.points)
        kept = box.holds(found.points)
        for earlier in boxes[:place]:
            kept &= ~earlier.holds(found.points)
        parts.append(found.take(kept))
    parts.insert(0, whole.take(free))
    spacing = [np.full(len(p.points), detail if k else voxel, np.float32) for k, p in enumerate(parts)]
    return FusedPoints.concatenate(parts), np.concatenate(spacing)


def save_surface(folder: Path, surface: Surface | None) -> None:
    """Writes the record; an absent surface is an empty one, so that the stage's folder says that it ran."""
    fields = {} if surface is None else {name: np.asarray(value) for name, value in vars(surface).items()}
    write_arrays(folder / RECORD, **fields)


def load_surface(folder: Path) -> Surface | None:
    """Reads what `save_surface` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    with record_errors(folder / RECORD):
        fields = read_arrays(folder / RECORD)
        if not fields:
            return None
        frame = int(fields.pop("frame"))
        check_arrays(Surface, fields)
        return Surface(frame, **fields)
