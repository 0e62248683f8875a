"""How facts lie in Parquet, and the tables that are made of them.

A file has one row for each run, with its facts as JSON in `facts`, and one for each of its views, with the view's
numbers as one list in the order of `SCORES`. So a file has six columns instead of fifty: what it takes to open ten
thousand files grows with their columns.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.render.runtime.whole_files import whole_file

from .extra import import_extra
from .facts import SCORES, RunFacts

# Raised where the same folder of a run gives other rows: everything is then read again.
VERSION = 1
# The columns of each table beside `run`, with their types; documented in docs/database.md.
ABOUT = {
    "state": "VARCHAR", "config": "VARCHAR", "session": "VARCHAR", "session_name": "VARCHAR",
    "session_fingerprint": "VARCHAR", "subject": "VARCHAR", "importer": "VARCHAR", "retain_until": "VARCHAR",
    "protocol": "VARCHAR", "locked": "BOOLEAN", "training_cameras": "INTEGER", "training_frames": "INTEGER",
    "views": "INTEGER", "device": "VARCHAR", "backend": "VARCHAR", "seed": "BIGINT", "commit": "VARCHAR",
    "simulacra": "VARCHAR", "written": "TIMESTAMP", "seconds": "DOUBLE", "peak_mb": "DOUBLE",
    **dict.fromkeys(METRICS, "DOUBLE"),
}  # fmt: skip
LISTED: dict[str, dict[str, str]] = {
    "settings": {"name": "VARCHAR", "text": "VARCHAR", "number": "DOUBLE"},
    "scores": {
        "metric": "VARCHAR", "mean": "DOUBLE", "deviation": "DOUBLE", "low": "DOUBLE", "high": "DOUBLE",
        "count": "INTEGER", "version": "INTEGER",
    },
    "stages": {"stage": "VARCHAR", "seconds": "DOUBLE", "peak_mb": "DOUBLE"},
    "versions": {"package": "VARCHAR", "version": "VARCHAR"},
    "checks": {
        "code": "VARCHAR", "place": "VARCHAR", "measured": "DOUBLE", "unit": "VARCHAR", "wanted": "VARCHAR",
        "status": "VARCHAR",
    },
    "tags": {
        "camera": "VARCHAR", "frame": "BIGINT", "tag": "VARCHAR", "severity": "INTEGER", "note": "VARCHAR",
        "time": "TIMESTAMPTZ",
    },
}  # fmt: skip
VIEWS = {
    "camera": "VARCHAR", "frame": "BIGINT", "seen_in_training": "BOOLEAN", **dict.fromkeys(SCORES, "FLOAT"),
}  # fmt: skip
TABLES: dict[str, dict[str, str]] = {"runs": ABOUT, "views": VIEWS, **LISTED}


def layout_digest() -> str:
    """What files of another layout do not have."""
    return hashlib.sha256(json.dumps([VERSION, list(TABLES), TABLES]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FactsTable:
    """Rows of several runs in the layout of a file.

    Attributes:
        table: a table of pyarrow.
    """

    table: Any

    def without(self, runs: set[str]) -> FactsTable:
        """The same without the rows of some runs."""
        if not runs:
            return self
        pyarrow, compute = import_extra("pyarrow"), import_extra("pyarrow.compute")
        gone = compute.is_in(self.table["run"], value_set=pyarrow.array(sorted(runs), pyarrow.string()))
        return FactsTable(self.table.filter(compute.invert(gone)))

    def runs(self) -> list[str]:
        """The names of the runs, in the order of the file."""
        compute = import_extra("pyarrow.compute")
        return self.table.filter(compute.is_valid(self.table["facts"]))["run"].to_pylist()


def schema() -> Any:
    """The columns of a file."""
    pyarrow = import_extra("pyarrow")
    return pyarrow.schema(
        [
            ("run", pyarrow.string()),
            ("facts", pyarrow.string()),
            ("camera", pyarrow.string()),
            ("frame", pyarrow.int64()),
            ("seen_in_training", pyarrow.bool_()),
            ("scores", pyarrow.list_(pyarrow.float32())),
        ]
    )


def to_table(facts: RunFacts) -> FactsTable:
    """The rows of one run: first its own, then one for each view."""
    pyarrow = import_extra("pyarrow")
    said = json.dumps(facts.facts, sort_keys=True, ensure_ascii=False, allow_nan=False)
    views = facts.views
    columns = {
        "run": [facts.run] * (1 + len(views)),
        "facts": [said] + [None] * len(views),
        "camera": [None, *(view.camera for view in views)],
        "frame": [None, *(view.frame for view in views)],
        "seen_in_training": [None, *(view.seen_in_training for view in views)],
        "scores": [None, *([_kept(view.scores.get(name)) for name in SCORES] for view in views)],
    }
    return FactsTable(pyarrow.table(columns, schema=schema()))


def _kept(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def join_tables(tables: Sequence[FactsTable]) -> FactsTable:
    """All rows of several tables, one after the other."""
    return FactsTable(import_extra("pyarrow").concat_tables([each.table for each in tables]).combine_chunks())


def sort_runs(facts: FactsTable) -> FactsTable:
    """The same rows by the names of their runs, each run's own row first and its views in their order."""
    pyarrow, compute = import_extra("pyarrow"), import_extra("pyarrow.compute")
    place = pyarrow.array(range(facts.table.num_rows), pyarrow.int64())
    ordered = facts.table.append_column("place", place)
    order = compute.sort_indices(ordered, sort_keys=[("run", "ascending"), ("place", "ascending")])
    return FactsTable(facts.table.take(order))


def write_table(path: Path, facts: FactsTable) -> None:
    """Writes a file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    parquet = import_extra("pyarrow.parquet")
    with whole_file(path) as stream:
        parquet.write_table(
            facts.table,
            stream,
            compression="zstd",
            use_dictionary=["run", "camera"],
            write_statistics=["run"],
        )


def read_table(path: Path) -> FactsTable:
    """Reads a file back.

    Raises:
        OSError: it is missing.
        ValueError: it is damaged, or of another layout.
    """
    pyarrow, parquet = import_extra("pyarrow"), import_extra("pyarrow.parquet")
    with path.open("rb") as stream:
        try:
            table = parquet.read_table(stream)
        except pyarrow.ArrowException as error:
            raise ValueError(str(error)) from error
    if table.schema.names != schema().names:
        raise ValueError(f"columns {table.schema.names}")
    return FactsTable(table.cast(schema()))


def table_queries(source: str) -> dict[str, str]:
    """A SELECT for each table, over files or a relation in the layout of a file.

    Args:
        source: SQL of a relation, `read_parquet([...])` or the name of a table.
    """
    numbers = ", ".join(f'scores[{place}] AS "{name}"' for place, name in enumerate(SCORES, 1))

    def unpacked(name: str, structure: object) -> str:
        return (
            f"(SELECT run, from_json(json_extract(facts, '$.{name}'), '{json.dumps(structure)}') AS found "
            f"FROM {source} WHERE facts IS NOT NULL)"
        )

    listed = {
        name: f"SELECT run, unnest(found, recursive := true) FROM {unpacked(name, [columns])}"
        for name, columns in LISTED.items()
    }
    return {
        "runs": f"SELECT run, unnest(found) FROM {unpacked('about', ABOUT)}",
        "views": f"SELECT run, camera, frame, seen_in_training, {numbers} FROM {source} WHERE facts IS NULL",
        **listed,
    }
