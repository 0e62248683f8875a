"""What a preflight says: checks with a stable code, what was measured, the limit, and what to do about it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from annotated_types import Interval

from simulacra.recon.preflight.codes import CODES
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.files import read_json, write_json
from simulacra.recon.runs.records import record_errors
from simulacra.render.runtime.errors import CaptureError, ConfigError

Status = Literal["pass", "warn", "fail"]
PREFLIGHT_FILE = "preflight.json"


@config
class PreflightConfig:
    """How a session is checked before it is used.

    Attributes:
        ignore: codes of checks whose failure does not stop a reconstruction.
        frames: so many frames are looked at closely, spread over the session.
        motion_frames: so many consecutive frames are looked at for what moves, fewer with many cameras; 0 for none.
    """

    ignore: tuple[str, ...] = ()
    frames: Annotated[int, Interval(ge=1, le=1000)] = 3
    motion_frames: Annotated[int, Interval(ge=0, le=10_000)] = 40

    def __post_init__(self) -> None:
        for code in self.ignore:
            if code not in CODES:
                near = difflib.get_close_matches(code, CODES, 1)
                raise ConfigError(
                    "a check to be ignored does not exist",
                    where="preflight.ignore",
                    expected=", ".join(CODES),
                    found=code,
                    remedy=f"perhaps {near[0]}" if near else None,
                )


@dataclass(frozen=True)
class Check:
    """One thing that was measured.

    Attributes:
        code: of ``CODES``.
        where: the cameras or frames that the measure is about: those beyond the limit, worst first, or the worst.
        measured: in ``unit``, of the worst.
        limit: what is wanted, in words.
        remedy: what to do where it is not met.
        evidence: what else was seen that speaks for it, in words.
    """

    code: str
    where: str
    measured: float
    unit: str
    limit: str
    status: Status
    remedy: str
    evidence: str = ""

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"no such check: {self.code}")

    def line(self) -> str:
        """The check in one line."""
        said = f"{self.status:4s} {self.code}: {self.measure()} ({self.limit}) {self.where}".strip()
        return f"{said}: {self.evidence}" if self.evidence else said

    def found(self) -> str:
        """What was measured, and what speaks for it."""
        said = f"{self.code} {self.measure()}"
        return f"{said} ({self.evidence})" if self.evidence else said

    def measure(self) -> str:
        """What was measured, with its unit: two digits, or as many as tell it from the limit's own numbers."""
        limits = re.findall(r"-?\d+(?:\.\d+)?", self.limit)
        of_limits = {float(number) for number in limits} - {self.measured}
        said = [say_number(self.measured, digits) for digits in (2, 3, 4)]
        apart = [number for number in said if not _is_one_of(number, of_limits)]
        return f"{(apart or said)[0]} {self.unit}".strip()

    @property
    def places(self) -> tuple[str, ...]:
        """``where``, one by one."""
        return tuple(self.where.replace(" and ", ", ").split(", "))


def say_number(value: float, digits: int = 2) -> str:
    """A number for people: so many digits that count, whole numbers whole, and nothing smaller than a thousandth."""
    if not math.isfinite(value) or (value == round(value) and abs(value) < 10_000):
        return f"{value:.0f}"
    if abs(value) < 0.001:
        return "less than 0.001"
    return format(Decimal(f"{value:.{digits - 1}e}"), "f")


def _is_one_of(number: str, values: set[float]) -> bool:
    try:
        return float(number) in values
    except ValueError:
        return False


@dataclass(frozen=True)
class Preflight:
    """All checks of a session, and what its importer had to say."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    def of(self, code: str) -> tuple[Check, ...]:
        """The checks of one code; none where there was nothing to measure."""
        return tuple(check for check in self.checks if check.code == code)

    def failed(self, ignore: Sequence[str] = ()) -> tuple[Check, ...]:
        """Failed checks, but for those to be ignored."""
        return tuple(check for check in self.checks if check.status == "fail" and check.code not in ignore)

    def raise_on_fail(self, ignore: Sequence[str] = ()) -> None:
        """Stops at a capture that cannot be used.

        Raises:
            CaptureError: naming the failed checks, what was measured, and what to do.
        """
        failed = self.failed(ignore)
        if not failed:
            return
        codes = ", ".join(dict.fromkeys(check.code for check in failed))
        ignored = ",".join(dict.fromkeys([*ignore, *(check.code for check in failed)]))
        remedies = list(dict.fromkeys(check.remedy for check in failed))
        raise CaptureError(
            f"the capture fails its checks: {codes}",
            where="; ".join(dict.fromkeys(check.where for check in failed)),
            expected="; ".join(f"{check.code} {check.limit}" for check in failed),
            found="; ".join(check.found() for check in failed),
            remedy=f"{'; '.join(remedies)}; or go on regardless: --preflight.ignore {ignored}",
        )


def check_values(
    code: str,
    values: Mapping[str, float],
    *,
    warn: Callable[[float], bool],
    fail: Callable[[float], bool] = lambda value: False,
    worse: Callable[[float], float] = lambda value: value,
    unit: str,
    limit: str,
    remedy: str,
    evidence: str = "",
) -> list[Check]:
    """One check of a measure that every camera has: named are those beyond the limit, worst first, or the worst.

    Args:
        values: the measure of each camera; none gives no check.
        warn: whether a value is doubtful.
        fail: whether it is wrong.
        worse: grows with how bad a value is.
    """
    if not values:
        return []
    order = sorted(values, key=lambda name: -worse(values[name]))
    beyond = [name for name in order if fail(values[name])]
    doubtful = [name for name in order if warn(values[name]) and name not in beyond]
    status: Status = "fail" if beyond else "warn" if doubtful else "pass"
    named = beyond + doubtful or order[:1]
    return [Check(code, ", ".join(named), values[named[0]], unit, limit, status, remedy, evidence)]


def save_preflight(folder: Path, record: Preflight) -> None:
    """Writes ``preflight.json``."""
    write_json(folder / PREFLIGHT_FILE, asdict(record))


def load_preflight(folder: Path) -> Preflight:
    """Reads ``preflight.json`` back.

    Raises:
        RunError: the file is missing or damaged.
    """
    described = read_json(folder / PREFLIGHT_FILE)
    with record_errors(folder / PREFLIGHT_FILE):
        return pydantic.TypeAdapter(Preflight).validate_python(described)
