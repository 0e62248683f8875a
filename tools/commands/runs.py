"""`simulacra runs`: what runs there are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Folder = Annotated[Positional[Path], arg(metavar="DIR")]


def runs(
    folder: Folder = Path("."),
    /,
    where: Annotated[tuple[str, ...], arg(metavar="CONDITION [CONDITION ...]")] = (),
    sort: Annotated[str, arg(metavar="KEY")] = "name",
    losses: bool = False,
    json_lines: Annotated[bool, arg(name="json")] = False,
) -> None:
    """List the runs in a folder: name, configuration, what differs from it, scores, and how far each got.

    A KEY is name, state, config, session, protocol, seconds, a metric (`psnr_fg`) or a setting (`avatar.steps`).

    Args:
        folder: where to look, a few folders deep.
        where: only runs of which all of these hold: `'psnr_fg<25'`, `state=complete`, `avatar.steps!=60`.
        sort: by this; by a metric the best first.
        losses: the curve of the training's loss of each run too.
        json_lines: for programs: a JSON object a line.
    """
    from ..comparison.choosing import choose
    from ..comparison.listing import list_runs
    from ..comparison.summaries import find_runs, summarize
    from ..report.curves import read_curves

    chosen = choose([summarize(run, folder) for run in find_runs(folder)], where, sort)
    if json_lines:
        for run in chosen:
            print(json.dumps(run.as_json()))
        return
    if not chosen:
        print(f"no runs in {folder}" + (f" with {' and '.join(where)}" if where else ""))
        return
    print(*list_runs(chosen, shutil.get_terminal_size().columns), sep="\n")
    for run in chosen if losses else ():
        print(f"\n{run.name}\n{read_curves(run.path)}")
