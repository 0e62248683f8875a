"""Remedies as commands that can be pasted: with the session's own path, and what the session says of its import."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from simulacra.recon.preflight import Preflight

# Checks whose fault may be a camera that has moved a little since its calibration, which the person in view tells; the
# command is said once.
ADJUSTABLE = ("epipolar", "camera-pose")


def with_commands(record: Preflight, session: Path) -> Preflight:
    """The same checks, their remedies with the whole commands.

    Args:
        session: the folder of the session, as it was named on the command line.
    """
    about = _about(session)
    moved = [c.code for c in record.checks if c.status != "pass" and c.code in ADJUSTABLE]
    checks = tuple(
        replace(check, remedy=name_commands(check.remedy, session, about, adjust=check.code in moved[:1]))
        if check.status != "pass"
        else check
        for check in record.checks
    )
    return replace(record, checks=checks)


def name_commands(
    remedy: str, session: Path, about: Mapping[str, Any] | None = None, *, adjust: bool = False
) -> str:
    """A remedy with the commands that do it.

    Args:
        remedy: in which SESSION and NEW stand for folders, and "import again" for a command.
        session: the folder of the session, as it was named on the command line.
        about: what session.json says of its import.
        adjust: whether calibrating again can be done on the person in view.
    """
    folder = str(session)

    def new(ending: str) -> str:
        return shlex.quote(f"{folder.rstrip('/')}-{ending}")

    said = remedy.replace("synchronise SESSION --out NEW", f"synchronise SESSION --out {new('synchronised')}")
    if adjust:
        command = f"simulacra calibrate rig SESSION --out {new('calibrated')}"
        said = re.sub(
            r"calibrate( \S+)? again", lambda found: f"{found[0]} (on the person: {command})", said, count=1
        )
    again = import_command(about or {}, f"{folder.rstrip('/')}-again")
    if again is not None:
        said = re.sub(r"import( the session)? again", lambda found: f"{found[0]} ({again})", said, count=1)
    return said.replace("SESSION", shlex.quote(folder))


@contextmanager
def naming_commands(session: Path) -> Iterator[None]:
    """Errors of what is done to a session name its own path in what is to be done about them."""
    from simulacra.render.runtime.errors import UserError

    try:
        yield
    except UserError as error:
        if error.remedy is not None:
            error.remedy = name_commands(error.remedy, session, _about(session))
        raise


def import_command(about: Mapping[str, Any], new: str) -> str | None:
    """The command that made a session, into a new one; None where the session does not say it.

    Args:
        about: of session.json.
        new: the folder of the new session.
    """
    layout, source, arguments = about.get("importer"), about.get("derived_from"), about.get("arguments")
    if not isinstance(layout, str) or not isinstance(source, str) or not isinstance(arguments, Mapping):
        return None
    from .imports import OPTIONS

    record = OPTIONS.get(layout.replace("_", "-"))
    if record is None or not Path(source).exists():
        return None
    words = ["simulacra", "import", layout.replace("_", "-"), source, new]
    defaults = _defaults(record)
    for name, value in _flat(arguments).items():
        if name in defaults and value != defaults[name]:
            words += _as_option(name, value)
    return shlex.join(words)


def _defaults(record: type) -> dict[str, Any]:
    """Of every option of a layout, those in groups too; a dataclass's own mark where there is none."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        hint = get_type_hints(record)[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found |= _defaults(hint)
        else:
            found[field.name] = field.default
    return found


def _flat(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the command line has them: no groups."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return flat


def _as_option(name: str, value: object) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if value is True:
        return [option]
    return [option, *map(str, value)] if isinstance(value, list | tuple) else [option, str(value)]


def _about(session: Path) -> Mapping[str, Any]:
    """What session.json says of where it comes from; nothing where it cannot be read."""
    from simulacra.recon.session import load_session
    from simulacra.render.runtime.errors import UserError

    try:
        return load_session(session).about
    except UserError:
        return {}
