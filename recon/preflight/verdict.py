"""Whether it can be used, in a sentence that comes before all numbers, and what to do in another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from simulacra.recon.preflight.codes import FAULTS
from simulacra.recon.preflight.record import Check, Preflight

Usable = Literal["usable", "usable with care", "not usable"]
# So many reasons are told in the sentence, and so many cameras of each; all stand in the list below it.
REASONS, PLACES = 3, 3


@dataclass(frozen=True)
class Reason:
    """Something that speaks against use.

    Attributes:
        fault: as it follows "because".
        remedy: what to do about it, "" for nothing.
        stops: whether it cannot be used as it is; otherwise care is enough.
    """

    fault: str
    remedy: str
    stops: bool


@dataclass(frozen=True)
class Verdict:
    """Usable, usable with care, or not, and why.

    Attributes:
        usable: which of the three.
        sentence: the verdict and its first reasons.
        do: what to do about these reasons, in sentences; "" where there is nothing to be done.
    """

    usable: Usable
    sentence: str
    do: str


def judge(reasons: Sequence[Reason]) -> Verdict:
    """The verdict that reasons come to: those that stop alone decide where there are any.

    Args:
        reasons: worst first.
    """
    stopping = [reason for reason in reasons if reason.stops]
    told = stopping or list(reasons)
    usable: Usable = "not usable" if stopping else "usable with care" if told else "usable"
    if not told:
        return Verdict(usable, "Usable.", "")
    faults = list(dict.fromkeys(reason.fault for reason in told))
    more = [f"{len(faults) - REASONS} more"] if len(faults) > REASONS else []
    said = f"{usable.capitalize()}, because {_and([*faults[:REASONS], *more])}."
    remedies = [r.remedy for r in told if r.remedy and r.fault in faults[:REASONS]]
    return Verdict(usable, said, " ".join(map(as_sentence, dict.fromkeys(remedies))))


def judge_session(record: Preflight) -> Verdict:
    """Whether a session can be used, by its checks."""
    return judge(check_reasons(record.checks))


def check_reasons(checks: Sequence[Check], ignore: Sequence[str] = ()) -> list[Reason]:
    """What checks have to say against use, failed ones first.

    Args:
        ignore: codes of those that were gone past when they failed: they do not stop.
    """
    order = sorted((check for check in checks if check.status != "pass"), key=lambda c: c.status != "fail")
    return [Reason(fault_of(c), c.remedy, c.status == "fail" and c.code not in ignore) for c in order]


def fault_of(check: Check) -> str:
    """What is wrong, in words, and with which cameras."""
    return FAULTS[check.code] + (f" ({_few(check.where)})" if check.where else "")


def _few(where: str) -> str:
    names = where.split(", ")
    return where if len(names) <= PLACES else f"{', '.join(names[:PLACES])} and {len(names) - PLACES} more"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{'; '.join(parts[:-1])}; and {parts[-1]}"


def as_sentence(text: str) -> str:
    """The text with upper case in front, and after a question, and a stop behind; nothing where there is none."""
    text = re.sub(r"\? [a-z]", lambda found: found[0].upper(), text.strip())
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""
