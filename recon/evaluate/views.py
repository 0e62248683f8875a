"""One view scored: what the result renders there beside what the camera saw there.

The capture is laid over black with its mask at its own size and then resampled by area, its mask too; the
render is drawn over black at the capture's size, or at `FINEST` times the compared one where that is less, clipped to
0..1 as a display would, and resampled in the same way: a photograph's pixel is a mean over its area, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Tensor

from simulacra.recon.evaluate.metrics import ASKED_METRICS, VIEW_METRICS
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Missing
from simulacra.recon.perception.area_ratio import area_ratio
from simulacra.recon.perception.by_name import ASSETS, open_measure
from simulacra.recon.perception.depth_error import depth_error, resize_depth
from simulacra.recon.perception.mask_iou import mask_iou
from simulacra.recon.perception.measure import Measure, score
from simulacra.recon.perception.normal_error import normal_error
from simulacra.recon.perception.outline_offset import outline_offset
from simulacra.recon.perception.psnr import psnr
from simulacra.recon.perception.psnr_near import psnr_near
from simulacra.recon.perception.ssim import WINDOW, Crop, ssim
from simulacra.recon.perception.weights import missing_weights
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import LongestSide
from simulacra.render.image import limited_size, resize_area
from simulacra.render.runtime.errors import RunError

# Where a difference picture is brightest: a mean absolute color difference of a quarter of the range.
DIFFERENCE_FULL_SCALE = 0.25
# A view is drawn at no more than this many times the size at which it is compared.
FINEST = 2
# Below this alpha a render says nothing of depth.
LEAST_ALPHA = 1e-3
NOBODY = Missing("the mask is empty: the person is not in this view")

# (rgb_premul h w 3, alpha h w, alpha-weighted depth h w) of a frame, for a camera, at a width and height in
# pixels.
RenderView = Callable[[int, str, int, int], tuple[Tensor, Tensor, Tensor]]


@config
class ViewConfig:
    """How a view is compared.

    Attributes:
        longest_side: pixels of the longer image side at which views are compared; never more than the capture's.
        crop_margin: how far SSIM's crop reaches beyond the mask's box, as a part of the box's longer side.
        alpha_threshold: a pixel belongs to the person where the mask, or the render's alpha, is at least this.
        perception: perceptual metrics; those over VGG16 take seconds a view. One whose outside file is not here has no
            number, and the reason.
    """

    longest_side: LongestSide = 512
    crop_margin: Annotated[float, Interval(ge=0, le=10)] = 0.1
    alpha_threshold: Annotated[float, Interval(ge=0.001, le=1)] = 0.5
    perception: tuple[Literal["lpips_alex", "lpips_vgg", "dists"], ...] = ("lpips_alex",)

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics of views: those that are always there, and those that were asked for."""
        return VIEW_METRICS + tuple(name for name in ASKED_METRICS if name in self.perception)

    def able(self) -> tuple[str, ...]:
        """The perceptual metrics that were asked for and whose outside files are here."""
        return tuple(name for name in self.perception if missing_weights(*ASSETS[name]) is None)


@dataclass(frozen=True)
class CapturedView:
    """What a camera saw.

    Attributes:
        photo: the pinhole image.
        mask: of the person, 0..1, of the photo's size; None where there is none.
        mask_source: where the mask comes from, such as "session" or "pose".
        depth: measured metres along the axis and where they are valid, of the photo's size; None without.
        K: of the camera at the photo's size, pixels; None where it is not known.
    """

    view: View
    photo: Float[np.ndarray, "h w 3"]
    mask: Float[np.ndarray, "h w"] | None
    mask_source: str
    depth: tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]] | None
    K: Float[np.ndarray, "3 3"] | None = None


@dataclass(frozen=True)
class ComparedView:
    """One view at the size at which it was compared.

    Attributes:
        scores: by metric; `Missing` says why there is no number.
        mask_source: where the person's mask comes from; "none" where there is none.
        photo: over black; as it is where there is no mask.
        render: over black.
        person: whether a pixel is of the capture's mask; None where there is none.
        covered: whether the render covers a pixel.
        difference: colored by how much they differ.
    """

    view: View
    scores: dict[str, float | Missing]
    mask_source: str
    photo: Float[np.ndarray, "h w 3"]
    render: Float[np.ndarray, "h w 3"]
    person: Bool[np.ndarray, "h w"] | None = None
    covered: Bool[np.ndarray, "h w"] | None = None

    @property
    def difference(self) -> Float[np.ndarray, "h w 3"]:
        """Where they differ: black is equal, bright `DIFFERENCE_FULL_SCALE` or more, mean over channels."""
        error = np.abs(self.render - self.photo).mean(-1) / DIFFERENCE_FULL_SCALE
        bgr = cv2.applyColorMap((np.clip(error, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        return bgr[..., ::-1].astype(np.float32) / 255.0


def compare_view(captured: CapturedView, render_view: RenderView, settings: ViewConfig) -> ComparedView:
    """Renders a view and scores it against the capture.

    Raises:
        RunError: the render has values that are not finite.
    """
    view, photo, mask = captured.view, captured.photo, captured.mask
    width, height = limited_size(photo.shape[1], photo.shape[0], settings.longest_side)
    drawn_size = limited_size(photo.shape[1], photo.shape[0], FINEST * settings.longest_side)
    rgb, alpha, depth = _render(render_view, view, drawn_size, (width, height))
    if mask is None:
        scores: dict[str, float | Missing] = dict.fromkeys(
            settings.metrics, Missing("the view has no mask of the person")
        )
        return ComparedView(view, scores, "none", resize_area(photo, width, height), rgb)
    target = resize_area(photo * mask[..., None], width, height)
    outline = resize_area(mask, width, height)
    person = outline >= settings.alpha_threshold
    covered = alpha >= settings.alpha_threshold
    scores = _score_appearance(rgb, target, person, settings.crop_margin)
    scores |= _score_perception(rgb, target, person, settings)
    scores |= _score_silhouette(alpha, outline, settings.alpha_threshold)
    scores |= _score_depth(depth, covered, person, captured)
    return ComparedView(view, scores, captured.mask_source, target, rgb, person, covered)


def _score_appearance(
    rgb: Float[np.ndarray, "h w 3"],
    target: Float[np.ndarray, "h w 3"],
    person: Bool[np.ndarray, "h w"],
    crop_margin: float,
) -> dict[str, float | Missing]:
    ours, theirs = torch.from_numpy(rgb), torch.from_numpy(target)
    scored: dict[str, float | Missing] = {
        "psnr_full": psnr(ours.double(), theirs.double()).item(),
    }
    if not person.any():
        return scored | dict.fromkeys(("psnr_fg", "psnr_near", "ssim_crop"), NOBODY)
    scored["psnr_near"] = psnr_near(rgb, target, person)
    scored["psnr_fg"] = psnr(ours.double(), theirs.double(), torch.from_numpy(person)).item()
    crop = crop_around(person, crop_margin)
    scored["ssim_crop"] = (
        Missing(f"the image is smaller than SSIM's window of {WINDOW} pixels")
        if min(crop[2:]) < WINDOW
        else ssim(ours, theirs, crop=crop).item()
    )
    return scored


def _score_perception(
    rgb: Float[np.ndarray, "h w 3"],
    target: Float[np.ndarray, "h w 3"],
    person: Bool[np.ndarray, "h w"],
    settings: ViewConfig,
) -> dict[str, float | Missing]:
    """By the measures that were asked for, each in the crop around the person."""
    names = [name for name in settings.metrics if name in ASSETS]
    if not person.any():
        return dict.fromkeys(names, NOBODY)
    x0, y0, width, height = crop_around(person, settings.crop_margin)
    ours, theirs = (
        torch.from_numpy(np.ascontiguousarray(image[y0 : y0 + height, x0 : x0 + width]))
        for image in (rgb, target)
    )
    scored: dict[str, float | Missing] = {}
    for name in names:
        found = (
            _measure(name)
            if name in settings.perception
            else Missing("evaluate.view.perception leaves it out")
        )
        if isinstance(found, Measure) and min(width, height) < found.least_side:
            found = Missing(f"the person's box is smaller than {found.least_side} pixels")
        # Threads add up in other orders: what they differ in is not told.
        scored[name] = found if isinstance(found, Missing) else round(score(found, ours, theirs), 6)
    return scored


def _measure(name: str) -> Measure | Missing:
    """The measure, or why it cannot be had."""
    reason = _reason(name)
    return open_measure(name) if reason is None else Missing(reason)


@lru_cache(maxsize=8)
def _reason(name: str) -> str | None:
    return missing_weights(*ASSETS[name])


def _score_silhouette(
    alpha: Float[np.ndarray, "h w"], mask: Float[np.ndarray, "h w"], threshold: float
) -> dict[str, float | Missing]:
    covered, person = alpha >= threshold, mask >= threshold
    offset = outline_offset(alpha, mask)
    return {
        "mask_iou": mask_iou(covered, person),
        "area_ratio": area_ratio(covered, person) if person.any() else NOBODY,
        "outline_offset_px": Missing("the render or the mask has no outline in this view")
        if offset is None
        else offset,
    }


def _score_depth(
    depth: Float[np.ndarray, "h w"],
    covered: Bool[np.ndarray, "h w"],
    person: Bool[np.ndarray, "h w"],
    captured: CapturedView,
) -> dict[str, float | Missing]:
    names = ("depth_median_mm", "depth_p90_mm", "normals_deg")
    if captured.depth is None:
        return dict.fromkeys(names, Missing("the capture has no depth for this view"))
    height, width = depth.shape
    reference, valid = resize_depth(*captured.depth, width, height)
    error = depth_error(depth, covered, reference, valid & person)
    if error is None:
        return dict.fromkeys(
            names, Missing("no pixel of the person has both a measured and a rendered depth")
        )
    scored: dict[str, float | Missing] = {
        "depth_median_mm": 1000 * error.median_m,
        "depth_p90_mm": 1000 * error.p90_m,
        "normals_deg": Missing("the camera's focal length is not known"),
    }
    if captured.K is not None:
        sizes = [width / captured.photo.shape[1], height / captured.photo.shape[0], 1.0]
        turned = normal_error(
            depth, covered, reference, valid & person, captured.K * np.array(sizes)[:, None]
        )
        rough = Missing("no pixel of the person has a smooth neighbourhood in both depth maps")
        scored["normals_deg"] = rough if turned is None else turned.mean_deg
    return scored


def _render(
    render_view: RenderView, view: View, drawn_size: tuple[int, int], compared_size: tuple[int, int]
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Color over black in 0..1, alpha, and expected depth in metres (0 where nothing is drawn), resampled by area.

    Args:
        drawn_size: width and height in pixels.
        compared_size: likewise, of what is returned.
    """
    with torch.no_grad():
        images = render_view(view.frame, view.camera, *drawn_size)
    rgb, alpha, depth = (image.detach().cpu().float().numpy() for image in images)
    for name, image in (("color", rgb), ("alpha", alpha), ("depth", depth)):
        if not np.isfinite(image).all():
            raise RunError(
                f"the rendered {name} has values that are not finite, so that no score means anything",
                where=f"camera {view.camera}, frame {view.frame}",
                found=f"{np.count_nonzero(~np.isfinite(image))} of {image.size} values",
                remedy="the training diverged: delete its folder and run again with smaller learning rates",
            )
    rgb, alpha, depth = (
        resize_area(image, *compared_size) for image in (np.clip(rgb, 0.0, 1.0), alpha, depth)
    )
    expected = np.where(alpha > LEAST_ALPHA, depth / np.maximum(alpha, LEAST_ALPHA), 0.0)
    return rgb, alpha, expected.astype(np.float32)


def crop_around(person: Bool[np.ndarray, "h w"], margin: float) -> Crop:
    """(x0, y0, width, height): the mask's box, widened by a part of its longer side, kept in the image.

    At least SSIM's window wide and high where the image is.
    """
    rows, columns = (np.flatnonzero(person.any(axis)).tolist() for axis in (1, 0))
    reach = round(margin * max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    y0, crop_height = _widen(rows[0], rows[-1] + 1, reach, person.shape[0])
    x0, crop_width = _widen(columns[0], columns[-1] + 1, reach, person.shape[1])
    return x0, y0, crop_width, crop_height


def _widen(start: int, end: int, reach: int, size: int) -> tuple[int, int]:
    """First pixel and length of start..end with `reach` more on both sides, within 0..size."""
    start, end = max(0, start - reach), min(size, end + reach)
    if end - start < WINDOW:
        start = max(0, min(start, size - WINDOW))
        end = min(size, max(end, start + WINDOW))
    return start, end - start
