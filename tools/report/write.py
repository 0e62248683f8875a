"""Writing `report.html`: one page that holds its pictures, styles and script, and needs no network."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.preflight.record import say_number
from simulacra.recon.runs.files import disk_errors, write_text
from simulacra.render.image import read_image
from simulacra.render.runtime.whole_files import sync

from .charts import line_chart
from .content import Beside, ComparedPictures, ReportContent, read_run, shown

JPEG_QUALITY = 88
# Pictures are embedded at most this large: a report is looked at, not measured.
LONGEST_SIDE = 900
# Darker than this over all channels is the black that captures and renders are laid over.
BLACK = 0.02
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
    """A line of the table of scores. `cells` follow the cameras; `reason` is why there is no number."""

    label: str
    unit: str
    better: str
    mean: str
    spread: str
    cells: tuple[str, ...]
    reason: str
    missing: int


def write_run_report(
    run: Path, evaluation: str = "evaluate", beside: Sequence[Path] = (), out: Path | None = None
) -> Path:
    """Reads a run's folder and writes its report: ``report.html``, or one named after another evaluation.

    Args:
        run: the folder of the run.
        evaluation: which of its evaluations.
        beside: other runs, whose scores are printed beside.
        out: the folder that the evaluation lies in and the report is written into; the run's own if None.

    Raises:
        RunError: not the folder of a run, or it cannot be read or written.
    """
    path = (out or run) / ("report.html" if evaluation == "evaluate" else f"report_{evaluation}.html")
    write_report(path, read_run(run, evaluation, beside, out))
    return path


def write_report(path: Path, content: ReportContent) -> None:
    """Writes the page atomically.

    Raises:
        InputError: a picture cannot be read.
        RunError: the disk is full or the folder cannot be written.
    """
    folder = resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    metrics = content.metrics
    cameras = _cameras(metrics)
    # The worst first: that is where there is something to see.
    shown_views = sorted(content.views, key=lambda view: view.values.get("psnr_fg", np.inf))
    script = (folder / "report.js").read_text("utf-8")
    page = template.render(
        content=content,
        style=(folder / "report.css").read_text("utf-8"),
        script=script,
        # The policy lets this script run and no other, so that one that got past the escaping would not.
        script_digest=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        protocol=metrics["protocol"] if metrics else None,
        worst=_worst(shown_views),
        settings=metrics["settings"] if metrics else {},
        headlines=_headlines(metrics, content.beside),
        cameras=cameras,
        seen=_seen_cameras(metrics),
        rows=_rows(metrics, cameras),
        views=[_view(view) for view in shown_views],
        turntable=[embed(path) for path in content.turntable],
        overlays=[(camera, embed(path)) for camera, path in content.overlays],
        charts=[line_chart(curve) for curve in content.losses],
        stages=_stages(content),
        absent=_absent(content),
    )
    with disk_errors(path.parent):
        write_text(path, page)
        sync(path.parent)


def embed(path: Path, box: tuple[slice, slice] | None = None) -> str:
    """A picture as a JPEG in a data URI, cut to the box if one is given."""
    pixels = read_image(path)
    pixels = pixels if box is None else pixels[box]
    image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def person_box(photo: Path) -> tuple[slice, slice]:
    """The part of a photograph over black that is not black, with a margin: the person fills the page."""
    lit = read_image(photo).max(-1) > BLACK
    height, width = lit.shape
    if not lit.any():
        return slice(0, height), slice(0, width)
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    margin = max(4, round(0.08 * max(np.ptp(rows), np.ptp(columns))))
    return (
        slice(max(0, int(rows[0]) - margin), min(height, int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(width, int(columns[-1]) + 1 + margin)),
    )


def _view(view: ComparedPictures) -> dict[str, Any]:
    box = person_box(view.photo)
    named = (("photo", view.photo), ("render", view.render), ("difference", view.difference))
    chosen = [name for name in ("psnr_fg", "ssim_crop", "mask_iou", "depth_median_mm") if name in view.values]
    return {
        "title": f"Camera {view.camera}, frame {view.frame}",
        "seen": view.seen_in_training,
        "pictures": [(kind, embed(path, box)) for kind, path in named],
        "numbers": [
            (METRICS[name].label, shown(name, view.values[name]), _unit(METRICS[name].unit))
            for name in chosen
        ],
    }


def _worst(views: Sequence[ComparedPictures]) -> str:
    """What is said of the first view; nothing where it is the only one, or has no score."""
    if len(views) < 2 or "psnr_fg" not in views[0].values:
        return ""
    return f"camera {views[0].camera}, frame {views[0].frame}, {say_number(views[0].values['psnr_fg'])} dB"


def _headlines(metrics: Mapping[str, Any] | None, beside: Sequence[Beside]) -> list[Headline]:
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
                metric.label,
                shown(name, score["mean"]),
                _unit(metric.unit),
                metric.better,
                _spread(name, score),
                others,
                metric.explain(metrics["settings"]),
            )
        )
    return found


def _verdict(metric: str, ours: float, other: Beside) -> str:
    """ "better", "worse", or nothing where the two were scored on different views or are equal."""
    if other.comparable is False or ours == other.value:
        return ""
    return "better" if (ours > other.value) == (METRICS[metric].better == "higher") else "worse"


def _spread(metric: str, score: Mapping[str, Any]) -> str:
    of = f"{score['count']} " + ("views" if score["per_camera"] else "frames")
    if score["count"] == 1:
        of = of[:-1]
    if score["interval_95"] is not None:
        low, high = (shown(metric, bound) for bound in score["interval_95"])
        return f"95 %: {low} to {high}, {of}"
    return f"std {shown(metric, score['std'])}, {of}" if score["std"] is not None else of


def _cameras(metrics: Mapping[str, Any] | None) -> list[str]:
    """Cameras with a number, those that were scored first."""
    if metrics is None:
        return []
    scored = dict.fromkeys(view["camera"] for view in metrics["held_out"]["views"])
    other = sorted({c for score in metrics["scores"].values() for c in score["per_camera"]} - set(scored))
    return [*scored, *other]


def _seen_cameras(metrics: Mapping[str, Any] | None) -> set[str]:
    return {v["camera"] for v in metrics["held_out"]["views"] if v["seen_in_training"]} if metrics else set()


def _rows(metrics: Mapping[str, Any] | None, cameras: Sequence[str]) -> list[ScoreRow]:
    if metrics is None:
        return []
    rows = []
    for name, score in metrics["scores"].items():
        metric = METRICS.get(name)
        rows.append(
            ScoreRow(
                metric.label if metric else name,
                _unit(score["unit"]),
                score["better"],
                shown(name, score["mean"]),
                _spread(name, score) if score["mean"] is not None else "",
                tuple(shown(name, score["per_camera"].get(camera)) for camera in cameras),
                score["reason"] or "",
                len(score["missing"]) if score["mean"] is not None else 0,
            )
        )
    order = list(METRICS)
    names = list(metrics["scores"])
    return [rows[i] for i in sorted(range(len(rows)), key=lambda i: _place(order, names[i]))]


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _stages(content: ReportContent) -> dict[str, Any]:
    total = sum(stage.seconds for stage in content.stages)
    return {
        "rows": [
            (stage, duration(stage.seconds), 100 * stage.seconds / total if total else 0.0)
            for stage in content.stages
        ],
        "total": duration(total),
        "peak": max((stage.peak_mb for stage in content.stages), default=0.0),
    }


def _absent(content: ReportContent) -> list[str]:
    """What a report usually shows and this run has not."""
    usual = (
        (content.metrics, "scores (evaluate/metrics.json)"),
        (content.views, "pictures of scored views (evaluate/views)"),
        (content.turntable, "a turntable (evaluate/turntable)"),
        (content.overlays, "the fitted body over the photographs (evaluate/overlay)"),
        (content.losses, "the training's losses (avatar/losses.npz)"),
        (content.config_text, "the configuration (config.yaml)"),
        (content.people, "who is shown and what they agreed to (session.json)"),
    )
    return [name for value, name in usual if not value]


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit
