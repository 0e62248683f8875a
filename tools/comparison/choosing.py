"""Which runs of many, and in what order: conditions as `psnr_fg<25` or `avatar.steps=120`, and a key to sort by."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.runs.changes import flat_values
from simulacra.render.runtime.errors import ConfigError

from ..report.changes import say_value
from .summaries import RunSummary

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
FACTS = ("name", "state", "config", "session", "protocol", "seconds")
_CONDITION = re.compile(r"\s*([\w.]+)\s*(<=|>=|!=|<|>|=)\s*(.*?)\s*")


@dataclass(frozen=True)
class Condition:
    """A key, how it is compared, and with what."""

    key: str
    sign: str
    wanted: str

    def holds(self, run: RunSummary) -> bool:
        """Whether it does; of a run that has no such value only `!=` does."""
        value = value_of(run, self.key)
        if value is None:
            return self.sign == "!="
        number = _number(self.wanted)
        if isinstance(value, int | float) and not isinstance(value, bool) and number is not None:
            return OPERATORS[self.sign](value, number)
        if self.sign in ("=", "!="):
            return OPERATORS[self.sign](say_value(value), self.wanted)
        raise ConfigError(
            "text is neither more nor less than something",
            where=f"--where {self.key}{self.sign}{self.wanted}",
            found=f"{self.key} is {say_value(value)}",
            expected="= or !=",
        )


def parse_condition(text: str) -> Condition:
    """`psnr_fg<25`, `state=complete`, `avatar.steps!=60`.

    Raises:
        ConfigError: it is none, or of something that no run has.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(
            "a condition is a key, a sign and a value",
            where=f"--where {text}",
            expected="for example psnr_fg<25, state=complete or avatar.steps=60",
        )
    check_key(found[1], f"--where {text}")
    return Condition(found[1], found[2], found[3])


def check_key(key: str, where: str) -> None:
    """That runs can have a value of this name: a fact, a metric, or a setting.

    Raises:
        ConfigError: they cannot.
    """
    if key not in FACTS and key not in METRICS and "." not in key:
        raise ConfigError(
            "runs have nothing of this name",
            where=where,
            found=key,
            expected=f"one of {', '.join(FACTS)}; a metric ({', '.join(METRICS)}); or a setting, as avatar.steps",
        )


def value_of(run: RunSummary, key: str) -> Any:
    """A fact, a metric's mean or a setting of a run; None where it has none."""
    if key in FACTS:
        facts = run.as_json()
        return facts[key]
    return run.scores.get(key) if key in METRICS else flat_values(run.config).get(key)


def choose(runs: Sequence[RunSummary], where: Sequence[str], sort: str) -> list[RunSummary]:
    """The runs for which all conditions hold, the best first where the key is a metric, rising otherwise.

    Runs without a value of that key come last, by name.

    Raises:
        ConfigError: a condition or a key that is none.
    """
    conditions = [parse_condition(text) for text in where]
    check_key(sort, f"--sort {sort}")
    chosen = [run for run in runs if all(condition.holds(run) for condition in conditions)]
    cost = METRICS[sort].cost if sort in METRICS else float

    def rank(run: RunSummary) -> tuple[bool, float, str, str]:
        value = value_of(run, sort)
        number = isinstance(value, int | float) and math.isfinite(value)
        return value is None, cost(value) if number else 0.0, "" if number else str(value), run.name

    return sorted(chosen, key=rank)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
