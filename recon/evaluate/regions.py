"""Where on the person a view is right: PSNR and overlap by region of the fitted body.

A pixel of the capture's mask is of the region that the fitted body shows there, or of the nearest one where it shows
none (clothes, hair). A body that is fitted wrongly therefore blames a neighbour; regions tell where to look, and the
scores of whole views judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from simulacra.recon.evaluate.metrics import REGIONS
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Missing, collect
from simulacra.recon.perception.mask_iou import mask_iou
from simulacra.recon.perception.psnr import psnr
from simulacra.render.body import BodyModel
from simulacra.render.camera import Cameras
from simulacra.render.mesh import rasterize_mesh

_PART_REGIONS = {
    "torso": "torso",
    "neck": "head",
    "scalp": "head",
    "ear": "head",
    "upper_arm": "arms",
    "lower_arm": "arms",
    "hand": "hands",
    "thigh": "legs",
    "shin": "legs",
    "foot": "feet",
}
# Of fewer pixels than this a PSNR is chance.
LEAST_PIXELS = 25

# Region of every pixel (a row of REGIONS, -1 where no body is) of a view, at a width and height in pixels.
RegionsOf = Callable[[View, int, int], Int[np.ndarray, "h w"]]


def face_regions(body: BodyModel) -> Int[np.ndarray, "f"]:
    """The region of each triangle, as a row of `REGIONS`; by its first vertex."""
    named = [REGIONS.index(_region_of(name)) for name in body.part_names]
    labels = np.array(named)[body.part_labels.cpu().numpy()]
    return labels[body.faces[:, 0].cpu().numpy()]


def _region_of(part: str) -> str:
    # What is in the face (lips, eyes and their sockets, mouth, tongue) is of it.
    return _PART_REGIONS.get(part.removesuffix("_l").removesuffix("_r"), "face")


def draw_regions(
    verts: Float[torch.Tensor, "v 3"],
    faces: Int[torch.Tensor, "f 3"],
    regions: Int[np.ndarray, "f"],
    camera: Cameras,
) -> Int[np.ndarray, "h w"]:
    """The region that a posed body shows at every pixel of one camera, -1 where it shows none.

    Args:
        verts: world, metres.
        faces: triangles.
        regions: of each triangle.
        camera: a single one, of the size of the picture.
    """
    hit = rasterize_mesh(verts.float(), faces, camera).face_index[0].cpu().numpy()
    return np.where(hit >= 0, regions[np.maximum(hit, 0)], -1)


def spread_regions(shown: Int[np.ndarray, "h w"], person: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """The region of each of the person's pixels: as shown, or that of the nearest pixel that shows one; else -1."""
    seeds = shown >= 0
    if not seeds.any():
        return np.full_like(shown, -1)
    _, labels = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.full(int(labels.max()) + 1, -1, shown.dtype)
    of_label[labels[seeds]] = shown[seeds]
    return np.where(person, of_label[labels], -1)


def region_psnr(
    render: Float[np.ndarray, "h w 3"],
    photo: Float[np.ndarray, "h w 3"],
    regions: Int[np.ndarray, "h w"],
) -> dict[str, float]:
    """PSNR in dB over the pixels of each region, three channels; regions of few pixels are left out."""
    ours, theirs = torch.from_numpy(render).double(), torch.from_numpy(photo).double()
    found = {}
    for row, name in enumerate(REGIONS):
        pixels = regions == row
        if pixels.sum() >= LEAST_PIXELS:
            found[name] = psnr(ours, theirs, torch.from_numpy(pixels)).item()
    return found


def region_iou(
    covered: Bool[np.ndarray, "h w"],
    person: Bool[np.ndarray, "h w"],
    shown: Int[np.ndarray, "h w"],
) -> dict[str, float]:
    """Overlap of two silhouettes within each region, 0..1; regions of few pixels of the person are left out.

    A pixel of either silhouette is of the region that the body shows there or nearest to it, so that what is drawn
    too large costs the region that it is drawn at.
    """
    regions = spread_regions(shown, covered | person)
    found = {}
    for row, name in enumerate(REGIONS):
        pixels = regions == row
        if (pixels & person).sum() >= LEAST_PIXELS:
            found[name] = mask_iou(covered & pixels, person & pixels)
    return found


def describe_regions(
    values: Mapping[View, Mapping[str, float]], overlaps: Mapping[View, Mapping[str, float]]
) -> dict[str, Any]:
    """What metrics.json says under `regions`: for each that any view shows, as of a metric; dB, and `mask_iou`."""
    described = {}
    for name in REGIONS:
        entry = _describe_region("psnr_fg", name, values)
        if entry is not None:
            described[name] = entry | {"mask_iou": _describe_region("mask_iou", name, overlaps)}
    return described


def _describe_region(
    metric: str, region: str, values: Mapping[View, Mapping[str, float]]
) -> dict[str, Any] | None:
    outcomes: dict[View, float | Missing] = {
        view: found[region] for view, found in values.items() if region in found
    }
    score = collect(metric, outcomes)
    entry = score.as_json()
    kept = ("mean", "per_camera", "interval_95", "count", "views")
    return {key: entry[key] for key in kept} if score.values else None
