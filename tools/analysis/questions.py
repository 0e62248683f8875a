"""What the database of runs says of where scores differ: parts of a variance, and settings side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.render.runtime.errors import ConfigError

from ..database.facts import SCORES
from ..database.questions import ask
from ..database.store import RunDatabase
from .components import Component, balanced, variance_components
from .paired import Difference, compare_settings

MOST_ROWS = 5_000_000
LONGEST_S = 120.0


def components_of(database: RunDatabase, score: str, where: str = "") -> dict[str, Component]:
    """Parts of the variance of a score over subjects, their sessions and cameras; frames and runs are averaged.

    Args:
        database: of the runs, up to date.
        score: a number of views, by its name in `SCORES`.
        where: an SQL condition on the tables `runs` and `views`; "" for all.

    Raises:
        ConfigError: there is no such score, runs without a subject, or a design that is not balanced.
    """
    rows = _asked(
        database,
        f"SELECT subject, session_fingerprint, camera, avg(views.{_known(score)}) FROM views JOIN runs USING (run) "
        f"WHERE views.{score} IS NOT NULL AND camera <> '' {_and(where)} GROUP BY 1, 2, 3",
    )
    if any(subject is None for subject, *_ in rows):
        raise ConfigError(
            "sessions do not say whom they show",
            expected="`subject` in session.json of every session",
            remedy="write it there, or leave those runs out with --where 'subject IS NOT NULL'",
        )
    return variance_components(balanced([(str(a), str(b), str(c), float(d)) for a, b, c, d in rows]))


def settings_of(database: RunDatabase, score: str, setting: str, where: str = "") -> dict[str, Difference]:
    """Every value of a setting against the first of them, view by view over the sessions that both were made of.

    The first is the least number, or the first text. Clusters are subjects, and sessions where those name none. Of a
    score that is best at a number it is the distance from that which is compared.

    Args:
        database: of the runs, up to date.
        score: a number of views, by its name in `SCORES`.
        setting: by its dotted name.
        where: an SQL condition on the tables `runs`, `views` and `settings`; "" for all.

    Raises:
        ConfigError: there is no such score, the setting has one value, or too few sessions have both.
    """
    name = setting.replace("'", "''")
    rows = _asked(
        database,
        "SELECT text, coalesce(subject, session_fingerprint), session_fingerprint, camera, frame, "
        f"avg(views.{_known(score)}) FROM views JOIN runs USING (run) JOIN settings USING (run) "
        f"WHERE views.{score} IS NOT NULL AND name = '{name}' {_and(where)} GROUP BY ALL",
    )
    found: dict[str, dict[tuple[Any, ...], float]] = defaultdict(dict)
    for value, cluster, session, camera, frame, number in rows:
        found[str(value)][cluster, session, camera, frame] = _cost(score)(float(number))
    values = sorted(found, key=_rank)
    if len(values) < 2:
        raise ConfigError(
            "the setting is the same in all runs", where=setting, found=", ".join(values) or "no such runs"
        )
    first = found[values[0]]
    differences: dict[str, dict[str, list[float]]] = {}
    for value in values[1:]:
        clusters: dict[str, list[float]] = defaultdict(list)
        for seen, number in found[value].items():
            if seen in first:
                clusters[str(seen[0])].append(number - first[seen])
        differences[f"{value} against {values[0]}"] = clusters
    return compare_settings(differences)


def _asked(database: RunDatabase, sql: str) -> list[tuple[Any, ...]]:
    return list(ask(database, sql, most_rows=MOST_ROWS, longest_s=LONGEST_S).rows)


def _known(score: str) -> str:
    if score not in SCORES:
        raise ConfigError("views have no such number", found=score, expected=", ".join(SCORES))
    return score


def _and(where: str) -> str:
    return f"AND ({where})" if where.strip() else ""


def _cost(score: str) -> Callable[[float], float]:
    metric = METRICS.get(score)
    return metric.cost if metric is not None and metric.two_sided else float


def _rank(value: str) -> tuple[bool, float, str]:
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value
