"""Numbers over time as strips: a line a camera, worst moments marked, each a small SVG that needs no script."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulacra.recon.evaluate.metrics import METRICS

from .wording import shown, unit_of

STRIP_METRICS = ("psnr_fg", "mask_iou", "depth_median_mm", "reprojection_px", "mpjpe_mm")
# More stretches than this cannot be told apart; of each the worst value is drawn, so that nothing bad is averaged away.
MOST_POINTS = 240
LEAST_FRAMES = 3
WIDTH, HEIGHT = 600.0, 42.0


@dataclass(frozen=True)
class StripLine:
    """One camera's line.

    Attributes:
        svg: the line, with a mark at its worst moment.
        worst: the number there, in words.
        link: to the pictures of that view, "" where there are none.
    """

    camera: str
    svg: str
    worst: str
    link: str


@dataclass(frozen=True)
class Strip:
    """One metric over the frames, all cameras at one scale."""

    label: str
    scale: str
    lines: tuple[StripLine, ...]


def time_strips(scores: Mapping[str, Any], links: Mapping[tuple[str, int], str]) -> list[Strip]:
    """Of every metric that has numbers of at least three frames.

    Args:
        scores: of metrics.json.
        links: by camera and frame, where a view's pictures are.
    """
    return [
        _strip(name, scores[name]["views"], links)
        for name in STRIP_METRICS
        if name in scores and len({view["frame"] for view in scores[name]["views"]}) >= LEAST_FRAMES
    ]


def _strip(metric: str, views: Sequence[Mapping[str, Any]], links: Mapping[tuple[str, int], str]) -> Strip:
    cameras = dict.fromkeys(view["camera"] or "" for view in views)
    frames = [view["frame"] for view in views]
    values = np.array([view["value"] for view in views])
    low, high = _limits(metric, values)
    lines = []
    for camera in cameras:
        own = sorted((v["frame"], v["value"]) for v in views if (v["camera"] or "") == camera)
        sign = -1 if METRICS[metric].better == "higher" else 1
        frame, value = max(own, key=lambda pair: sign * pair[1])
        svg = _line(own, (min(frames), max(frames)), (low, high), frame, METRICS[metric].better)
        said = f"worst {shown(metric, value)} {unit_of(METRICS[metric].unit)}".strip() + f" in frame {frame}"
        lines.append(StripLine(camera or "all", svg, said, links.get((camera, frame), "")))
    unit = unit_of(METRICS[metric].unit)
    scale = (
        f"Bottom {shown(metric, low)}, top {shown(metric, high)} {unit}".strip()
        + f"; frames {min(frames)} to {max(frames)}. "
    )
    better = "higher" if METRICS[metric].better == "higher" else "lower"
    return Strip(METRICS[metric].label, f"{scale}{better.capitalize()} is better.", tuple(lines))


def _limits(metric: str, values: np.ndarray) -> tuple[float, float]:
    """Errors are drawn from zero; what has no natural zero from its least value."""
    low = 0.0 if METRICS[metric].better == "lower" else float(values.min())
    high = float(values.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _line(
    points: Sequence[tuple[int, float]],
    frames: tuple[int, int],
    limits: tuple[float, float],
    worst: int,
    better: str,
) -> str:
    """The SVG, in units of which the page makes what fits."""
    points = _thinned(points, min if better == "higher" else max)

    def at(frame: int, value: float) -> tuple[float, float]:
        x = (frame - frames[0]) / max(frames[1] - frames[0], 1) * WIDTH
        return x, HEIGHT - 3 - (value - limits[0]) / (limits[1] - limits[0]) * (HEIGHT - 6)

    path = "L".join("{:.1f} {:.1f}".format(*at(*point)) for point in points)
    mark = next((point for point in points if point[0] == worst), points[0])
    x, y = at(*mark)
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" aria-hidden="true">'
        f'<line x1="0" x2="{WIDTH:.0f}" y1="{HEIGHT - 1:.0f}" y2="{HEIGHT - 1:.0f}"/>'
        f'<path d="M{path}"/><path class="low" d="M{x:.1f} {y:.1f}h0"/></svg>'
    )


def _thinned(points: Sequence[tuple[int, float]], worst: Any) -> list[tuple[int, float]]:
    """At most so many points: of each stretch the worst one."""
    if len(points) <= MOST_POINTS:
        return list(points)
    edges = np.linspace(0, len(points), MOST_POINTS + 1).astype(int)
    return [worst(points[a:b], key=lambda pair: pair[1]) for a, b in itertools.pairwise(edges)]
