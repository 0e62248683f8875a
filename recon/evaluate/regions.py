"""Where on the person a view is right: PSNR and overlap by region of the fitted body.

Two kinds of regions. The **parts** share the person out among them: a pixel of the capture's mask is of the part that
the fitted body shows there, or of the nearest one where it shows none (clothes, hair). A body that is fitted wrongly
therefore blames a neighbour. The **details** lie across them and may overlap:

- `eyes`, `mouth`: pixels of the mask where the body shows eyes and their sockets, or lips, tongue and the mouth's
  inside; never spread to pixels beside them;
- `hair`: pixels of the mask where the body shows its scalp, and those where it shows nothing, the nearest it shows is
  of scalp, ears or face, and that is no further than half of the drawn head's height. Hats, hoods and glasses' bows are
  hair to it, and so is a bald head's skin; hair over the face or on the shoulders is not;
- `cloth`: pixels of the mask of the parts torso, arms and legs: what is neither head, hands nor feet. Bare arms and
  legs are cloth to it, and shoes are not;
- `outline`: pixels within 4 pixels (of 512 to the longer side) of the mask's edge, on both sides of it.

Regions tell where to look, and the scores of whole views judge.
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
from simulacra.recon.perception.psnr_near import RIM_PX, RIM_SIDE
from simulacra.render.body import BodyModel
from simulacra.render.camera import Cameras
from simulacra.render.mesh import rasterize_mesh

# What the body's triangles are told apart by; regions are made of these.
CELLS = ("face", "eyes", "mouth", "scalp", "ears", "neck", "torso", "arms", "hands", "legs", "feet")
_PART_CELLS = {
    "face": "face",
    "eye": "eyes",
    "eye_socket": "eyes",
    "lips": "mouth",
    "mouth_cavity": "mouth",
    "tongue": "mouth",
    "scalp": "scalp",
    "ear": "ears",
    "neck": "neck",
    "torso": "torso",
    "upper_arm": "arms",
    "lower_arm": "arms",
    "hand": "hands",
    "thigh": "legs",
    "shin": "legs",
    "foot": "feet",
}
PARTS: dict[str, tuple[str, ...]] = {
    "face": ("face", "eyes", "mouth"),
    "head": ("scalp", "ears", "neck"),
    "torso": ("torso",),
    "arms": ("arms",),
    "hands": ("hands",),
    "legs": ("legs",),
    "feet": ("feet",),
}
DETAILS = ("eyes", "mouth", "hair", "cloth", "outline")
# Overlap in them says nothing: they lie inside the person wherever they are seen.
WITHOUT_OVERLAP = ("eyes", "mouth")
_CLOTHED = ("torso", "arms", "legs")
_HEAD = ("face", "eyes", "mouth", "scalp", "ears")
# How far hair may be from the head that the body shows, of that head's height.
HAIR_REACH = 0.5
# Of fewer pixels than this a PSNR is chance.
LEAST_PIXELS = 25

# Cell of every pixel (a row of CELLS, -1 where no body is) of a view, at a width and height in pixels.
RegionsOf = Callable[[View, int, int], Int[np.ndarray, "h w"]]


def face_cells(body: BodyModel) -> Int[np.ndarray, "f"]:
    """The cell of each triangle, as a row of `CELLS`; by its first vertex."""
    named = [CELLS.index(_PART_CELLS[name.removesuffix("_l").removesuffix("_r")]) for name in body.part_names]
    labels = np.array(named)[body.part_labels.cpu().numpy()]
    return labels[body.faces[:, 0].cpu().numpy()]


def draw_cells(
    verts: Float[torch.Tensor, "v 3"],
    faces: Int[torch.Tensor, "f 3"],
    cells: Int[np.ndarray, "f"],
    camera: Cameras,
) -> Int[np.ndarray, "h w"]:
    """The cell that a posed body shows at every pixel of one camera, -1 where it shows none.

    Args:
        verts: world, metres.
        faces: triangles.
        cells: of each triangle.
        camera: a single one, of the size of the picture.
    """
    hit = rasterize_mesh(verts.float(), faces, camera).face_index[0].cpu().numpy()
    return np.where(hit >= 0, cells[np.maximum(hit, 0)], -1)


def spread_cells(shown: Int[np.ndarray, "h w"], person: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """The cell of each of the person's pixels: as shown, or that of the nearest pixel that shows one; else -1."""
    return np.where(person, _nearest(shown)[0], -1)


def _nearest(shown: Int[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Of every pixel the nearest cell that is shown, and how many pixels away; -1 and infinity where none is."""
    seeds = shown >= 0
    if not seeds.any():
        return np.full_like(shown, -1), np.full(shown.shape, np.inf, np.float32)
    distance, labels = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.full(int(labels.max()) + 1, -1, shown.dtype)
    of_label[labels[seeds]] = shown[seeds]
    return of_label[labels], distance


def region_pixels(
    shown: Int[np.ndarray, "h w"], person: Bool[np.ndarray, "h w"]
) -> dict[str, Bool[np.ndarray, "h w"]]:
    """The pixels of every region; see the module.

    Args:
        shown: the cell that the fitted body shows, -1 where none.
        person: whose pixels are shared out: of the capture's mask, or of it and the render's.
    """
    nearest, distance = _nearest(shown)
    spread = np.where(person, nearest, -1)
    found = {name: _of(spread, cells) for name, cells in PARTS.items()}
    found["eyes"] = person & _of(shown, ("eyes",))
    found["mouth"] = person & _of(shown, ("mouth",))
    head = _of(shown, _HEAD)
    rows = np.flatnonzero(head.any(1))
    reach = HAIR_REACH * (rows[-1] - rows[0] + 1) if rows.size else 0.0
    beside = (shown < 0) & _of(nearest, _HEAD) & (distance <= reach)
    found["hair"] = person & (_of(shown, ("scalp",)) | beside)
    found["cloth"] = _of(spread, _CLOTHED)
    found["outline"] = outline_band(person)
    return found


def _of(cells: Int[np.ndarray, "h w"], names: tuple[str, ...]) -> Bool[np.ndarray, "h w"]:
    return np.isin(cells, [CELLS.index(name) for name in names])


def outline_band(person: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels within `psnr_near.RIM_PX` of the other side of a silhouette's edge; the picture's border is no edge.

    In small pictures the pixel on either side of the edge, though it is more than that much away.
    """
    if person.all() or not person.any():
        return np.zeros_like(person)
    reach = max(1.0, RIM_PX * max(person.shape) / RIM_SIDE)
    inward, outward = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (person, ~person)
    )
    return np.where(person, inward, outward) <= reach


def region_psnr(
    render: Float[np.ndarray, "h w 3"],
    photo: Float[np.ndarray, "h w 3"],
    pixels: Mapping[str, Bool[np.ndarray, "h w"]],
) -> dict[str, float | Missing]:
    """PSNR in dB over the pixels of each region, three channels; of few pixels there is none, which is said."""
    ours, theirs = torch.from_numpy(render).double(), torch.from_numpy(photo).double()
    found: dict[str, float | Missing] = {}
    for name, of_region in pixels.items():
        few = too_few(int(of_region.sum()))
        found[name] = few or psnr(ours, theirs, torch.from_numpy(of_region)).item()
    return found


def region_iou(
    covered: Bool[np.ndarray, "h w"],
    person: Bool[np.ndarray, "h w"],
    shown: Int[np.ndarray, "h w"],
) -> dict[str, float | Missing]:
    """Overlap of two silhouettes within each region, 0..1; of few pixels of the person there is none, which is said.

    A pixel of either silhouette is of the region that the body shows there or nearest to it, so that what is drawn
    too large costs the region that it is drawn at. The outline's band is the mask's.
    """
    pixels = region_pixels(shown, covered | person) | {"outline": outline_band(person)}
    found: dict[str, float | Missing] = {}
    for name, of_region in pixels.items():
        if name not in WITHOUT_OVERLAP:
            few = too_few(int((of_region & person).sum()))
            found[name] = few or mask_iou(covered & of_region, person & of_region)
    return found


def too_few(pixels: int) -> Missing | None:
    """Why a region of so many pixels has no number; None where it has one."""
    if pixels >= LEAST_PIXELS:
        return None
    return Missing(
        "not in sight" if pixels == 0 else f"of fewer than {LEAST_PIXELS} pixels a number is chance"
    )


def describe_regions(
    values: Mapping[View, Mapping[str, float | Missing]],
    overlaps: Mapping[View, Mapping[str, float | Missing]],
) -> dict[str, Any]:
    """What metrics.json says under `regions`, each as of a metric: dB, and `mask_iou`; empty without a body."""
    if not values:
        return {}
    return {
        name: _describe_region("psnr_fg", name, values)
        | {"mask_iou": None if name in WITHOUT_OVERLAP else _describe_region("mask_iou", name, overlaps)}
        for name in REGIONS
    }


def _describe_region(
    metric: str, region: str, values: Mapping[View, Mapping[str, float | Missing]]
) -> dict[str, Any]:
    outcomes = {view: found[region] for view, found in values.items() if region in found}
    entry = collect(metric, outcomes).as_json()
    kept = ("mean", "per_camera", "interval_95", "count", "reason", "views", "missing")
    return {key: entry[key] for key in kept}
