"""`simulacra check`: is this session usable? A table, a file for programs, and a page with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simulacra.render.runtime.errors import InputError, UserError

from .arguments import FramesLookedAt, OptionalPath, Session

if TYPE_CHECKING:
    from rich.console import Console

    from simulacra.recon.preflight import Inspection, Preflight, PreflightConfig

# More than a reconstruction looks at: its fit measures clocks and turned cameras again, this is all that a check has.
MOTION = 100
COLORS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def check(session: Session, /, out: OptionalPath = None, frames: FramesLookedAt = 3) -> None:
    """Say whether a session is usable, and what to do where it is not: calibration, time, light, masks, depth.

    Writes preflight.json and a page with pictures. Exit status 2 if a check failed.

    Args:
        session: the folder that `simulacra import` made.
        out: the folder for them; SESSION.check if not given.
        frames: so many frames of each camera are looked at closely.
    """
    from rich.console import Console

    from simulacra.recon.preflight import PreflightConfig, save_preflight
    from simulacra.recon.runs.files import disk_errors
    from simulacra.recon.session import SESSION_FILE

    from ..report.check_page import write_check_page

    if not (session / SESSION_FILE).is_file():
        raise InputError(
            "there is no session", where=session, expected=f"a folder with {SESSION_FILE}",
            remedy="make one: simulacra import --help",
        )  # fmt: skip
    folder = out or session.resolve().with_name(session.resolve().name + ".check")
    record, seen = _inspect(session, PreflightConfig(frames=frames, motion_frames=MOTION))
    print_checks(record, Console())
    with disk_errors(folder):
        save_preflight(folder, record)
    page = write_check_page(folder / "check.html", session, record, seen)
    print(f"page: {page.resolve()}\nto see it, open it in a browser: {page.resolve().as_uri()}")
    if record.failed():
        raise SystemExit(2)


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
    """What passed in a line each; what is doubtful or failed after it, so that it is what one sees, with what to do."""
    from rich.table import Table

    passed = [check for check in record.checks if check.status == "pass"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("passed", "measured", "wanted", "where"):
        table.add_column(name, overflow="fold")
    for check in passed:
        table.add_row(check.code, f"{check.measured:.4g} {check.unit}".strip(), check.limit, check.where)
    if passed:
        console.print(table)
    for status in ("warn", "fail"):
        for check in (check for check in record.checks if check.status == status):
            measured = f"{check.measured:.4g} {check.unit}".strip()
            console.print(
                f"[{COLORS[status]}]{status}[/] [bold]{check.code}[/]  {_plain(check.where)}: "
                f"{_plain(measured)} (wanted {_plain(check.limit)})",
                highlight=False,
            )
            if check.evidence:
                console.print(f"     {_plain(check.evidence)}", highlight=False)
            console.print(f"     do: {_plain(check.remedy)}", highlight=False)
    for note in record.notes:
        console.print(f"note: {_plain(note)}", highlight=False)
    counts = {status: sum(c.status == status for c in record.checks) for status in COLORS}
    console.print(f"{counts['fail']} failed, {counts['warn']} doubtful, {counts['pass']} passed")


def _plain(text: str) -> str:
    """Square brackets are rich's own."""
    return text.replace("[", r"\[")
