"""One question in SQL over the tables of runs, locked in.

A question may be anybody's, so that it is held three times: by its own form (one SELECT over our tables, no function
that reads files, settings or the system), by DuckDB (files opened to be read only, no access to anything else, settings
locked), and by limits of memory, time and rows.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulacra.render.runtime.errors import ConfigError

from .cache import connect_tables
from .extra import import_extra
from .layout import TABLES
from .store import RunDatabase

LONGEST_S = 5.0
MEMORY = "1GB"
MOST_ROWS = 1000
LONGEST_SQL = 20_000
# Functions that make rows of nothing but their arguments; others make them of files, settings or the system.
ROW_FUNCTIONS = ("unnest", "range", "generate_series")
# Scalar functions that tell of the machine.
REFUSED_FUNCTIONS = ("current_setting", "getenv", "getvariable", "version", "nextval", "currval")
REFUSED_PREFIXES = (
    "duckdb_",
    "pragma_",
    "read_",
    "parquet_",
    "sniff_",
    "pg_",
    "current_database",
    "current_schema",
)
LOCKS = (
    "SET temp_directory = ''",
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    f"SET memory_limit = '{MEMORY}'",
    "SET lock_configuration = true",
)


@dataclass(frozen=True)
class Answer:
    """What a question gave.

    Attributes:
        columns: their names.
        types: as DuckDB calls them.
        rows: at most as many as were asked for.
        cut: whether there were more.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool

    def as_records(self) -> list[dict[str, Any]]:
        """Each row by the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def ask(
    database: RunDatabase, sql: str, *, most_rows: int = MOST_ROWS, longest_s: float = LONGEST_S
) -> Answer:
    """The answer to one SELECT; the database is read as it is, `RunDatabase.update` comes before.

    Args:
        database: of the runs.
        sql: one SELECT over the tables of `layout.TABLES`.
        most_rows: no more are given.
        longest_s: seconds after which it is stopped.

    Raises:
        ConfigError: it is none, it asks for something else, it is wrong, or it takes too much.
        MissingExtraError: the extra is not installed.
        RunError: the database is damaged.
    """
    check_question(sql)
    duckdb = import_extra("duckdb")
    connection = connect_tables(database)
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        connection.interrupt()

    clock = threading.Timer(longest_s, stop)
    try:
        for lock in LOCKS:
            connection.execute(lock)
        clock.start()
        found = connection.execute(sql)
        columns, types = zip(*((column[0], str(column[1])) for column in found.description), strict=True)
        rows = found.fetchmany(most_rows + 1)
        return Answer(columns, types, tuple(rows[:most_rows]), len(rows) > most_rows)
    except duckdb.Error as error:
        if stopped.is_set():
            raise ConfigError(
                "the question takes too long",
                found=f"more than {longest_s:g} s",
                remedy="ask for less: a condition, fewer tables joined",
            ) from error
        raise ConfigError("the question cannot be answered", found=_first_lines(error)) from error
    finally:
        clock.cancel()
        connection.close()


def check_question(sql: str) -> None:
    """That a text is one SELECT over our tables, and asks for nothing else.

    Raises:
        ConfigError: it is not; says what of it is refused.
        MissingExtraError: the extra is not installed.
    """
    duckdb = import_extra("duckdb")
    if len(sql) > LONGEST_SQL:
        raise ConfigError(
            "the question is too long", found=f"{len(sql)} characters", expected=f"at most {LONGEST_SQL}"
        )
    with duckdb.connect(":memory:") as parser:
        try:
            statements = parser.extract_statements(sql)
        except duckdb.Error as error:
            raise ConfigError("the question is not SQL", found=_first_lines(error)) from error
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            found = ", ".join(each.type.name for each in statements) or "nothing"
            raise ConfigError("a question is one SELECT", expected="SELECT ... FROM runs", found=found)
        said = json.loads(parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()[0])
    if said.get("error"):
        raise ConfigError("a question is one SELECT", found=str(said.get("error_message"))[:200])
    named = {name for node in _nodes(said) for name in _named_within(node)}
    for node in _nodes(said):
        _check_node(node, named)


def _check_node(node: dict[str, Any], named: set[str]) -> None:
    """Refuses a relation that is none of ours, and a function that looks outside."""
    kind, function = node.get("type"), str(node.get("function_name", "")).lower()
    if kind == "BASE_TABLE":
        name = str(node["table_name"])
        if name.lower() not in {*TABLES, *named} or node.get("schema_name") or node.get("catalog_name"):
            raise ConfigError("there is no such table", found=name, expected=", ".join(TABLES))
    elif kind == "TABLE_FUNCTION":
        function = str(node["function"].get("function_name", "")).lower()
        if function not in ROW_FUNCTIONS:
            raise _refused(function)
    elif kind in ("SHOW_REF", "COLUMN_DATA", "DELIM_GET"):
        raise _refused(str(kind).lower())
    if function and (function in REFUSED_FUNCTIONS or function.startswith(REFUSED_PREFIXES)):
        raise _refused(function)


def _refused(function: str) -> ConfigError:
    return ConfigError(
        "this is not answered: it is not about runs", found=function, expected="tables of runs"
    )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a tree of JSON."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _named_within(node: dict[str, Any]) -> Iterator[str]:
    """Names that a WITH gives to its own queries."""
    if isinstance(node.get("cte_map"), dict):
        for entry in node["cte_map"].get("map", ()):
            yield str(entry["key"]).lower()


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:2])[:300]
