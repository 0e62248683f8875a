"""`simulacra runs`: what runs there are, and what is known of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval
from tyro.conf import Positional, arg

from .arguments import Run
from .outputs import OutFile

if TYPE_CHECKING:
    from ..database.store import RunDatabase

Folder = Annotated[Positional[Path], arg(metavar="DIR")]
Question = Annotated[Positional[str], arg(metavar="SQL")]
Database = Annotated[Path | None, arg(metavar="FOLDER")]
Rows = Annotated[int, Interval(ge=1, le=1_000_000)]
Table = Literal["runs", "views", "settings", "scores", "stages", "versions", "checks", "tags"]


def with_list(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """The words with `list` after `runs` where they name a folder, or nothing, in its place.

    Args:
        words: of the command line.
        commands: that `runs` has.
    """
    named = words[1:2] and (words[1] in commands or words[1] in ("-h", "--help"))
    return list(words) if words[:1] != ["runs"] or named else ["runs", "list", *words[1:]]


def runs_list(
    folder: Folder = Path("."),
    /,
    where: Annotated[tuple[str, ...], arg(metavar="CONDITION [CONDITION ...]")] = (),
    sort: Annotated[str, arg(metavar="KEY")] = "name",
    losses: bool = False,
    json_lines: Annotated[bool, arg(name="json")] = False,
) -> None:
    """List the runs in a folder: name, configuration, what differs from it, scores, and how far each got.

    A KEY is name, state, config, session, protocol, seconds, a metric (`psnr_fg`) or a setting (`avatar.steps`).

    Args:
        folder: where to look, a few folders deep.
        where: only runs of which all of these hold: `'psnr_fg<25'`, `state=complete`, `avatar.steps!=60`.
        sort: by this; by a metric the best first.
        losses: the curve of the training's loss of each run too.
        json_lines: for programs: a JSON object a line.
    """
    from ..comparison.choosing import choose
    from ..comparison.listing import list_runs
    from ..comparison.summaries import find_runs, summarize
    from ..report.curves import read_curves

    chosen = choose([summarize(run, folder) for run in find_runs(folder)], where, sort)
    if json_lines:
        for run in chosen:
            print(json.dumps(run.as_json()))
        return
    if not chosen:
        print(f"no runs in {folder}" + (f" with {' and '.join(where)}" if where else ""))
        return
    print(*list_runs(chosen, shutil.get_terminal_size().columns), sep="\n")
    for run in chosen if losses else ():
        print(f"\n{run.name}\n{read_curves(run.path)}")


def runs_show(run: Run, /, json_lines: Annotated[bool, arg(name="json")] = False) -> None:
    """Say what is known of one run: settings that differ, scores with their intervals, checks, stages, tags.

    Args:
        run: the folder of the run.
        json_lines: for programs: all facts, and the numbers of every view, as one JSON object.
    """
    from ..database.facts import read_facts
    from ..database.show import as_json, say_facts

    facts = read_facts(run, run)
    print(json.dumps(as_json(facts)) if json_lines else "\n".join(say_facts(facts)))


def runs_sql(
    folder: Folder,
    question: Question,
    /,
    database: Database = None,
    rows: Rows = 1000,
    update: bool = True,
    rebuild: bool = False,
    json_lines: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Ask one SELECT over the runs in a folder: `runs sql DIR 'SELECT config, avg(psnr_fg) FROM runs GROUP BY 1'`.

    Tables: runs, views, settings, scores, stages, versions, checks, tags (docs/database.md has their columns). What is
    asked is held to these: no files, no settings, 1 GB of memory, five seconds.

    Args:
        folder: in which the runs are, a few folders deep.
        question: one SELECT.
        database: the folder of the database; `.database` among the runs if not given.
        rows: at most so many.
        update: look first for runs that are new, changed or gone.
        rebuild: read all of them again.
        json_lines: for programs: a JSON object a row.
    """
    from ..database.questions import ask, check_question
    from ..database.show import say_answer

    check_question(question)
    answer = ask(updated(folder, database, update=update, rebuild=rebuild), question, most_rows=rows)
    if json_lines:
        for record in answer.as_records():
            print(json.dumps(record, default=str))
    else:
        say_answer(answer)


def runs_export(
    folder: Folder,
    /,
    out: OutFile,
    table: Table = "runs",
    database: Database = None,
    rebuild: bool = False,
) -> None:
    """Write one table of the runs in a folder for other programs, as .parquet, .csv or .json lines.

    Args:
        folder: in which the runs are, a few folders deep.
        out: the file.
        table: which.
        database: the folder of the database; `.database` among the runs if not given.
        rebuild: read all runs again.
    """
    from ..database.export import ENDINGS, export_table
    from .arguments import check_file

    check_file(out, ENDINGS, "a table")
    count = export_table(updated(folder, database, update=True, rebuild=rebuild), table, out)
    print(f"{out}: {count} rows of {table}")


def updated(folder: Path, place: Path | None, *, update: bool, rebuild: bool) -> RunDatabase:
    """The database of a folder's runs.

    Args:
        folder: of the runs.
        place: of the database; among the runs if None.
        update: look for what is new, changed or gone.
        rebuild: read everything again.
    """
    from ..database.store import open_database

    database: Any = open_database(folder, place)
    if update or rebuild:
        database.update(rebuild=rebuild)
    return database
