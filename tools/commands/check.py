"""`simulacra check`: is this session usable? A sentence and its reasons, a file for programs, a page with pictures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from simulacra.recon.runs.run_folder import SESSION_FILE, check_is_session
from simulacra.render.runtime.errors import UserError

from .arguments import FramesLookedAt, Session, next_command
from .next_steps import with_commands
from .outputs import OptionalFolder, check_output
from .printing import console, plain

if TYPE_CHECKING:
    from rich.console import Console

    from simulacra.recon.preflight import Check, Inspection, Preflight, PreflightConfig

# More than a reconstruction looks at: its fit measures clocks and turned cameras again, this is all that a check has.
MOTION = 100
COLORS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def check(
    session: Session,
    /,
    out: OptionalFolder = None,
    frames: FramesLookedAt = 3,
    every: Annotated[bool, arg(name="all")] = False,
) -> None:
    """Say whether a session is usable, and what to do where it is not: calibration, time, light, masks, depth.

    First a sentence: usable, usable with care, or not, and why; then what to do, and what failed or is doubtful.
    Writes preflight.json and a page with pictures. Exit status 2 if a check failed.

    Args:
        session: the folder that `simulacra import` made.
        out: the folder for them; SESSION.check if not given.
        frames: so many frames of each camera are looked at closely.
        every: what passed too, with its measure, and what the importer noted.
    """
    check_is_session(session)
    from simulacra.recon.preflight import PreflightConfig, save_preflight
    from simulacra.recon.runs.files import disk_errors
    from simulacra.recon.session import load_session

    from ..report.check_page import write_check_page

    folder = out or session.resolve().with_name(session.resolve().name + ".check")
    check_output(folder, "folder", "--out")
    record, seen = _inspect(session, PreflightConfig(frames=frames, motion_frames=MOTION))
    record = with_commands(record, session)
    print_checks(record, console(), every=every, notes_in=session / SESSION_FILE)
    with disk_errors(folder):
        save_preflight(folder, record)
    page = write_check_page(folder / "check.html", session, record, seen)
    print(f"page: {page.resolve()}\nto see it, open it in a browser: {page.resolve().as_uri()}")
    if record.failed():
        print(f"When that is done: {shlex.join(['simulacra', 'check', str(session)])}")
        raise SystemExit(2)
    print(f"Next: {next_command(session, load_session(session))}")


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


def print_checks(record: Preflight, console: Console, *, every: bool, notes_in: Path) -> None:
    """The verdict and what to do; what failed or is doubtful; what passed, and the importer's notes, in a line each.

    Args:
        every: what passed and the notes as they are.
        notes_in: the file that has the notes.
    """
    from simulacra.recon.preflight.verdict import judge_session

    verdict = judge_session(record)
    color = {"usable": "green", "usable with care": "yellow", "not usable": "bold red"}[verdict.usable]
    console.print(f"[{color}]{plain(verdict.sentence)}[/]", highlight=False)
    if verdict.do:
        console.print(f"What to do: {plain(verdict.do)}", highlight=False)
    shown = ("fail", "warn", "pass") if every else ("fail", "warn")
    for status in shown:
        for check in (check for check in record.checks if check.status == status):
            print_doubt(check, console)
    for note in record.notes if every else ():
        console.print(f"note: {plain(note)}", highlight=False)
    counts = {status: sum(c.status == status for c in record.checks) for status in COLORS}
    console.print(f"\n{counts['fail']} failed, {counts['warn']} doubtful", highlight=False)
    passed = ", ".join(check.code for check in record.checks if check.status == "pass")
    more = "" if every else "; --all shows them"
    console.print(
        f"{_count(counts['pass'], 'check')} passed: {passed or 'none'}{more}", style="dim", highlight=False
    )
    if record.notes and not every:
        said = f"{_count(len(record.notes), 'note')} of the import in {notes_in}; --all shows them"
        console.print(plain(said), style="dim", highlight=False)


def print_doubt(check: Check, console: Console) -> None:
    """A check: what is wrong if it failed or is doubtful, what was measured, what to do."""
    from simulacra.recon.preflight.codes import CODES, FAULTS

    where = f"  {plain(check.where)}" if check.where else ""
    said = CODES[check.code] if check.status == "pass" else FAULTS[check.code]
    console.print(
        f"\n[{COLORS[check.status]}]{check.status}[/] [bold]{check.code}[/]{where}: {said}", highlight=False
    )
    console.print(f"     {plain(check.measure())} (wanted {plain(check.limit)})", highlight=False)
    if check.evidence:
        console.print(f"     {plain(check.evidence)}", highlight=False)
    if check.status != "pass":
        console.print(f"     do: {plain(check.remedy)}", highlight=False)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
