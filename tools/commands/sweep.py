"""`simulacra sweep`: one session, several values of some settings."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Suppress, arg

from simulacra.recon.runs.run_folder import check_is_session
from simulacra.render.runtime.errors import RunError

from .arguments import Config, Session, check_folder
from .configurations import config_file, config_name
from .outputs import OptionalFolder
from .printing import console
from .reconstruct import LogTo, propose, reconstruction_schema
from .warmup import warm_up

if TYPE_CHECKING:
    from ..comparison.sweep import SweptSetting


def sweep(
    session: Session,
    /,
    out: OptionalFolder = None,
    config: Config = None,
    metric: Annotated[str, arg(metavar="METRIC")] = "psnr_fg",
    log: LogTo = (),
    overrides: Suppress[tuple[str, ...]] = (),
) -> None:
    """Reconstruct a session with several values of some settings, and compare: `--avatar.steps 60,120,240`.

    Every combination has a run of its own in OUT; what they have in common is computed once. A sweep that was stopped
    continues with the same command, and one with more values makes what is new. Values that are lists themselves
    are set apart by semicolons: `--views.held-out-cameras '3,6;1,4'`.

    Args:
        session: the folder that `simulacra import` made.
        out: the folder for the runs and compare.html.
        config: a YAML file with what differs from the defaults, or the name of one that simulacra brings; the one that
            fits the session if not given.
        metric: by which views are the worst.
        log: tell the losses to these programs too.
    """
    from simulacra.recon.runs.configuration import parse_overrides

    from ..comparison.sweep import run_sweep, swept_settings
    from .plain_schema import plain_schema

    # What is wrong with names and options is said before anything heavy is loaded.
    if out is None:
        raise RunError("A folder for the runs is needed", remedy="say which: --out SWEEP")
    check_folder(out, "a sweep")
    check_is_session(session)
    options = parse_overrides(overrides)
    swept_settings(plain_schema("sweep"), config_file(config), options)
    from simulacra.recon.session import load_session

    load_session(session)  # says what is damaged, before anybody waits for kernels
    if config is None:
        proposal = propose(session, ())
        config, options = proposal.config, proposal.options | options
    settings = swept_settings(reconstruction_schema(), config_file(config), options)
    warm_up(quiet=True)
    folders = run_sweep(session, settings, out, config_name(config), _logged(log))
    _say(folders, out, metric)


def _logged(log: LogTo) -> Callable[[SweptSetting, Path, Callable[[], None]], None]:
    """Each run with its own loggers around it, and its report."""

    def around(setting: SweptSetting, folder: Path, work: Callable[[], None]) -> None:
        from simulacra.recon.runs.configuration import dump_config

        from ..loggers import logging_run
        from ..report.write import write_run_report

        with logging_run(log, folder, dump_config(setting.config)):
            work()
        write_run_report(folder)

    return around


def _say(folders: Sequence[Path], out: Path, metric: str) -> None:
    """The table and the page; a list where the runs were not scored alike."""
    from ..comparison.comparing import compare_runs
    from ..comparison.listing import list_runs
    from ..comparison.page import print_comparison, say_verdict, write_comparison
    from ..comparison.summaries import summarize

    try:
        comparison = compare_runs(folders)
    except RunError as error:
        print(
            *list_runs([summarize(path, out) for path in folders], shutil.get_terminal_size().columns),
            sep="\n",
        )
        sys.stderr.write(f"not compared: {error.what}\n")
        return
    print_comparison(comparison, console())
    print(say_verdict(comparison, metric))
    page = write_comparison(out / "compare.html", comparison, metric).resolve()
    print(f"page: {page}\nto see it, open it in a browser: {page.as_uri()}")
