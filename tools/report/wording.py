"""Numbers as pages show them."""

from __future__ import annotations

import math

from simulacra.recon.evaluate.metrics import METRICS


def shown(metric: str, value: float | None) -> str:
    """A number with as many decimals as mean something; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{METRICS[metric].decimals if metric in METRICS else 3}f}"


def shown_change(metric: str, value: float) -> str:
    """A difference, with its sign and one decimal more than a number of the metric has."""
    return f"{value:+.{METRICS[metric].decimals}f}".replace("-", "−")


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


def unit_of(unit: str) -> str:
    """A unit as it follows a number: nothing for a ratio."""
    return "" if unit == "1" else unit
