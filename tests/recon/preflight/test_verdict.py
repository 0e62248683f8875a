"""The verdict comes first, in words, with two digits; failed checks decide it alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from simulacra.recon.preflight.codes import CODES, FAULTS
from simulacra.recon.preflight.record import Check, Preflight, say_number
from simulacra.recon.preflight.verdict import REASONS, judge_session

PASSED = Check("focal", "cam01", 61.234, "degrees", "8 to 130", "pass", "")
DARK = Check("exposure", "cam02", 0.0412, "of white", "0.06 to 0.94", "warn", "more light")
TURNED = Check("image-turned", "cam03", 90.0, "degrees", "0", "fail", "turn the pictures back")


def verdict(*checks: Check) -> tuple[str, str, str]:
    found = judge_session(Preflight(checks))
    return found.usable, found.sentence, found.do


def test_a_sound_session_is_usable() -> None:
    assert verdict(PASSED) == ("usable", "Usable.", "")


def test_doubts_are_reasons_for_care() -> None:
    said = "Usable with care, because pictures are too dark or too bright (cam02)."
    assert verdict(PASSED, DARK) == ("usable with care", said, "More light.")


def test_failed_checks_decide_alone() -> None:
    assert verdict(DARK, PASSED, TURNED) == (
        "not usable",
        "Not usable, because pictures are turned (cam03).",
        "Turn the pictures back.",
    )


def test_many_reasons_are_counted_and_many_cameras_too() -> None:
    codes = list(FAULTS)[: REASONS + 2]
    doubts = [replace(DARK, code=code, where="a, b, c, d, e", remedy=f"do {code}") for code in codes]
    _, sentence, do = verdict(*doubts)
    assert sentence.count("(a, b, c and 2 more)") == REASONS and sentence.endswith("; and 2 more.")
    assert do == " ".join(f"Do {code}." for code in codes[:REASONS])


def test_every_code_has_its_fault_in_words() -> None:
    assert list(FAULTS) == list(CODES)
    for fault in FAULTS.values():
        assert fault[0].islower() and not fault.endswith(".")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (4.53e-14, "less than 0.001"), (0.735294, "0.74"), (-2.2465, "-2.2"), (61.234, "61"), (1234.5, "1200"),
        (90.0, "90"), (104.0, "104"), (0.0, "0"), (0.0412, "0.041"), (0.999, "1.0"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_numbers_have_two_digits(value: float, said: str) -> None:
    assert say_number(value) == said


def test_a_measure_beyond_its_limit_does_not_read_as_the_limit() -> None:
    limit = "within 1.2, fails over 15.6"
    measures = [replace(DARK, measured=v, unit="%", limit=limit).measure() for v in (1.2069, 1.7353, 1.2)]
    assert measures == ["1.21 %", "1.7 %", "1.2 %"]
