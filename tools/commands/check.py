"""`simulacra check`: is this session usable? A sentence and its reasons, a file for programs, a page with pictures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from simulacra.recon.runs.stages import check_is_session
from simulacra.render.runtime.errors import UserError

from .arguments import FramesLookedAt, OptionalPath, Session

if TYPE_CHECKING:
    from rich.console import Console

    from simulacra.recon.preflight import Check, Inspection, Preflight, PreflightConfig

# More than a reconstruction looks at: its fit measures clocks and turned cameras again, this is all that a check has.
MOTION = 100
COLORS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def check(session: Session, /, out: OptionalPath = None, frames: FramesLookedAt = 3) -> None:
    """Say whether a session is usable, and what to do where it is not: calibration, time, light, masks, depth.

    First a sentence: usable, usable with care, or not, and why; then what is doubtful, and what to do about it.
    Writes preflight.json and a page with pictures. Exit status 2 if a check failed.

    Args:
        session: the folder that `simulacra import` made.
        out: the folder for them; SESSION.check if not given.
        frames: so many frames of each camera are looked at closely.
    """
    check_is_session(session)
    from rich.console import Console

    from simulacra.recon.preflight import PreflightConfig, save_preflight
    from simulacra.recon.runs.files import disk_errors

    from ..report.check_page import write_check_page

    folder = out or session.resolve().with_name(session.resolve().name + ".check")
    record, seen = _inspect(session, PreflightConfig(frames=frames, motion_frames=MOTION))
    print_checks(record, Console())
    with disk_errors(folder):
        save_preflight(folder, record)
    page = write_check_page(folder / "check.html", session, record, seen)
    print(f"page: {page.resolve()}\nto see it, open it in a browser: {page.resolve().as_uri()}")
    if record.failed():
        raise SystemExit(2)
    print(f"Next: {shlex.join(['simulacra', 'reconstruct', str(session), '--out', 'RUN'])}")


def _inspect(session: Path, settings: PreflightConfig) -> tuple[Preflight, Inspection | None]:
    """A session that cannot even be loaded fails one check: the one that its error is a case of."""
    from simulacra.recon.preflight import Check, Preflight, inspect
    from simulacra.recon.session import load_session

    try:
        seen = inspect(load_session(session), settings=settings)
    except UserError as error:
        facts = "; ".join(line.strip() for line in error.lines())
        failed = Check(
            error.code, str(error.where), 1.0, "errors", "0", "fail", error.remedy or "import again", facts
        )
        return Preflight((failed,)), None
    return seen.record, seen


def print_checks(record: Preflight, console: Console) -> None:
    """The verdict; what failed or is doubtful, with what to do; what passed, whose measures are in the files."""
    from simulacra.recon.preflight.verdict import judge_session

    verdict = judge_session(record)
    color = {"usable": "green", "usable with care": "yellow", "not usable": "bold red"}[verdict.usable]
    console.print(f"[{color}]{_plain(verdict.sentence)}[/]", highlight=False)
    if verdict.do:
        console.print(f"What to do: {_plain(verdict.do)}", highlight=False)
    for status in ("fail", "warn"):
        for check in (check for check in record.checks if check.status == status):
            print_doubt(check, console)
    for note in record.notes:
        console.print(f"note: {_plain(note)}", highlight=False)
    counts = {status: sum(c.status == status for c in record.checks) for status in COLORS}
    console.print(
        f"\n{counts['fail']} failed, {counts['warn']} doubtful, {counts['pass']} passed", highlight=False
    )
    if passed := [check.code for check in record.checks if check.status == "pass"]:
        console.print(f"passed: {', '.join(passed)}", style="dim", highlight=False)


def print_doubt(check: Check, console: Console) -> None:
    """A check that failed or is doubtful: what is wrong, what was measured, what to do."""
    from simulacra.recon.preflight.codes import FAULTS

    where = f"  {_plain(check.where)}" if check.where else ""
    console.print(f"\n[{COLORS[check.status]}]{check.status}[/] [bold]{check.code}[/]{where}: {FAULTS[check.code]}",
                  highlight=False)  # fmt: skip
    console.print(f"     {_plain(check.measure())} (wanted {_plain(check.limit)})", highlight=False)
    if check.evidence:
        console.print(f"     {_plain(check.evidence)}", highlight=False)
    console.print(f"     do: {_plain(check.remedy)}", highlight=False)


def _plain(text: str) -> str:
    """Square brackets are rich's own."""
    return text.replace("[", r"\[")
