"""Rows of a benchmark as a table for people or as JSON lines for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

WIDE = 160


@dataclass(frozen=True)
class Column:
    """A heading, and how a row is written beneath it."""

    heading: str
    text: Callable[[Any], str]
    justify: Literal["left", "right"] = "right"


def print_rows(rows: Sequence[Any], columns: Sequence[Column], title: str, as_json: bool) -> None:
    """Prints dataclasses: a table on a console, or each as one JSON object a line."""
    if as_json:
        for row in rows:
            print(json.dumps(dataclasses.asdict(row)))
        return
    table = Table(title=title)
    for column in columns:
        table.add_column(column.heading, justify=column.justify, no_wrap=True)
    for row in rows:
        table.add_row(*(column.text(row) for column in columns))
    console = Console()
    # Into a file or a pipe nothing has to be cut.
    (console if console.is_terminal else Console(width=WIDE)).print(table)
