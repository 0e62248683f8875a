"""What each number of metrics.json means; docs/metrics.json and the report's captions are made from this.

A meaning names the settings that it depends on (`{least_confidence}`): a report fills in what they were in its
evaluation, the documentation says which setting of a configuration it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# Settings that meanings name: as they are called under `settings` in metrics.json, and in a configuration.
SETTINGS = {
    "alpha_threshold": "evaluate.view.alpha_threshold",
    "crop_margin": "evaluate.view.crop_margin",
    "least_confidence": "evaluate.least_confidence",
    "longest_side": "evaluate.view.longest_side",
}

# Of the body, as `recon.evaluate.regions` tells them apart.
REGIONS = (
    "face", "head", "torso", "arms", "hands", "legs", "feet",
    "eyes", "mouth", "hair", "cloth", "outline",
)  # fmt: skip


# "nearest N": a number that is off on either side is worse.
Better = Literal["higher", "lower", "nearest 0", "nearest 1"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        label: for headings.
        unit: "1" for a ratio.
        better: which direction is good.
        meaning: how it is computed, exactly enough to compute it again; settings in braces (`SETTINGS`).
        needs: without which it is null.
        decimals: how many are worth printing.
        version: rises when the same pictures get another number; compare none across versions.
    """

    label: str
    unit: str
    better: Better
    meaning: str
    needs: str
    decimals: int
    version: int = 1

    def explain(self, settings: Mapping[str, Any]) -> str:
        """The meaning in an evaluation with these settings; those that are not given are named instead."""
        return self.meaning.format_map(SETTINGS | dict(settings))

    @property
    def two_sided(self) -> bool:
        """Whether a number may be off on either side."""
        return self.better.startswith("nearest")

    def cost(self, value: float) -> float:
        """What a number costs: of two results that of less is better; in the metric's unit."""
        if self.two_sided:
            return abs(value - float(self.better.removeprefix("nearest ")))
        return -value if self.better == "higher" else value


METRICS: dict[str, Metric] = {
    "psnr_fg": Metric(
        label="PSNR, person",
        unit="dB",
        better="higher",
        meaning=(
            "Peak signal-to-noise ratio over the pixels of the capture's mask (mask at least {alpha_threshold}, the "
            "longer side at most {longest_side} pixels) and the three color channels, capture and render both over "
            "black. The render is not cut out with the capture's mask: what it misses inside the mask is black, "
            "and costs."
        ),
        needs="a mask of the person",
        decimals=2,
        version=2,
    ),
    "psnr_near": Metric(
        label="PSNR, person and rim",
        unit="dB",
        better="higher",
        meaning=(
            "The same over the mask's pixels and all within 4 pixels of one (in pixels of 512 to the longer side): "
            "what is drawn outside the person costs as what is missing inside."
        ),
        needs="a mask of the person",
        decimals=2,
    ),
    "psnr_full": Metric(
        label="PSNR, whole image",
        unit="dB",
        better="higher",
        meaning=(
            "The same over all pixels of the image, capture and render both over black. Depends on how much "
            "of the image is empty: compare it only between results on the same views."
        ),
        needs="a mask of the person",
        decimals=2,
        version=2,
    ),
    "ssim_crop": Metric(
        label="SSIM, crop",
        unit="1",
        better="higher",
        meaning=(
            "Structural similarity (Wang et al. 2004; Gaussian window 11x11, sigma 1.5; mean over RGB) of "
            "capture and render, both over black, inside the mask's bounding box widened by {crop_margin} of its "
            "longer side."
        ),
        needs="a mask of the person",
        decimals=4,
        version=2,
    ),
    "lpips_alex": Metric(
        label="LPIPS (AlexNet)",
        unit="1",
        better="lower",
        meaning=(
            "Learned perceptual distance (Zhang et al. 2018, version 0.1, AlexNet) of capture and render, both over "
            "black, inside the mask's bounding box widened by {crop_margin} of its longer side, at the compared size."
        ),
        needs="a mask of the person, and the outside file lpips_alex",
        decimals=4,
    ),
    "lpips_vgg": Metric(
        label="LPIPS (VGG16)",
        unit="1",
        better="lower",
        meaning="The same over VGG16. Only where `evaluate.view.perception` asks for it: it takes seconds a view.",
        needs="a mask of the person, and the outside file lpips_vgg",
        decimals=4,
    ),
    "dists": Metric(
        label="DISTS",
        unit="1",
        better="lower",
        meaning=(
            "Distance of structure and texture (Ding et al. 2020, over VGG16) in the same box at the compared size: "
            "not brought to 256 pixels as the authors do with whole pictures. Only where `evaluate.view.perception` "
            "asks for it: it takes seconds a view."
        ),
        needs="a mask of the person, and the outside files lpips_vgg and dists_weights",
        decimals=4,
    ),
    "mask_iou": Metric(
        label="Mask overlap",
        unit="1",
        better="higher",
        meaning=(
            "Intersection over union of the capture's mask and the render's alpha, both at least {alpha_threshold}, "
            "at the compared size (the longer side at most {longest_side} pixels)."
        ),
        needs="a mask of the person",
        decimals=4,
        version=2,
    ),
    "outline_offset_px": Metric(
        label="Outline offset",
        unit="px",
        better="nearest 0",
        meaning=(
            "Mean signed distance of the render's outline (alpha one half) to the mask's (one half), positive outside: "
            "above zero the result is inflated. Found at a quarter of a pixel at the compared size, given in pixels of "
            "512 to the longer side; no distance counts for more than 8."
        ),
        needs="a mask of the person",
        decimals=2,
    ),
    "area_ratio": Metric(
        label="Area",
        unit="1",
        better="nearest 1",
        meaning="Pixels where the render's alpha is at least {alpha_threshold} over those where the mask is.",
        needs="a mask of the person",
        decimals=3,
    ),
    "depth_median_mm": Metric(
        label="Depth error, median",
        unit="mm",
        better="lower",
        meaning=(
            "Median absolute difference of rendered expected depth (accumulated depth over alpha) and "
            "measured depth along the camera's axis, over pixels of the person that have both and where alpha is at "
            "least {alpha_threshold}. Pixels across a depth edge of more than 50 mm have no one depth and are left out."
        ),
        needs="measured depth and a mask of the person",
        decimals=1,
        version=2,
    ),
    "depth_p90_mm": Metric(
        label="Depth error, 90th percentile",
        unit="mm",
        better="lower",
        meaning="The 90th percentile of the same differences: where the worst tenth begins.",
        needs="measured depth and a mask of the person",
        decimals=1,
        version=2,
    ),
    "normals_deg": Metric(
        label="Normals",
        unit="deg",
        better="lower",
        meaning=(
            "Mean angle between the normals of rendered expected depth and of measured depth, over pixels of the "
            "person that have both. A normal is that of the plane fitted to a window of 7 by 7 pixels (of 512 to the "
            "longer side), and known where the whole window is and deviates from its plane by less than 10 mm. Noise "
            "of the measured depth counts: it sets a floor above zero."
        ),
        needs="measured depth and a mask of the person",
        decimals=1,
    ),
    "flicker": Metric(
        label="Flicker",
        unit="levels",
        better="lower",
        meaning=(
            "Mean absolute change of the render from one frame to the next along the motion of the fitted body's "
            "surface, less the same of the photographs over the same pixels; levels of 255, mean over three channels. "
            "Above zero the result flickers more than the recording, whose noise counts. Pixels count that the body "
            "shows in both frames, within both masks and both renders."
        ),
        needs="two scored neighbouring frames of one camera, masks and a body",
        decimals=2,
    ),
    "reprojection_px": Metric(
        label="Keypoint reprojection",
        unit="px",
        better="lower",
        meaning=(
            "Mean distance between the fitted body's projected keypoints and the detected ones, over detections of "
            "confidence at least {least_confidence}, in pixels of the capture's images. Detections that the "
            "triangulation rejected do not count; `left_out` is the share that does not. Over every view in "
            "which keypoints were detected, held out or not: `seen_in_fit` says which the fit used."
        ),
        needs="detected keypoints",
        decimals=1,
    ),
    "mpjpe_mm": Metric(
        label="Joint error (MPJPE)",
        unit="mm",
        better="lower",
        meaning=(
            "Mean distance between the fitted body's joints and the session's reference joints, over 12 limb "
            "joints, in the world: nothing is aligned or scaled. The mean over frames of each frame's mean "
            "over known joints. A reference is another method's result, not the truth."
        ),
        needs="reference joints in the session",
        decimals=1,
    ),
    "true_joints_mm": Metric(
        label="True joint error",
        unit="mm",
        better="lower",
        meaning=(
            "Mean distance of the fitted body's 12 limb joints from those of the virtual person, by the same "
            "regressors, in the world: nothing is aligned or scaled. One number a fitted frame."
        ),
        needs="a virtual capture",
        decimals=1,
    ),
    "true_body_mm": Metric(
        label="True body error",
        unit="mm",
        better="lower",
        meaning=(
            "Mean distance of every vertex of the fitted body model from the same vertex of the virtual person's "
            "naked body, in the world, nothing aligned. One number a fitted frame."
        ),
        needs="a virtual capture",
        decimals=1,
    ),
    "true_surface_mm": Metric(
        label="True surface error",
        unit="mm",
        better="lower",
        meaning=(
            "Mean of two mean distances: of places that the result's rendered depth shows in all of the capture's "
            "cameras to the true clothed surface, and of places of that surface that any camera saw to the result's. "
            "No distance counts for more than 100 mm. One number a scored frame."
        ),
        needs="a virtual capture",
        decimals=1,
    ),
    "true_depth_mm": Metric(
        label="True depth error, median",
        unit="mm",
        better="lower",
        meaning=(
            "Median absolute difference of the result's rendered depth and the true depth of the person, both seen by "
            "the camera as it truly is, over pixels that both have."
        ),
        needs="a virtual capture with true pictures",
        decimals=1,
    ),
}

VIEW_METRICS = (
    "psnr_fg",
    "psnr_near",
    "psnr_full",
    "ssim_crop",
    "lpips_alex",
    "mask_iou",
    "outline_offset_px",
    "area_ratio",
    "depth_median_mm",
    "depth_p90_mm",
    "normals_deg",
)
# Of views too, but only in the scores where the settings ask for them.
ASKED_METRICS = ("lpips_vgg", "dists")
IN_THE_LOSS = " (in the loss)"
# Only in the scores of virtual captures.
TRUE_METRICS = ("true_joints_mm", "true_body_mm", "true_surface_mm", "true_depth_mm")


def label_of(name: str, score: Mapping[str, Any] | None = None) -> str:
    """What a metric is called, with a mark where the training paid for it, or for another one over its network: then it
    is no judge.

    Args:
        score: its entry of a metrics.json.
    """
    label = METRICS[name].label if name in METRICS else name
    return label + IN_THE_LOSS if score is not None and score.get("in_loss") else label


def catalogue() -> dict[str, dict[str, str]]:
    """What docs/metrics.json says of the metrics."""
    return {
        name: {
            "label": metric.label,
            "unit": metric.unit,
            "better": metric.better,
            "meaning": metric.explain({}),
            "needs": metric.needs,
            "version": str(metric.version),
        }
        for name, metric in METRICS.items()
    }


def documentation() -> str:
    """The text of docs/metrics.json."""
    content = {"file": "RUN/evaluate/metrics.json", "explained_in": "docs/metrics.md", "metrics": catalogue()}
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(documentation(), "utf-8")
