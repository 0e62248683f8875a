"""Facts and answers for people."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from simulacra.recon.evaluate.metrics import METRICS

from ..report.wording import duration, shown
from .facts import RunFacts
from .questions import Answer

# Of the run's own row these are said; the others are in --json.
SAID = (
    "state", "config", "session", "subject", "importer", "protocol", "views", "device", "seed", "commit", "written",
)  # fmt: skip


def as_json(facts: RunFacts) -> dict[str, Any]:
    """All of a run's facts, and the numbers of every view."""
    return {"run": facts.run, **facts.facts, "views": [dataclasses.asdict(view) for view in facts.views]}


def say_facts(facts: RunFacts) -> Iterator[str]:
    """What a person wants to know of a run first, in lines."""
    about = facts.facts["about"]
    yield facts.run
    for name in SAID:
        if about.get(name) is not None:
            yield f"  {name}: {about[name]}"
    for stage in facts.facts.get("stages", ()):
        yield f"  {stage['stage']}: {duration(stage['seconds'])}, {stage['peak_mb']:.0f} MiB"
    for score in facts.facts.get("scores", ()):
        if (name := score["metric"]) not in METRICS:
            continue
        interval = ""
        if score["low"] is not None:
            interval = f" ({shown(name, score['low'])} to {shown(name, score['high'])})"
        unit = "" if METRICS[name].unit == "1" else f" {METRICS[name].unit}"
        yield f"  {name}: {shown(name, score['mean'])}{unit}{interval}, {score['count']} views"
    for check in facts.facts.get("checks", ()):
        if check["status"] != "pass":
            measured = "" if check["measured"] is None else f" {check['measured']:g} {check['unit']}"
            yield f"  {check['status']} {check['code']}:{measured} ({check['wanted']}) {check['place']}"
    for tag in facts.facts.get("tags", ()):
        yield f"  tag {tag['tag']} ({tag['severity']}): camera {tag['camera']} frame {tag['frame']} {tag['note']}"


def say_answer(answer: Answer) -> None:
    """Prints a table, or that nothing was found; numbers to the right."""
    if not answer.rows:
        print("no rows match")
        return
    table = Table()
    numbers = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "NUMERIC", "NUMBER")
    for name, kind in zip(answer.columns, answer.types, strict=True):
        right = any(word in kind.upper() for word in numbers)
        table.add_column(_plain(name), justify="right" if right else "left", no_wrap=True)
    for row in answer.rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console()
    wide = max(console.width, 160) if not console.is_terminal else console.width
    Console(width=wide, markup=False, highlight=False).print(table)
    if answer.cut:
        print(f"only the first {len(answer.rows)} rows are shown: --rows says how many")


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return _plain(str(value))


def _plain(text: str) -> str:
    """A text without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
