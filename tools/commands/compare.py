"""`simulacra compare`: runs of one session, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from .arguments import check_file
from .inputs import Input
from .outputs import OptionalFile
from .printing import console

Runs = Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN RUN [RUN ...]"), Input("run")]


def compare(
    runs: Runs,
    /,
    out: OptionalFile = None,
    metric: Annotated[str, arg(metavar="METRIC")] = "psnr_fg",
    json_lines: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Compare runs with the first of them: what differs, scores with paired intervals, the worst views side by side.

    Only runs of one session that were scored on the same views are comparable; others are refused, with the reason.

    Args:
        runs: folders that `simulacra reconstruct` made, the one to compare with first.
        out: write a page with pictures too: a file.
        metric: by which views are the worst.
        json_lines: for programs: the comparison as JSON, and no table.
    """
    if out is not None:
        check_file(out, (".html",), "a comparison")
    from ..comparison.comparing import compare_runs, worst_views
    from ..comparison.page import print_comparison, say_verdict, write_comparison

    comparison = compare_runs(runs)
    worst_views(comparison, metric, 1)  # refuses a metric that it cannot be
    if json_lines:
        print(json.dumps(comparison.as_json()))
    else:
        print_comparison(comparison, console())
        print(say_verdict(comparison, metric))
    if out is not None:
        page = write_comparison(out, comparison, metric).resolve()
        if not json_lines:
            print(f"page: {page}\nto see it, open it in a browser: {page.as_uri()}")
