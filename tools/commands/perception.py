"""`simulacra perception`: what people see, and which metrics see the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from simulacra.recon.runs.ranges import Seed

from .inputs import Input
from .outputs import OutFile
from .view import Port

Runs = Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN RUN [RUN ...]"), Input("run")]


def perception_study(
    runs: Runs,
    /,
    answers: OutFile = Path("answers.jsonl"),
    results: bool = False,
    seed: Seed = 0,
    host: str = "127.0.0.1",
    port: Port = None,
    expose: bool = False,
) -> None:
    """Have people say in a browser which of two renders is more like the photograph, and which metrics agree.

    Two renders of one view and its photograph are shown, without names, in an order and on sides that the seed and the
    person's name draw. Answers are added to a file, a line each. --results prints how strong each run is (Bradley and
    Terry) with intervals, and how well each metric agrees with people (Kendall's tau).

    Args:
        runs: two or more, of one capture.
        answers: the file of the answers.
        results: print what was answered so far, and end.
        seed: of the order.
        host: where to listen. Anything but this machine's own loopback needs --expose.
        port: where to listen; the first free one from 8765 on if not given, any free one for 0.
        expose: let others in who have the token that is printed then.
    """
    if results:
        from ..study.results import print_results
        from .printing import console

        print_results(list(runs), answers, console())
        return
    from ..study.pairs import compared_runs, find_pairs
    from ..viewer.serve import access_to, serve_app

    pairs = find_pairs(compared_runs(runs))
    access = access_to(host, expose)
    from ..study.app import make_study

    title = f"{len(pairs)} pairs, answers in {answers}"
    what = "these pictures, and whoever has the address can answer"
    serve_app(make_study(pairs, answers, seed, access), access, host, port, title, what)
