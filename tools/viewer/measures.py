"""Numbers of every view and frame: the worst of them as a list, all of them as strips over time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.mapped import map_arrays
from simulacra.recon.runs.records import record_errors
from simulacra.render.runtime.errors import InputError, UserError

from .summary import Summary

# Landmarks of the body network by where they are on the person.
REGIONS: dict[str, tuple[int, ...]] = {
    "head": tuple(range(11)),
    "torso": (11, 12, 23, 24),
    "arms": (13, 14, 15, 16),
    "hands": tuple(range(17, 23)),
    "legs": (25, 26),
    "feet": tuple(range(27, 33)),
}
REPROJECTION, TRUST, PICTURED = "reprojection_px", "trust", "psnr_fg"
TRUST_LABEL = "Trust: how sure the landmarks are, 0 to 1"
# More than a page has columns of pixels.
MOST_BINS = 1500
NOWHERE = ""  # the camera of numbers that are of the world

# Frames and values of a camera, the frames rising.
Series = tuple[np.ndarray, np.ndarray]
# PSNR over a region of the person, dB, in the views of which there are pictures.
OfPictures = Callable[[Summary, str], dict[str, Series]]


def tracks(
    summary: Summary, metric: str, region: str = "", of_pictures: OfPictures | None = None
) -> tuple[dict[str, Series], str]:
    """The numbers of a metric by camera, and which direction is good.

    Args:
        metric: of metrics.json, or `TRUST`.
        region: of `REGIONS`, for what is measured at landmarks or pixels; "" for all of the person.
        of_pictures: what is asked for a region of `PICTURED`.

    Raises:
        InputError: there are no such numbers.
    """
    if region in REGIONS and metric == PICTURED and of_pictures is not None:
        return of_pictures(summary, region), "higher"
    if region or metric == TRUST:
        return _at_landmarks(summary, metric, region), "higher" if metric == TRUST else "lower"
    score = summary.scores.get(metric)
    if score is None:
        raise InputError("no such number was measured", where=summary.entry.path, found=metric)
    by_camera: dict[str, dict[int, float]] = {}
    for camera, frame, value in score["views"]:
        by_camera.setdefault(str(camera or NOWHERE), {})[frame] = value
    found = {}
    for camera, values in by_camera.items():
        frames = np.array(sorted(values))
        found[camera] = (frames, np.array([values[int(frame)] for frame in frames]))
    return found, str(score["better"])


def _at_landmarks(summary: Summary, metric: str, region: str) -> dict[str, Series]:
    if metric not in (TRUST, REPROJECTION) or region not in ("", *REGIONS):
        raise InputError(
            "this is not known by regions", found=f"{metric}, {region}", expected=", ".join(REGIONS)
        )
    folder = summary.entry.path / "fit"
    landmarks = list(REGIONS.get(region, range(33)))
    with record_errors(folder):
        arrays = map_arrays(folder / "fit.npz")
        cameras = [str(name) for name in read_json(folder / "fit.json")["cameras"]]
        name = "confidence" if metric == TRUST else "residual_px"
        values, frames = np.array(arrays[name][..., landmarks]), np.array(arrays["frames"])
        counts = np.isfinite(values)
        sums = np.where(counts, values, 0.0).sum(-1)
        means = np.divide(sums, counts.sum(-1), out=np.full(sums.shape, np.nan), where=counts.any(-1))
        return {
            camera: (frames[np.isfinite(means[:, c])], means[np.isfinite(means[:, c]), c])
            for c, camera in enumerate(cameras)
        }


def strips(summary: Summary, metric: str, region: str = "") -> dict[str, Any]:
    """The numbers over time for the page: at most `MOST_BINS` a camera, of each bin the worst."""
    found, better = tracks(summary, metric, region)
    lines = {}
    for camera, (frames, values) in found.items():
        places = _worst_places(values, better)
        lines[camera] = {
            "frames": frames[places].tolist(),
            "values": [round(v, 5) for v in values[places].tolist()],
        }
    label = METRICS[metric].label if metric in METRICS else TRUST_LABEL if metric == TRUST else metric
    unit = METRICS[metric].unit if metric in METRICS else ""
    return {"label": label, "unit": "" if unit == "1" else unit, "better": better, "cameras": lines}


def _worst_places(values: np.ndarray, better: str) -> np.ndarray:
    if len(values) <= MOST_BINS:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), MOST_BINS + 1).astype(int)
    costs = _costs(values, better)
    return np.array([a + int(np.argmax(costs[a:b])) for a, b in itertools.pairwise(edges)])


def _costs(values: np.ndarray, better: str) -> np.ndarray:
    """What numbers cost, by what metrics.json says is better."""
    if better.startswith("nearest "):
        return np.abs(values - float(better.removeprefix("nearest ")))
    return -values if better == "higher" else values


def worst(
    summaries: Sequence[Summary],
    metric: str,
    region: str,
    camera: str | None,
    most: int,
    each: int,
    of_pictures: OfPictures | None = None,
) -> list[dict[str, Any]]:
    """Views of several runs, the worst first.

    Args:
        camera: only this one's.
        most: so many in all.
        each: so many of each run.
        of_pictures: as for `tracks`.
    """
    rows: list[tuple[float, dict[str, Any]]] = []
    for summary in summaries:
        try:
            found, better = tracks(summary, metric, region, of_pictures)
        except UserError:
            continue
        rows += heapq.nsmallest(each, _rows(summary, found, better, camera), key=lambda row: row[0])
    return [row for _, row in heapq.nsmallest(most, rows, key=lambda row: row[0])]


def _rows(
    summary: Summary, found: Mapping[str, Series], better: str, wanted: str | None
) -> Iterator[tuple[float, dict[str, Any]]]:
    for camera, (frames, values) in found.items():
        if wanted not in (None, "", camera):
            continue
        worth = -_costs(values, better)
        for frame, value, good in zip(frames.tolist(), values.tolist(), worth.tolist(), strict=True):
            yield good, {"id": summary.entry.id, "camera": camera, "frame": frame, "value": value}


def numbers_of(summary: Summary, camera: str, frame: int) -> dict[str, float]:
    """All numbers of one view."""
    return {
        name: value
        for name, score in summary.scores.items()
        for at, when, value in score["views"]
        if at == camera and when == frame
    }


def scored_picture(root: Path, camera: str, frame: int, kind: str) -> Path | None:
    """A picture of a scored view that is in the run; None where there is none, or it leads out of the run."""
    path = root / "evaluate" / "views" / f"{camera}_{frame:06d}_{kind}.png"
    if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
        return None
    return path
