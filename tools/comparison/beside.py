"""A run and another trainer's Gaussians, scored on the same views, as a comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..report.scores_file import read_scores
from .comparing import Comparison, hold_together
from .summaries import summarize


def compare_parts(run: Path, folder: Path, own: str, foreign: str) -> Comparison:
    """The foreign scores against the run's own; nothing of a configuration differs, there being none.

    Args:
        run: the folder of the run.
        folder: in which both were scored.
        own: the part of it with the run's scores.
        foreign: that with the others.

    Raises:
        RunError: scores that cannot be read.
    """
    described = summarize(run)
    parts = [
        replace(
            described,
            path=folder / part,
            name=name,
            config={},
            metrics=read_scores(folder / part / "evaluate" / "metrics.json"),
            seconds=described.seconds if part == own else 0.0,
        )
        for part, name in ((own, described.name), (foreign, foreign))
    ]
    return hold_together([parts[0], replace(parts[1], config_name="a static scene")])
