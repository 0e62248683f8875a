"""One task of a batch: the ordinary reconstruction of one session into its run, with its report."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulacra.render.runtime.errors import InputError

# A task of this name makes nothing but what an installation makes once.
WARM_UP = "warm up"


def reconstruct_task(task: Mapping[str, Any]) -> None:
    """Reconstructs a session as `simulacra reconstruct` does; what is finished is taken as it is.

    Args:
        task: as `Task.as_json` gives it.

    Raises:
        UserError: whatever the session, the settings or the machine got wrong.
    """
    from ..commands.warmup import warm_up

    if task["name"] == WARM_UP and not task["session"]:
        warm_up(quiet=True)
        return
    from simulacra.recon.pipeline import ReconstructionConfig, reconstruct
    from simulacra.recon.runs.configuration import load_config
    from simulacra.recon.session import load_session

    from ..commands.configurations import config_file, config_name
    from ..commands.reconstruct import propose
    from ..report.write import write_run_report

    session, run = Path(task["session"]), Path(task["run"])
    check_retention(load_session(session).about, session)
    config, options = task["config"], dict(task["options"])
    if config is None:
        proposal = propose(session, ())
        config, options = proposal.config, dict(proposal.options) | options
    settings = load_config(ReconstructionConfig, config_file(config), options)
    run.parent.mkdir(parents=True, exist_ok=True)
    prepare = functools.partial(warm_up, quiet=True)
    reconstruct(session, settings, run, config_name(config), prepare=prepare)
    write_run_report(run)


def check_retention(about: Mapping[str, Any], session: Path, today: datetime.date | None = None) -> None:
    """That a session may still be used, as its own description says.

    Args:
        about: `Session.about`.
        session: its folder.
        today: of this machine's clock if None.

    Raises:
        InputError: the day until which it is kept has passed, or is none.
    """
    until = about.get("retain_until")
    if until is None:
        return
    try:
        last = datetime.date.fromisoformat(str(until)[:10])
    except ValueError as error:
        raise InputError(
            "the day until which the session is kept is none",
            where=session,
            expected="YYYY-MM-DD",
            found=until,
        ) from error
    if (today or datetime.date.today()) > last:
        raise InputError(
            "the session was to be kept until a day that has passed",
            where=session,
            found=f"retain_until {last}",
            remedy="delete it and what was made of it, or ask the person and change the date",
        )
