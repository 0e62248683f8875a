"""`simulacra evaluate`: a run scored again."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import arg

from .arguments import OptionalPath, Run


def evaluate(
    run: Run,
    /,
    held_out_cameras: Annotated[tuple[str, ...] | None, arg(metavar="CAM [CAM ...]")] = None,
    out: OptionalPath = None,
) -> None:
    """Score a run again and write its report, or score it on other cameras and write a second report.

    Args:
        run: the folder that `simulacra reconstruct` made.
        held_out_cameras: score these cameras too. Those that the run was trained on are marked as seen.
        out: a folder for scores and report instead of the run, which may be read-only then.
    """
    from simulacra.recon.evaluate.again import evaluate_run

    from ..report import write_run_report

    _, folder = evaluate_run(run, held_out_cameras, out)
    print(f"report: {write_run_report(run, folder.name, out=out)}")
