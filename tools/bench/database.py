"""The database of runs with made-up ones: five questions, from a file a run, from parts, and as they are asked."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.evaluate.metrics import METRICS

from ..database.cache import connect_tables, make_caches
from ..database.extra import import_extra
from ..database.facts import SCORES, RunFacts, ViewScores
from ..database.layout import table_queries
from ..database.questions import ask
from ..database.store import open_database
from .printing import Column, print_rows

QUESTIONS = {
    "worst cameras for hands, last month": (
        "SELECT camera, avg(hands_psnr) AS found FROM views JOIN runs USING (run) "
        "WHERE written >= TIMESTAMP '2026-11-01' GROUP BY 1 ORDER BY 2 LIMIT 5"
    ),
    "a setting's effect": (
        "SELECT number, avg(psnr_fg), stddev(psnr_fg), count(*) FROM runs JOIN settings USING (run) "
        "WHERE name = 'avatar.steps' GROUP BY 1 ORDER BY 1"
    ),
    "worst subjects, by views": (
        "SELECT subject, avg(v.psnr_fg), quantile_cont(v.psnr_fg, 0.1) FROM views v JOIN runs USING (run) "
        "GROUP BY 1 ORDER BY 2 LIMIT 10"
    ),
    "versions and cameras": (
        "SELECT simulacra, camera, count(*), stddev(v.mask_iou) FROM views v JOIN runs USING (run) GROUP BY ALL"
    ),
    "worst views of a run": (
        "SELECT camera, frame, psnr_fg FROM views WHERE run = 'run00007' ORDER BY psnr_fg LIMIT 5"
    ),
}
CAMERAS = 8
SETTINGS = 80


@dataclass(frozen=True)
class Row:
    """One question.

    Attributes:
        from_runs_ms: over one file a run, each opened.
        from_parts_ms: over the parts.
        asked_ms: as `simulacra runs sql` asks it: checked, locked, from the cache.
        asked_cpu_ms: processor time of the same.
    """

    question: str
    from_runs_ms: float
    from_parts_ms: float
    asked_ms: float
    asked_cpu_ms: float


@dataclass(frozen=True)
class Made:
    """How long something took once, and how large it is."""

    what: str
    seconds: float
    megabytes: float


COLUMNS = (
    Column("question", lambda row: row.question, "left"),
    Column("a file a run, ms", lambda row: f"{row.from_runs_ms:.0f}"),
    Column("parts, ms", lambda row: f"{row.from_parts_ms:.0f}"),
    Column("asked, ms", lambda row: f"{row.asked_ms:.0f}"),
    Column("asked, CPU ms", lambda row: f"{row.asked_cpu_ms:.0f}"),
)
MADE = (
    Column("", lambda row: row.what, "left"),
    Column("s", lambda row: f"{row.seconds:.1f}"),
    Column("MB", lambda row: f"{row.megabytes:.0f}"),
)


def run(*, runs: int, views: int, repeats: int, as_json: bool) -> None:
    """Prints both tables.

    Args:
        runs: how many are made up.
        views: of each.
        repeats: turns of each question, of which the least time counts.
        as_json: a JSON object a line instead.
    """
    with tempfile.TemporaryDirectory() as place:
        database = open_database(Path(place))
        made = [
            _timed("one file a run", lambda: database.put(made_up(runs, views)), database.folder / "runs")
        ]
        single = {q: _direct(database.folder / "runs", sql, repeats) for q, sql in QUESTIONS.items()}
        made.append(_timed("compacted", database.compact, database.folder / "parts"))
        parts = {q: _direct(database.folder / "parts", sql, repeats) for q, sql in QUESTIONS.items()}
        made.append(_timed("cache", lambda: make_caches(database), database.folder))
        connect_tables(database).close()
        rows = []
        for question, sql in QUESTIONS.items():
            wall, cpu = _least(functools.partial(ask, database, sql), repeats)
            rows.append(Row(question, single[question], parts[question], wall, cpu))
    print_rows(rows, COLUMNS, f"{runs} runs of {views} views", as_json)
    print_rows(made, MADE, "made once", as_json)


def made_up(runs: int, views: int, seed: int = 0) -> Iterator[RunFacts]:
    """Runs with random numbers: 300 subjects, three lengths of training, four versions, eleven months."""
    rng = np.random.default_rng(seed)
    kept = [name for name in SCORES if not name.startswith("true_")]
    for number in range(runs):
        values = rng.normal(23.0, 2.0, (views, len(kept)))
        scored = tuple(
            ViewScores(f"cam{view % CAMERAS}", view // CAMERAS, False, dict(zip(kept, row, strict=True)))
            for view, row in enumerate(values.tolist())
        )
        day = np.datetime64("2026-01-01") + np.timedelta64(int(rng.integers(0, 330)), "D")
        about: dict[str, Any] = {
            "state": "complete",
            "config": "studio_rgbd",
            "subject": f"person{number % 300}",
        }
        about |= {"written": f"{day} 12:00:00", "simulacra": f"0.{4 * number // runs}", "seconds": 100.0}
        about |= dict.fromkeys(METRICS, None) | {"psnr_fg": float(values[:, 0].mean())}
        steps = float(rng.choice([100, 300, 1000]))
        settings = [{"name": f"fit.setting_{i}", "text": str(i), "number": float(i)} for i in range(SETTINGS)]
        settings.append({"name": "avatar.steps", "text": str(int(steps)), "number": steps})
        yield RunFacts(f"run{number:05d}", {"about": about, "settings": settings}, scored)


def _timed(what: str, work: Callable[[], object], folder: Path) -> Made:
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    pattern = "*.duckdb" if what == "cache" else "*.parquet"
    return Made(what, seconds, sum(path.stat().st_size for path in folder.glob(pattern)) / 2**20)


def _direct(folder: Path, sql: str, repeats: int) -> float:
    """Milliseconds of a question over the Parquet files of a folder, with nothing made before."""
    connection: Any = import_extra("duckdb").connect()
    for name, query in table_queries(f"read_parquet('{folder}/*.parquet')").items():
        connection.execute(f"CREATE VIEW {name} AS {query}")

    wall, _ = _least(lambda: connection.execute(sql).fetchall(), repeats)
    connection.close()
    return wall


def _least(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least wall and processor time of some turns, milliseconds."""
    found = []
    for _ in range(repeats):
        begun, spent = time.perf_counter(), time.process_time()
        work()
        found.append((1e3 * (time.perf_counter() - begun), 1e3 * (time.process_time() - spent)))
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)
