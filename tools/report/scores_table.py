"""What a page shows of metrics.json: key numbers, a table by camera, a table by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulacra.recon.evaluate.metrics import METRICS, label_of

from .content import Beside
from .wording import shown, unit_of

HEADLINES = ("psnr_fg", "ssim_crop", "mask_iou", "depth_median_mm", "reprojection_px", "mpjpe_mm")


@dataclass(frozen=True)
class Headline:
    """A key number as the page shows it; `spread` says how sure it is, `beside` what others have."""

    metric: str
    label: str
    value: str
    unit: str
    better: str
    spread: str
    beside: tuple[tuple[str, str, str], ...]
    meaning: str


@dataclass(frozen=True)
class ScoreRow:
    """A line of a table of scores. `cells` follow the cameras."""

    label: str
    unit: str
    better: str
    mean: str
    spread: str
    cells: tuple[str, ...]
    missing: int = 0


def headlines(metrics: Mapping[str, Any] | None, beside: Sequence[Beside]) -> list[Headline]:
    """Those of the key numbers that there are."""
    if metrics is None:
        return []
    found = []
    for name in HEADLINES:
        score = metrics["scores"].get(name)
        if score is None or score["mean"] is None:
            continue
        metric = METRICS[name]
        others = tuple(
            (shown(name, other.value), other.source, _verdict(name, score["mean"], other))
            for other in beside
            if other.metric == name
        )
        found.append(
            Headline(
                name,
                label_of(name, score),
                shown(name, score["mean"]),
                unit_of(metric.unit),
                metric.better,
                _spread(name, score),
                others,
                metric.explain(metrics["settings"]),
            )
        )
    return found


def score_rows(metrics: Mapping[str, Any] | None, cameras: Sequence[str]) -> list[ScoreRow]:
    """A row for every metric that has a number, in the order of the documentation."""
    if metrics is None:
        return []
    rows = []
    for name in _in_order(metrics["scores"]):
        score = metrics["scores"][name]
        if score["mean"] is None:
            continue
        rows.append(
            ScoreRow(
                label_of(name, score),
                unit_of(score["unit"]),
                score["better"],
                shown(name, score["mean"]),
                _spread(name, score),
                tuple(shown(name, score["per_camera"].get(camera)) for camera in cameras),
                len(score["missing"]),
            )
        )
    return rows


def unmeasured(metrics: Mapping[str, Any] | None) -> list[str]:
    """What was not measured, grouped by the reason, as sentences."""
    reasons: dict[str, list[str]] = {}
    for name in _in_order(metrics["scores"]) if metrics else ():
        score = metrics["scores"][name] if metrics else {}
        if score["mean"] is None:
            reasons.setdefault(score["reason"] or "no reason is given", []).append(label_of(name))
    return [f"{' and '.join(labels)}: {reason}." for reason, labels in reasons.items()]


def region_rows(metrics: Mapping[str, Any] | None) -> list[tuple[str, str, str, str, float]]:
    """Each region of the body: PSNR, overlap, what its worst view has, and how long a bar of it is, percent."""
    found = {} if metrics is None else metrics.get("regions", {})
    regions = {name: region for name, region in found.items() if region["views"]}
    best = max((region["mean"] for region in regions.values()), default=1.0)
    rows = []
    for name, region in sorted(regions.items(), key=lambda pair: pair[1]["mean"]):
        worst = min(region["views"], key=lambda view: view["value"])
        said = f"{shown('psnr_fg', worst['value'])} dB (camera {worst['camera']}, frame {worst['frame']})"
        overlap = shown("mask_iou", (region.get("mask_iou") or {}).get("mean"))
        rows.append(
            (name, shown("psnr_fg", region["mean"]), overlap, said, 100 * max(region["mean"], 0) / best)
        )
    return rows


def scored_cameras(metrics: Mapping[str, Any] | None) -> list[str]:
    """Cameras with a number, those that were scored first."""
    if metrics is None:
        return []
    scored = dict.fromkeys(view["camera"] for view in metrics["held_out"]["views"])
    other = sorted({c for score in metrics["scores"].values() for c in score["per_camera"]} - set(scored))
    return [*scored, *other]


def seen_cameras(metrics: Mapping[str, Any] | None) -> set[str]:
    """Those of which a scored view was trained on."""
    return {v["camera"] for v in metrics["held_out"]["views"] if v["seen_in_training"]} if metrics else set()


def _in_order(names: Mapping[str, Any]) -> list[str]:
    order = list(METRICS)
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _verdict(metric: str, ours: float, other: Beside) -> str:
    """ "better", "worse", or nothing where the two were scored on different views or are equal."""
    if other.comparable is False or ours == other.value:
        return ""
    cost = METRICS[metric].cost
    return "better" if cost(ours) < cost(other.value) else "worse"


def _spread(metric: str, score: Mapping[str, Any]) -> str:
    of = f"{score['count']} " + ("views" if score["per_camera"] else "frames")
    if score["count"] == 1:
        of = of[:-1]
    if score["interval_95"] is not None:
        low, high = (shown(metric, bound) for bound in score["interval_95"])
        return f"95 %: {low} to {high}, {of}"
    return f"std {shown(metric, score['std'])}, {of}" if score["std"] is not None else of
