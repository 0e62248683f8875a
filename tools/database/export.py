"""One table of the database as a file for other programs."""

from __future__ import annotations

from pathlib import Path

from simulacra.recon.runs.files import disk_errors
from simulacra.render.runtime.errors import ConfigError
from simulacra.render.runtime.whole_files import whole_file

from .cache import connect_tables
from .layout import TABLES
from .store import RunDatabase

FORMATS = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
    ".json": "FORMAT json",
}
ENDINGS = tuple(FORMATS)


def export_table(database: RunDatabase, table: str, out: Path) -> int:
    """Writes all rows of a table, sorted by run, whole or not at all. The database is read as it is.

    Args:
        database: of the runs.
        table: of `layout.TABLES`.
        out: the file; its ending says in which format, .parquet where it has none.

    Returns:
        How many rows it has.

    Raises:
        ConfigError: there is no such table.
        MissingExtraError: the extra is not installed.
        RunError: the file cannot be written.
    """
    if table not in TABLES:
        raise ConfigError("there is no such table", found=table, expected=", ".join(TABLES))
    written = FORMATS[out.suffix.lower() or ".parquet"]
    order = "run, camera, frame" if table in ("views", "tags") else f"run, {next(iter(TABLES[table]))}"
    connection = connect_tables(database)
    try:
        with disk_errors(out), whole_file(out) as stream:
            # DuckDB opens the file by its name, which is the hidden one until it is whole.
            copy = f"COPY (SELECT * FROM {table} ORDER BY {order}) TO '{_quoted(stream.name)}' ({written})"
            (count,) = connection.execute(copy).fetchone()
    finally:
        connection.close()
    return int(count)


def _quoted(name: str) -> str:
    return name.replace("'", "''")
