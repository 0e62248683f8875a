"""Runs as a table on the terminal: a line a run, and below it what differs from its configuration."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report.changes import say_value
from ..report.wording import duration, shown
from .summaries import RunSummary

COLUMNS = ("psnr_fg", "ssim_crop", "mask_iou", "depth_median_mm", "reprojection_px", "mpjpe_mm")
NARROWEST = 60


def list_runs(runs: Sequence[RunSummary], width: int) -> Iterator[str]:
    """The lines of the table. Columns are called as `--sort` and `--where` take them.

    Args:
        runs: one or more.
        width: of the terminal, in characters; what differs is wrapped to it.
    """
    metrics = [name for name in COLUMNS if any(name in run.scores for run in runs)]
    rows = [["name", "config", *metrics, "seconds", "state"]]
    for run in runs:
        scores = [shown(name, run.scores.get(name)) for name in metrics]
        rows.append([run.name, run.config_name or "–", *scores, duration(run.seconds), run.state])
    numbers = range(2, 3 + len(metrics))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shared = _shared([run.changes for run in runs])
    for row, listed in zip(rows, [None, *runs], strict=True):
        cells = [c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
        yield "  ".join(cells).rstrip()
        if listed is not None:
            yield from _wrapped({k: v for k, v in listed.changes.items() if k not in shared}, "", width)
    if shared:
        yield from _wrapped(shared, "in all of them: ", width)
    sessions = dict.fromkeys(run.session for run in runs if run.session)
    if len(sessions) > 1:
        names = {session: [run.name for run in runs if run.session == session] for session in sessions}
        for session, of in names.items():
            yield from _lines(f"session {Path(session).name}: {', '.join(of)}", width)


def _shared(changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What differs from the configuration in all runs alike; nothing of a single one."""
    first = changes[0] if len(changes) > 1 else {}
    return {k: v for k, v in first.items() if all(k in each and each[k] == v for each in changes)}


def _wrapped(changes: Mapping[str, Any], prefix: str, width: int) -> list[str]:
    said = ", ".join(f"{name} {say_value(value)}" for name, value in changes.items())
    return _lines(prefix + said, width) if said else []


def _lines(text: str, width: int) -> list[str]:
    indent = " " * 4
    return textwrap.wrap(
        text, max(width, NARROWEST), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
