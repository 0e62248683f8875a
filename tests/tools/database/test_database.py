"""The database of runs: rows are those of the folders, however they came in, and a question sees nothing else."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from simulacra.recon.runs.files import read_json, write_json
from simulacra.recon.runs.lock import write_lock
from simulacra.render.runtime.errors import ConfigError, RunError
from simulacra.tools.cli import main
from simulacra.tools.database import store
from simulacra.tools.database.cache import connect_tables, make_caches
from simulacra.tools.database.export import export_table
from simulacra.tools.database.facts import SCORES, RunFacts, ViewScores
from simulacra.tools.database.layout import TABLES, read_table, to_table, write_table
from simulacra.tools.database.questions import ask, check_question
from simulacra.tools.database.store import RunDatabase, Update, open_database
from simulacra.tools.viewer.tags import append_tag, make_tag
from tests.tools.comparison.planted_runs import FRAMES, plant_run


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("planted")
    for name, gain, steps in (("a", 0.0, 60), ("deep/b", 0.5, 120), ("c", -0.5, 240)):
        plant_run(place / name, gain=gain, steps=steps, session=name[-1])
    return place


@pytest.fixture
def runs(planted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(planted, tmp_path / "runs")


def rows_of(database: RunDatabase, sql: str) -> list[tuple[Any, ...]]:
    return list(ask(database, sql).rows)


def everything(database: RunDatabase) -> dict[str, list[tuple[Any, ...]]]:
    connection = connect_tables(database)
    try:
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in TABLES
        }
    finally:
        connection.close()


def test_rows_are_what_the_folders_say(runs: Path) -> None:
    database = open_database(runs)
    assert database.update() == Update(new=3, changed=0, removed=0, unchanged=0)
    metrics = read_json(runs / "deep" / "b" / "evaluate" / "metrics.json")["scores"]["psnr_fg"]
    found = rows_of(
        database, "SELECT run, state, config, session_name, psnr_fg, seconds FROM runs ORDER BY run"
    )
    assert [row[0] for row in found] == ["a", "c", "deep/b"]
    assert found[2] == ("deep/b", "complete", "smoke", "b", metrics["mean"], 6.0)
    views = rows_of(
        database, "SELECT camera, frame, psnr_fg, seen_in_training FROM views WHERE run = 'deep/b' ORDER BY 2"
    )
    assert [row[:2] for row in views] == [("2", frame) for frame in FRAMES]
    assert [row[2] for row in views] == pytest.approx([v["value"] for v in metrics["views"]], rel=1e-6)
    assert {row[3] for row in views} == {False}
    steps = rows_of(database, "SELECT run, number FROM settings WHERE name = 'avatar.steps' ORDER BY 1")
    assert steps == [("a", 60.0), ("c", 240.0), ("deep/b", 120.0)]
    low, high = metrics["interval_95"]
    assert rows_of(database, "SELECT low, high, version FROM scores WHERE run = 'deep/b'") == [
        (low, high, metrics["version"])
    ]


def test_changes_come_in_and_what_is_gone_goes(runs: Path) -> None:
    database = open_database(runs)
    database.update()
    append_tag(runs / "a", make_tag({"camera": "2", "frame": 3, "tag": "hole", "severity": 3}))
    shutil.rmtree(runs / "c")
    shutil.copytree(runs / "deep" / "b", runs / "d")
    assert database.update() == Update(new=1, changed=1, removed=1, unchanged=1)
    assert rows_of(database, "SELECT run, camera, frame, tag, severity FROM tags") == [
        ("a", "2", 3, "hole", 3)
    ]
    assert rows_of(database, "SELECT run FROM runs ORDER BY 1") == [("a",), ("d",), ("deep/b",)]
    assert database.update() == Update(new=0, changed=0, removed=0, unchanged=3)


@pytest.mark.parametrize("compacted", [False, True])
def test_what_came_in_one_by_one_is_what_is_read_at_once(runs: Path, tmp_path: Path, compacted: bool) -> None:
    grown = open_database(runs, tmp_path / "grown")
    for number in range(4):
        shutil.copytree(runs / "a", runs / f"later{number}")
        grown.update()
        if compacted and number % 2:
            grown.compact()
        if number == 2:
            shutil.rmtree(runs / "later1")
            append_tag(runs / "later0", make_tag({"camera": None, "frame": 0, "tag": "flicker"}))
    grown.update()
    fresh = open_database(runs, tmp_path / "fresh")
    fresh.update()
    assert everything(grown) == everything(fresh)
    assert grown.tables().table.equals(fresh.tables().table)
    assert len(rows_of(fresh, "SELECT * FROM runs")) == 6
    if compacted:
        assert grown.index().parts and not fresh.index().parts
    grown.update(rebuild=True)
    assert everything(grown) == everything(fresh)


def test_many_runs_are_put_into_parts(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_SINGLE", 2)
    monkeypatch.setattr(store, "RUNS_OF_PART", 2)
    database = open_database(runs)
    database.update()
    index = database.index()
    assert not index.singles and sorted(index.parts.values()) == [1, 2]
    assert len(rows_of(database, "SELECT * FROM views")) == 3 * len(FRAMES)


def test_a_database_that_was_damaged_is_made_again(runs: Path) -> None:
    database = open_database(runs)
    database.update()
    database.compact()
    before = everything(database)
    (part,) = (database.folder / "parts").iterdir()
    part.unlink()
    database.update()
    assert everything(database) == before
    (database.folder / store.INDEX_FILE).write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        database.index()
    database.update()
    assert everything(database) == before
    (database.folder / database.index().singles[0]).write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError):
        database.tables()


def test_a_killed_update_leaves_what_was(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = open_database(runs)
    database.update()
    before = everything(database)
    shutil.copytree(runs / "a", runs / "d")

    def killed(self: RunDatabase, index: store.Index) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunDatabase, "_commit", killed)
        with pytest.raises(KeyboardInterrupt):
            database.update()
    assert everything(database) == before
    assert database.update().new == 1


def test_one_writes_at_a_time(runs: Path) -> None:
    database = open_database(runs)
    database.update()
    with write_lock(database.folder):
        with pytest.raises(RunError, match="another process"):
            database.update()
        assert len(rows_of(database, "SELECT * FROM runs")) == 3


def test_a_damaged_run_is_a_row_that_says_so(runs: Path) -> None:
    (runs / "a" / "evaluate" / "metrics.json").write_text("{}")
    database = open_database(runs)
    database.update()
    ((state, score),) = rows_of(database, "SELECT state, psnr_fg FROM runs WHERE run = 'a'")
    assert state.startswith("damaged") and score is None


def test_rows_of_a_file_are_those_that_were_written(tmp_path: Path) -> None:
    views = (
        ViewScores("2", -1, None, {"psnr_fg": float("inf")}),
        ViewScores("", 3, True, {SCORES[-1]: 0.25}),
    )
    facts = to_table(RunFacts("'; drop table runs --", {"about": {"state": "ö"}}, views))
    write_table(tmp_path / "one.parquet", facts)
    assert read_table(tmp_path / "one.parquet").table.equals(facts.table)
    found = facts.table.to_pylist()
    assert json.loads(found[0]["facts"]) == {"about": {"state": "ö"}}
    assert found[1]["scores"] == [None] * len(SCORES)  # no number that is not finite
    assert found[2]["scores"][-1] == 0.25


HOSTILE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('runs/*.parquet')",
    "SELECT * FROM parquet_metadata('x')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('runs')",
    "SELECT current_setting('temp_directory')",
    "SELECT getenv('HOME')",
    "SELECT (SELECT getenv('HOME')) FROM runs",
    "WITH x AS (SELECT * FROM duckdb_settings()) SELECT * FROM x",
    "PRAGMA database_list",
    "COPY runs TO 'leak.csv'",
    "COPY (SELECT 1) TO 'leak.csv'",
    "ATTACH 'x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '9GB'",
    "SET enable_external_access = true",
    "DROP TABLE fresh_runs",
    "CREATE TEMP TABLE z AS SELECT 1",
    "INSERT INTO stale VALUES ('a')",
    "EXPORT DATABASE 'x'",
    "DESCRIBE runs",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW runs",
    "",
    "SELECT FROM WHERE",
    "SELECT * FROM fresh_runs",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_a_question_that_is_not_about_runs_is_refused(sql: str) -> None:
    with pytest.raises(ConfigError):
        check_question(sql)


def test_what_gets_past_the_form_is_refused_by_the_engine(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second lock alone: files, settings, tables of the database itself."""
    database = open_database(runs)
    database.update()
    monkeypatch.setattr("simulacra.tools.database.questions.check_question", lambda sql: None)
    monkeypatch.chdir(tmp_path)
    make_caches(database)
    before = sorted(tmp_path.rglob("*"))
    for sql in (
        *(HOSTILE[k] for k in (0, 1, 2, 3, 4)),
        "COPY runs TO 'leak.csv'",
        "ATTACH 'x.db'",
        "SET enable_external_access = true",
        "SET memory_limit = '9GB'",
        "DROP TABLE fresh_runs",
        "INSERT INTO stale VALUES ('a')",
    ):
        with pytest.raises(ConfigError):
            ask(database, sql)
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == []


def test_plain_questions_are_answered(runs: Path) -> None:
    database = open_database(runs)
    database.update()
    for sql in (
        "WITH good AS (SELECT * FROM runs WHERE psnr_fg > 0) SELECT count(*) FROM good",
        "SELECT r.run, max(v.psnr_fg) FROM runs r JOIN views v USING (run) GROUP BY ALL ORDER BY 2 LIMIT 1;",
        "SELECT number, row_number() OVER (ORDER BY number) FROM settings WHERE name = 'avatar.steps'",
        "SELECT i FROM range(3) t(i)",
        "FROM runs SELECT run WHERE run = '''; drop table runs --'",
    ):
        ask(database, sql)
    cut = ask(database, "SELECT run FROM views", most_rows=2)
    assert len(cut.rows) == 2 and cut.cut
    with pytest.raises(ConfigError, match="cannot be answered"):
        ask(database, "SELECT no_such_column FROM runs")


def test_a_question_without_end_is_stopped(runs: Path) -> None:
    database = open_database(runs)
    database.update()
    with pytest.raises(ConfigError, match="takes too long"):
        ask(database, "SELECT sum(i * i % 7) FROM range(1000000000000) t(i)", longest_s=0.3)
    assert not [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


def test_a_name_that_is_sql_is_a_name(runs: Path) -> None:
    name = "'; drop table runs --"
    shutil.copytree(runs / "a", runs / name)
    database = open_database(runs)
    database.update()
    database.compact()
    assert rows_of(database, "SELECT count(*) FROM runs WHERE run LIKE '%drop table%'") == [(1,)]
    os.utime(runs / name / "run.json", ns=(1, 1))
    database.update()
    assert rows_of(database, "SELECT count(*) FROM runs") == [(4,)]


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
def test_exported_tables_are_whole(runs: Path, tmp_path: Path, ending: str) -> None:
    import duckdb

    database = open_database(runs)
    database.update()
    out = tmp_path / f"it's{ending}"
    assert export_table(database, "views", out) == 3 * len(FRAMES)
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT run, frame, round(psnr_fg, 4) FROM (FROM '" + str(out).replace("'", "''") + "')"
        ).fetchall()
    wanted = rows_of(database, "SELECT run, frame, round(psnr_fg, 4) FROM views ORDER BY run, camera, frame")
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in wanted], abs=1e-3)


def test_commands(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "sql", str(runs), "SELECT run FROM runs WHERE psnr_fg > 20.4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": "deep/b"}
    assert main(["runs", "sql", str(runs), "SELECT run FROM runs WHERE psnr_fg > 99"]) == 0
    assert capsys.readouterr().out == "no rows match\n"
    assert main(["runs", "sql", str(runs), "SELECT * FROM '/etc/passwd'"]) == 2
    assert "there is no such table" in capsys.readouterr().err
    assert main(["runs", "show", str(runs / "a")]) == 0
    assert "psnr_fg: 20.21 dB" in capsys.readouterr().out
    assert main(["runs", "show", str(runs / "a"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["views"]) == len(FRAMES)
    assert main(["runs", "export", str(runs), "--out", str(tmp_path / "t.xlsx")]) == 2
    assert main(["runs", "export", str(runs), "--out", str(tmp_path / "t.csv"), "--table", "settings"]) == 0
    assert main(["runs", str(runs), "--json"]) == main(["runs", "list", str(runs), "--json"]) == 0
    listed = [
        json.loads(line)["name"] for line in capsys.readouterr().out.splitlines() if line.startswith("{")
    ]
    assert listed == ["a", "c", "deep/b"] * 2


def test_another_layout_is_read_again(runs: Path) -> None:
    database = open_database(runs)
    database.update()
    path = database.folder / store.INDEX_FILE
    write_json(path, read_json(path) | {"layout": "another"})
    assert database.update().new == 3
    assert len(rows_of(database, "SELECT * FROM runs")) == 3
