"""A comparison as a page and as a table: what differs, scores with paired differences, the worst views side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from simulacra.recon.evaluate.metrics import IN_THE_LOSS, METRICS
from simulacra.recon.evaluate.paired import PairedDifference
from simulacra.recon.evaluate.protocol import View

from ..report.changes import say_value
from ..report.html_page import write_page
from ..report.wording import duration, shown, shown_change, unit_of
from .comparing import Comparison, worst_views
from .summaries import RunSummary

MOST_VIEWS = 12


def write_comparison(path: Path, comparison: Comparison, metric: str = "psnr_fg") -> Path:
    """Writes the page atomically.

    Args:
        metric: of views, by which the worst are found.

    Raises:
        InputError: a picture cannot be read.
        RunError: no metric of views, or the page cannot be written.
    """
    runs = comparison.runs
    ranked = worst_views(comparison, metric, len(comparison.views))
    pictured = [view for view in ranked if all(_has_pictures(run, view) for run in runs)]
    return write_page(
        path,
        "compare.html",
        ("lightbox.js",),
        title=f"{' and '.join(run.name for run in runs)}" if len(runs) == 2 else f"{len(runs)} runs",
        session=Path(runs[0].session).name,
        verdict=say_verdict(comparison, metric),
        statement=" ".join(
            [runs[0].metrics["protocol"]["statement"] if runs[0].metrics else "", *comparison.doubts]
        ),
        runs=[
            {"name": run.name, "config_name": run.config_name, "time": duration(run.seconds)} for run in runs
        ],
        changes=[
            (name, ["–" if v is None else say_value(v) for v in values])
            for name, values in comparison.changes.items()
        ],
        rows=[_row(comparison, name) for name in comparison.metrics],
        metric=METRICS[metric].label,
        views=_views(comparison, pictured[:MOST_VIEWS], metric),
        unshown=_say_unshown(len(ranked), len(pictured)),
    )


def say_verdict(comparison: Comparison, metric: str) -> str:
    """What the comparison comes to by one metric, in a sentence."""
    first, label = comparison.runs[0].name, METRICS[metric].label
    said = []
    for run, differences in zip(comparison.runs[1:], comparison.differences, strict=True):
        difference = differences.get(metric)
        if difference is None:
            said.append(f"{run.name} and {first} have no number of the same view")
        elif difference.interval is None:
            views = f"{len(difference.values)} views are" if len(difference.values) > 1 else "1 view is"
            said.append(f"{views} too few to tell {run.name} from {first}")
        elif difference.told == "not told apart":
            said.append(f"{run.name} cannot be told from {first}")
        else:
            by = f"{shown(metric, abs(difference.mean))} {unit_of(METRICS[metric].unit) or 'of 1'}"
            said.append(f"{run.name} is {difference.told} than {first} by {by}")
    return f"{label}: {'; '.join(said)}."


def print_comparison(comparison: Comparison, console: Console) -> None:
    """The table: a line a metric, a column a run, differences to the first below each number."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for run in comparison.runs:
        table.add_column(run.name, justify="right", overflow="fold")
    for name, values in comparison.changes.items():
        table.add_row(name, *("–" if value is None else say_value(value) for value in values), style="dim")
    for name in comparison.metrics:
        row = _row(comparison, name)
        better = {"higher": "more is better", "lower": "less is better"}.get(
            row["better"], f"{row['better']} is better"
        )
        cells = [
            "\n".join(filter(None, (c["mean"], f"{c['delta']} {c['said']}".strip(), c["interval"])))
            for c in row["cells"]
        ]
        table.add_row(f"{row['label']} {row['unit']}\n({better})", *cells)
    console.print(table)
    for doubt in comparison.doubts:
        console.print(doubt)


def _row(comparison: Comparison, metric: str) -> dict[str, Any]:
    found = [None, *(differences.get(metric) for differences in comparison.differences)]
    cells = [_cell(metric, run, difference) for run, difference in zip(comparison.runs, found, strict=True)]
    meant = METRICS[metric]
    return {"label": meant.label, "unit": unit_of(meant.unit), "better": meant.better, "cells": cells}


def _cell(metric: str, run: RunSummary, difference: PairedDifference | None) -> dict[str, str]:
    cell = {
        "mean": shown(metric, run.scores.get(metric)) + (IN_THE_LOSS if run.paid_for(metric) else ""),
        "delta": "",
        "told": "",
        "said": "",
        "interval": "",
    }
    if difference is None:
        return cell
    said = "" if difference.told == "not told apart" else difference.told
    views = f"{len(difference.values)} views" if len(difference.values) > 1 else "1 view"
    interval = f"{views}: too few"
    if difference.interval is not None:
        low, high = (shown_change(metric, bound) for bound in difference.interval)
        interval = f"95 %: {low} to {high}"
    delta = shown_change(metric, difference.mean)
    return cell | {"delta": delta, "told": said, "said": said, "interval": interval}


def _views(comparison: Comparison, views: Sequence[View], metric: str) -> list[dict[str, Any]]:
    """The pictures of views: the photograph once, then renders, then differences, all cut alike."""
    from ..report.pictures import Picture, embed, person_box

    plan: list[list[tuple[str, Picture]]] = []
    for view in views:
        box = person_box(_picture(comparison.runs[0], view, "photo"))
        kinds = [("photo", Picture(_picture(comparison.runs[0], view, "photo"), box))]
        for kind in ("render", "difference"):
            kinds += [
                (
                    run.name if kind == "render" else f"{run.name}, difference",
                    Picture(_picture(run, view, kind), box),
                )
                for run in comparison.runs
            ]
        plan.append(kinds)
    data = iter(embed([picture for kinds in plan for _, picture in kinds]))
    return [
        {
            "camera": view.camera,
            "title": f"Camera {view.camera}, frame {view.frame}",
            "pictures": [(kind, next(data)) for kind, _ in kinds],
            "numbers": [
                (run.name, f"{shown(metric, run.values(metric).get(view))} {unit_of(METRICS[metric].unit)}")
                for run in comparison.runs
            ],
        }
        for view, kinds in zip(views, plan, strict=True)
    ]


def _picture(run: RunSummary, view: View, kind: str) -> Path:
    return run.path / "evaluate" / "views" / f"{view.camera}_{view.frame:06d}_{kind}.png"


def _has_pictures(run: RunSummary, view: View) -> bool:
    return all(_picture(run, view, kind).is_file() for kind in ("photo", "render", "difference"))


def _say_unshown(scored: int, pictured: int) -> str:
    """Which of the scored views cannot be shown."""
    if pictured == scored and pictured <= MOST_VIEWS:
        return ""
    few = f"Of {scored} scored views, {pictured} have pictures in every run"
    return f"{few}; at most {MOST_VIEWS} are shown. More are written with `evaluate.pictures`."
