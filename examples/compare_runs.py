"""Compare two runs view by view: `python examples/compare_runs.py RUN BASELINE`.

Only views that both were scored on count. The interval, over frames and cameras, says how much depends on which of
them were scored, not on the person or the seed.
"""

import json
from pathlib import Path

import tyro

from simulacra.recon.evaluate.clusters import WORLD, interval_of_views
from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.evaluate.protocol import View


def main(run: Path, baseline: Path) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """Returns by metric: the mean of run minus baseline, and its 95 % interval; None under five frames and cameras."""
    ours, theirs = read_values(run), read_values(baseline)
    differences = {}
    for metric in METRICS:
        both = {
            View(camera or WORLD, frame): value - theirs[metric, camera, frame]
            for (of, camera, frame), value in ours.items()
            if of == metric and (of, camera, frame) in theirs
        }
        if both:
            differences[metric] = sum(both.values()) / len(both), interval_of_views(both).bounds
    return differences


def read_values(run: Path) -> dict[tuple[str, str | None, int], float]:
    """Every scored number of a run by metric, camera and frame."""
    scores = json.loads((run / "evaluate" / "metrics.json").read_text())["scores"]
    return {(m, v["camera"], v["frame"]): v["value"] for m, score in scores.items() for v in score["views"]}


if __name__ == "__main__":
    for metric, (mean, interval) in tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,)).items():
        sure = "" if interval is None else f"   95 %: {interval[0]:+.3f} to {interval[1]:+.3f}"
        label, unit, better = METRICS[metric].label, METRICS[metric].unit, METRICS[metric].better
        print(f"{label:28s} {mean:+.3f} {unit} ({better} is better){sure}")
