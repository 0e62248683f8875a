"""The tables as DuckDB files, which are made again whenever they are missing: nothing is known by them alone.

    parts-HASH.duckdb     the tables of all parts; made when parts change, which is seldom
    tables-HASH.duckdb    those of the runs that are in no part yet, and views that put both together

A DuckDB file that somebody writes cannot be opened by anybody else. So each is written beside its place and renamed, is
opened to be read only, and is named by the files that it was made of.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from simulacra.recon.runs.files import disk_errors
from simulacra.render.runtime.errors import RunError

from .extra import import_extra
from .layout import TABLES, layout_digest, read_table, table_queries
from .store import Index, RunDatabase

KEPT = "kept"
# Two questions at once are answered, and what the machine has besides is left alone.
THREADS = 2
# An update between the index and the files that it names is met by beginning again.
ATTEMPTS = 3


def connect_tables(database: RunDatabase) -> Any:
    """A DuckDB connection to the tables, read-only; caches that are missing are made.

    Raises:
        MissingExtraError: the extra is not installed.
        RunError: a file of the database is damaged or cannot be written.
    """
    duckdb = import_extra("duckdb")
    for attempt in range(ATTEMPTS):
        try:
            with disk_errors(database.folder):
                tables, parts = make_caches(database)
            connection = duckdb.connect(str(tables), read_only=True, config={"threads": THREADS})
            if parts is not None:
                connection.execute(f"ATTACH {_literal(str(parts))} AS {KEPT} (READ_ONLY)")
            return connection
        except duckdb.Error as error:
            if attempt == ATTEMPTS - 1:
                raise RunError(
                    "the database of runs cannot be read",
                    where=database.folder,
                    found=str(error).splitlines()[0][:200],
                    remedy="`simulacra runs list` reads the runs themselves; `--rebuild` makes the database again",
                ) from error
    raise AssertionError("not reached")


def make_caches(database: RunDatabase) -> tuple[Path, Path | None]:
    """The DuckDB files of what counts now, made where they are missing: of all, and of the parts if there are any."""
    index = database.index()
    parts = database.folder / f"parts-{_name(sorted(index.parts))}.duckdb" if index.parts else None
    stale = sorted(_stale_runs(database, index)) if index.stale() else []
    said = [*sorted(index.parts), "|", *index.singles, "|", *stale]
    tables = database.folder / f"tables-{_name(said)}.duckdb"
    files = [database.folder / file for file in sorted(index.parts)]
    if parts is not None and not parts.is_file():
        _write(parts, lambda connection: _fill(connection, files, ""))
    if not tables.is_file():
        singles = [database.folder / file for file in index.singles]

        def fill(connection: Any) -> None:
            if parts is not None:
                connection.execute(f"ATTACH {_literal(str(parts))} AS {KEPT} (READ_ONLY)")
            _fill(connection, singles, "fresh_")
            connection.execute("CREATE TABLE stale (file_run VARCHAR)")
            if stale:
                connection.execute("INSERT INTO stale SELECT unnest(?)", [stale])
            for name in TABLES:
                connection.execute(f"CREATE VIEW {name} AS {_together(name, parts is not None, bool(stale))}")

        _write(tables, fill)
    _remove_others(database.folder, {tables.name, parts.name if parts else ""})
    return tables, parts


def _together(name: str, parts: bool, stale: bool) -> str:
    """What the parts have of a table, without the runs that no longer count there, and what is in no part yet."""
    fresh = f"SELECT * FROM fresh_{name}"
    if not parts:
        return fresh
    counted = " WHERE run NOT IN (SELECT file_run FROM stale)" if stale else ""
    return f"SELECT * FROM {KEPT}.{name}{counted} UNION ALL {fresh}"


def _stale_runs(database: RunDatabase, index: Index) -> set[str]:
    """Runs of which a part has rows that no longer count. Those that are in two parts at once there are not: a part
    is written of what counts.
    """
    found: set[str] = set()
    for part in index.stale():
        here = {run for run, (_, file) in index.runs.items() if file == part}
        found |= set(read_table(database.folder / part).runs()) - here
    return found


def _fill(connection: Any, files: Sequence[Path], prefix: str) -> None:
    """Makes each table of the rows of some files."""
    source = f"read_parquet([{', '.join(_literal(str(file)) for file in files)}])"
    if not files:
        columns = "run VARCHAR, facts VARCHAR, camera VARCHAR, frame BIGINT, seen_in_training BOOLEAN, scores FLOAT[]"
        connection.execute(f"CREATE TEMP TABLE no_rows ({columns})")
        source = "no_rows"
    elif prefix:
        connection.execute(f"CREATE TEMP TABLE few_rows AS SELECT * FROM {source}")
        source = "few_rows"
    for name, query in table_queries(source).items():
        connection.execute(f"CREATE TABLE {prefix}{name} AS {query}")


def _write(path: Path, fill: Callable[[Any], None]) -> None:
    """Makes a DuckDB file beside its place and renames it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with suppress(FileNotFoundError):
        partial.unlink()
    connection = import_extra("duckdb").connect(str(partial), config={"threads": THREADS})
    try:
        fill(connection)
        connection.execute("CHECKPOINT")
        connection.close()
        partial.replace(path)
    finally:
        connection.close()
        for left in (partial, partial.with_name(f"{partial.name}.wal")):
            with suppress(FileNotFoundError):
                left.unlink()


def _remove_others(folder: Path, used: set[str]) -> None:
    """Removes caches of what was; who has one of them open goes on reading it."""
    for kind in ("parts", "tables"):
        for path in folder.glob(f"{kind}-*.duckdb"):
            if path.name not in used:
                with suppress(OSError):
                    path.unlink()


def _name(said: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([layout_digest(), *said]).encode()).hexdigest()[:32]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
