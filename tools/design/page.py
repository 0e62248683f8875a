"""design.json, design.html and the charts of a design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.preflight import CODES
from simulacra.recon.runs.configuration import format_config
from simulacra.recon.runs.files import disk_errors, write_json, write_text

from .chart import Mark, Series, interval_chart
from .config import DesignConfig, Sweep
from .summary import Estimate, EstimateRow, allowed

# Metrics whose axis does not begin at zero: differences are what matters, and zero is nowhere near.
RATIOS = ("psnr_fg", "psnr_full", "ssim_crop", "mask_iou")


def write_design(
    folder: Path, settings: DesignConfig, rows: Sequence[EstimateRow], real: Mapping[str, Mapping[str, float]]
) -> Path:
    """Writes the record, a chart for each sweep and metric, and a page with all of it.

    Args:
        real: of real captures that were reconstructed alike: name, and what metrics were.

    Returns:
        the page.
    """
    charts = _charts(settings, rows, real)
    limits = [
        {"sweep": sweep, "variant": variant.name, "allowed": allowed(settings, rows, variant.name, sweep)}
        for sweep in settings.sweeps
        for variant in settings.variants
    ]
    with disk_errors(folder):
        write_text(folder / "config.yaml", format_config(settings))
        write_json(folder / "design.json", _as_json(settings, rows, real, limits))
        for name, text in charts.items():
            write_text(folder / f"{name}.svg", text)
        page = folder / "design.html"
        write_text(page, _page(settings, rows, real, charts, limits))
    return page


def shown(metric: str, found: Estimate | None, signed: bool = False) -> str:
    """`16.6 [14.1, 19.0]`."""
    if found is None:
        return "-"
    digits = METRICS[metric].decimals
    sign = "+" if signed else ""
    text = f"{found.mean:{sign}.{digits}f}"
    if found.interval is not None:
        text += f" [{found.interval[0]:{sign}.{digits}f}, {found.interval[1]:{sign}.{digits}f}]"
    return text


def _charts(
    settings: DesignConfig, rows: Sequence[EstimateRow], real: Mapping[str, Mapping[str, float]]
) -> dict[str, str]:
    charts = {}
    for metric in settings.metrics:
        title = METRICS[metric].label + (f", {METRICS[metric].unit}" if METRICS[metric].unit != "1" else "")
        marks = [Mark(name, values[metric]) for name, values in real.items() if metric in values]
        for sweep in settings.sweeps:
            places = _places(sweep)
            series = []
            for variant in settings.variants:
                own = [
                    (places[row.value], row.estimates[metric])
                    for row in rows
                    if (row.variant, row.sweep) == (variant.name, sweep.option) and metric in row.estimates
                ]
                if own:
                    series.append(
                        Series(
                            variant.name,
                            tuple(x for x, _ in own),
                            tuple(e.mean for _, e in own),
                            tuple(e.interval for _, e in own),
                        )
                    )
            if series:
                ticks = [(x, f"{value}") for value, x in places.items()]
                charts[f"{sweep.option.replace('.', '_')}_{metric}"] = interval_chart(
                    title, sweep.name, ticks, series, marks, metric not in RATIOS
                )
    return charts


def _places(sweep: Sweep) -> dict[Any, float]:
    """Where values stand along the axis: by size where they are numbers, else one after the other."""
    numbers = not any(isinstance(value, str) for value in sweep.values)
    return {value: float(value) if numbers else float(k) for k, value in enumerate(sweep.values)}


def _as_json(
    settings: DesignConfig,
    rows: Sequence[EstimateRow],
    real: Mapping[str, Mapping[str, float]],
    limits: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    return {
        "schema": 1,
        "repeats": settings.repeats,
        "interval": "95 %, Student's t over people; differences are of the same people, paired",
        "rows": [
            {
                "variant": row.variant,
                "sweep": row.sweep,
                "value": row.value,
                "metrics": {name: found.as_json() for name, found in row.estimates.items()},
                "against_first": {name: found.as_json() for name, found in row.against.items()},
                "failed_checks": row.found,
                "without_result": list(row.failed),
                "seconds": row.seconds,
            }
            for row in rows
        ],
        "allowed": [
            {"sweep": entry["sweep"].option, "variant": entry["variant"], "up_to": entry["allowed"]}
            for entry in limits
        ],
        "real": {name: dict(values) for name, values in real.items()},
    }


def _page(
    settings: DesignConfig,
    rows: Sequence[EstimateRow],
    real: Mapping[str, Mapping[str, float]],
    charts: Mapping[str, str],
    limits: Sequence[Mapping[str, Any]],
) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (resources.files("simulacra.tools.report") / "report.css").read_text("utf-8")
    return environment.from_string((resources.files(__package__) / "design.html").read_text("utf-8")).render(
        settings=settings,
        metrics=[(name, METRICS[name]) for name in settings.metrics],
        rigs=[row for row in rows if row.sweep is None],
        sweeps=[(sweep, [row for row in rows if row.sweep == sweep.option]) for sweep in settings.sweeps],
        charts=charts,
        limits=limits,
        real=real,
        shown=shown,
        codes=CODES,
        style=style,
    )
