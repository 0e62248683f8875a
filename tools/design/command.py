"""`simulacra design`: measures the points of a design that are not known yet, and writes what came of it."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.runs.configuration import format_config, load_config
from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.progress import track
from simulacra.render.runtime.errors import RunError

from ..commands.configurations import config_file
from ..commands.printing import console
from ..commands.warmup import warm_up
from .config import DesignConfig
from .page import shown, write_design
from .points import Point, Result, measure, points_of
from .summary import EstimateRow, summarise


def run_design(
    out: Path | None,
    config: str | None,
    overrides: Sequence[str] = (),
    *,
    beside: Sequence[Path] = (),
    again: bool = False,
    print_config: bool = False,
) -> None:
    """Measure a design, print its table and write design.html.

    Raises:
        ConfigError: no such configuration, an unknown key, a value that cannot be.
        RunError: no output folder, or a run beside it that is not finished.
    """
    settings = load_config(DesignConfig, config_file(config, "design"), overrides)
    if print_config:
        sys.stdout.write(format_config(settings))
        return
    if out is None:
        raise RunError("A folder for the design is needed", remedy="say which: --out DESIGN")
    real = {run.resolve().name: _scores_of(run) for run in beside}
    warm_up(quiet=True, stage=True)
    results = _measure_each(list(points_of(settings)), out / "points", again)
    rows = summarise(settings, results)
    print_rows(settings, rows, console())
    commits = sorted({result.commit or "unknown" for result in results})
    if len(commits) > 1:
        print(
            f"note: points were measured by different code ({', '.join(c[:12] for c in commits)}); --again measures all"
        )
    page = write_design(out, settings, rows, real).resolve()
    print(f"page: {page}\nto see it, open it in a browser: {page.as_uri()}")


def _measure_each(points: Sequence[Point], cache: Path, again: bool) -> list[Result]:
    """Every point; what two points share is measured once."""
    known: dict[str, Result] = {}
    results = []
    for point in track(points, "captures", len(points)):
        before = known.get(point.key)
        if before is None:
            # What the stages say of themselves would bury the progress of a hundred runs.
            with contextlib.redirect_stderr(io.StringIO()):
                before = measure(point, cache, again)
            known[point.key] = before
        results.append(replace(before, point=point))
    return results


def _scores_of(run: Path) -> dict[str, float]:
    path = run / "evaluate" / "metrics.json"
    if not path.is_file():
        raise RunError("there is no finished run to show beside", where=run, expected="evaluate/metrics.json")
    scores = read_json(path)["scores"]
    return {name: float(score["mean"]) for name, score in scores.items() if score["mean"] is not None}


def print_rows(settings: DesignConfig, rows: Sequence[EstimateRow], console: Console) -> None:
    """The table: a line for each rig and each value of a sweep."""
    table = Table(box=None, pad_edge=False)
    for title in ("rig", "what", *(METRICS[name].label for name in settings.metrics), "failed checks"):
        table.add_column(title)
    for row in rows:
        what = "as it is" if row.sweep is None else f"{row.sweep} {row.value}"
        table.add_row(
            row.variant,
            what,
            *(shown(name, row.estimates.get(name)) for name in settings.metrics),
            ", ".join(row.found) + (f"; {len(row.failed)} without result" if row.failed else ""),
        )
    console.print(table)
