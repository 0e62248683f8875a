"""Writing `report.html`: one page that holds its pictures, styles and script, and needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.preflight.record import say_number

from .charts import line_chart
from .content import ComparedPictures, ReportContent, read_run
from .html_page import write_page
from .pictures import Picture, embed, person_box
from .scores_table import headlines, region_rows, score_rows, scored_cameras, seen_cameras, unmeasured
from .strips import time_strips
from .wording import duration, shown, unit_of

# Shown beside the verdict; the others come further down.
WORST_SHOWN = 3
# Of more views than this the pictures would be too small to see anything; the worst are kept.
MOST_VIEWS = 60
# A stage that took less did nothing.
LEAST_SECONDS = 0.05


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
    """Writes the page atomically; at most 15 MB.

    Raises:
        InputError: a picture cannot be read.
        RunError: the disk is full or the folder cannot be written.
    """
    metrics = content.metrics
    cameras = scored_cameras(metrics)
    # The worst first: that is where there is something to see.
    ranked = sorted(content.views, key=lambda view: view.values.get("psnr_fg", np.inf))[:MOST_VIEWS]
    views, turntable, overlays = _embed_all(content, ranked)
    worst = WORST_SHOWN if len(views) > WORST_SHOWN else 1
    links = {(view.camera, view.frame): f"#view-{place}" for place, view in enumerate(ranked)}
    write_page(
        path,
        "report.html",
        ("lightbox.js", "turntable.js"),
        content=content,
        protocol=metrics["protocol"] if metrics else None,
        worst=_worst(ranked),
        settings=metrics["settings"] if metrics else {},
        headlines=headlines(metrics, content.beside),
        strips=time_strips(metrics["scores"], links) if metrics else [],
        regions=region_rows(metrics),
        cameras=cameras,
        seen=seen_cameras(metrics),
        rows=score_rows(metrics, cameras),
        unmeasured=unmeasured(metrics),
        worst_views=views[:worst],
        more_views=views[worst:],
        view_cameras=list(dict.fromkeys(view.camera for view in ranked)),
        unshown=len(content.views) - len(views),
        turntable=turntable,
        overlays=overlays,
        charts=[line_chart(curve) for curve in content.losses],
        tags=[(tag, links.get((tag.camera or "", tag.frame), "")) for tag in content.tags],
        stages=_stages(content),
        absent=_absent(content),
    )


def _embed_all(
    content: ReportContent, ranked: Sequence[ComparedPictures]
) -> tuple[list[dict[str, Any]], list[str], list[tuple[str, str]]]:
    """Views, turntable and overlays, all at one size, so that they have room in one page together."""
    boxes = [person_box(view.photo) for view in ranked]
    pictures = [
        Picture(path, box)
        for view, box in zip(ranked, boxes, strict=True)
        for path in (view.photo, view.render, view.difference)
    ]
    pictures += [Picture(path) for path in (*content.turntable, *(path for _, path in content.overlays))]
    data = iter(embed(pictures))
    views = [_view(view, [next(data) for _ in range(3)]) for view in ranked]
    turntable = [next(data) for _ in content.turntable]
    return views, turntable, [(camera, next(data)) for camera, _ in content.overlays]


def _view(view: ComparedPictures, pictures: Sequence[str]) -> dict[str, Any]:
    chosen = [name for name in ("psnr_fg", "ssim_crop", "mask_iou", "depth_median_mm") if name in view.values]
    return {
        "camera": view.camera,
        "title": f"Camera {view.camera}, frame {view.frame}",
        "seen": view.seen_in_training,
        "pictures": list(zip(("photo", "render", "difference"), pictures, strict=True)),
        "numbers": [
            (METRICS[name].label, shown(name, view.values[name]), unit_of(METRICS[name].unit))
            for name in chosen
        ],
    }


def _worst(views: Sequence[ComparedPictures]) -> str:
    """What is said of the first view; nothing where it is the only one, or has no score."""
    if len(views) < 2 or "psnr_fg" not in views[0].values:
        return ""
    return f"camera {views[0].camera}, frame {views[0].frame}, {say_number(views[0].values['psnr_fg'])} dB"


def _stages(content: ReportContent) -> dict[str, Any]:
    total = sum(stage.seconds for stage in content.stages)
    return {
        "rows": [
            (stage, duration(stage.seconds), 100 * stage.seconds / total if total else 0.0)
            for stage in content.stages
            if stage.seconds >= LEAST_SECONDS or stage.skipped
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
