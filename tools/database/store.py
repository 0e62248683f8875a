"""The facts of a folder's runs on disk: one Parquet a run, compacted into parts, and an index of what counts.

    DATABASE/index.json            the files that count, each run's signature, and in which file it is
    DATABASE/runs/HASH.parquet     one run
    DATABASE/parts/HASH.parquet    some hundreds of them
    DATABASE/tables-HASH.duckdb    what the parts come to (`cache`)

Files are named by what is in them and never written twice; a change is the new index's rename. So readers need no lock,
and what a killed process left behind is in nobody's way: what no index names is removed by a later writer. What the
index before the present one named is left for those who read by it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simulacra.recon.runs.files import disk_errors, read_json, write_text
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.progress import track
from simulacra.recon.runs.records import record_errors
from simulacra.render.runtime.errors import RunError

from ..comparison.summaries import find_runs
from .extra import import_extra
from .facts import RunFacts, read_facts, signature
from .layout import (
    FactsTable,
    join_tables,
    layout_digest,
    read_table,
    schema,
    sort_runs,
    to_table,
    write_table,
)

DATABASE_FOLDER = ".database"
INDEX_FILE, RUNS, PARTS = "index.json", "runs", "parts"
# So many runs are in a part, and so many files of single ones may be there before they are put into parts: each of
# them takes some tenths of a millisecond to open.
RUNS_OF_PART, MOST_SINGLE = 500, 256
# A part of which so large a share no longer counts is written again.
MOST_STALE = 0.2


@dataclass(frozen=True)
class Index:
    """What counts of a database.

    Attributes:
        layout: of the files.
        runs: by the run's name, its signature and the file that it is in.
        parts: the files of several runs, with how many are in each.
        before: the files that the index before this one named, and this one does not.
    """

    layout: str
    runs: dict[str, tuple[str, str]] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    before: tuple[str, ...] = ()

    @property
    def files(self) -> set[str]:
        """All that are named, below the database's folder."""
        return {file for _, file in self.runs.values()} | set(self.parts)

    @property
    def singles(self) -> list[str]:
        """The files of one run, in the order of their runs."""
        return [file for _, (_, file) in sorted(self.runs.items()) if file not in self.parts]

    def stale(self) -> dict[str, int]:
        """Parts with runs that are no longer theirs, and how many."""
        counted = dict.fromkeys(self.parts, 0)
        for _, file in self.runs.values():
            if file in counted:
                counted[file] += 1
        return {part: count - counted[part] for part, count in self.parts.items() if count > counted[part]}


@dataclass(frozen=True)
class Update:
    """What an update changed, in numbers of runs."""

    new: int
    changed: int
    removed: int
    unchanged: int


@dataclass(frozen=True)
class RunDatabase:
    """The database of the runs in a folder.

    Attributes:
        runs_folder: of the runs; they are named by their paths below it.
        folder: of the database.
    """

    runs_folder: Path
    folder: Path

    def index(self) -> Index:
        """What counts now; nothing where there is no database yet, or it is of another layout.

        Raises:
            RunError: the index is damaged.
        """
        path = self.folder / INDEX_FILE
        if not path.is_file():
            return Index(layout_digest())
        content = read_json(path)
        with record_errors(path):
            if content["layout"] != layout_digest():
                return Index(layout_digest(), before=tuple(map(str, content["before"])))
            runs = {str(name): (str(mark), str(file)) for name, (mark, file) in content["runs"].items()}
            parts = {str(file): int(count) for file, count in content["parts"].items()}
            return Index(content["layout"], runs, parts, tuple(map(str, content["before"])))

    def update(self, *, rebuild: bool = False, only: Sequence[Path] | None = None) -> Update:
        """Reads what is new or has changed in the folder of the runs, and forgets what is no longer there.

        Args:
            rebuild: read everything again.
            only: look at these runs and no others; all if None.

        Raises:
            RunError: the folder of runs is not there, the database cannot be written, or somebody else writes it.
        """
        every = find_runs(self.runs_folder) if only is None else only
        found = {self._name(path): path for path in every if not self._is_inside(path)}
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_lock(self.folder):
                known = Index(layout_digest()) if rebuild else self._sound_index()
                marks = {name: signature(path) for name, path in found.items()}
                unread = [name for name in found if known.runs.get(name, ("", ""))[0] != marks[name]]
                runs = {
                    name: entry for name, entry in known.runs.items() if only is not None or name in found
                }
                removed = len(known.runs) - len(runs)
                for name in track(unread, "reading runs", len(unread)):
                    facts = read_facts(found[name], self.runs_folder)
                    runs[name] = (marks[name], self._write(RUNS, to_table(facts)))
                changed = sum(name in known.runs for name in unread)
                if unread or removed or rebuild or not (self.folder / INDEX_FILE).is_file():
                    self._commit(replace(known, runs=dict(sorted(runs.items()))))
                now = self.index()
                if len(now.singles) > MOST_SINGLE:
                    self._compact(now)
        return Update(len(unread) - changed, changed, removed, len(found) - len(unread))

    def put(self, facts: Iterable[RunFacts]) -> None:
        """Adds facts that were read elsewhere, a file each; an `update` forgets those whose runs it does not find.

        Raises:
            RunError: the database cannot be written, or somebody else writes it.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_lock(self.folder):
                known = self._sound_index()
                put = {each.run: ("", self._write(RUNS, to_table(each))) for each in facts}
                self._commit(replace(known, runs=dict(sorted((known.runs | put).items()))))

    def compact(self) -> None:
        """Puts all files of one run into parts.

        Raises:
            RunError: the database cannot be written, or somebody else writes it.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_lock(self.folder):
                self._compact(self._sound_index())

    def tables(self) -> FactsTable:
        """The rows of all runs, sorted by their names.

        Raises:
            RunError: a file is damaged or missing.
        """
        index = self.index()
        return sort_runs(join_tables([to_empty(), *(self.read(index, file) for file in sorted(index.files))]))

    def read(self, index: Index, file: str) -> FactsTable:
        """The rows of one file that count.

        Raises:
            RunError: it is damaged or missing.
        """
        path = self.folder / file
        with record_errors(path):
            rows = read_table(path)
        return rows.without({run for run in rows.runs() if index.runs.get(run, ("", ""))[1] != file})

    def _name(self, path: Path) -> str:
        return (
            path.resolve().name if path == self.runs_folder else path.relative_to(self.runs_folder).as_posix()
        )

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder.resolve())

    def _sound_index(self) -> Index:
        """The index as far as its files are there: what lost its file is read again."""
        try:
            index = self.index()
        except RunError:
            return Index(layout_digest())
        there = {file for file in index.files if (self.folder / file).is_file()}
        runs = {name: entry for name, entry in index.runs.items() if entry[1] in there}
        parts = {file: count for file, count in index.parts.items() if file in there}
        return replace(index, runs=runs, parts=parts)

    def _write(self, kind: str, rows: FactsTable) -> str:
        """Writes rows into a file that is named by them, which may be there already."""
        file = f"{kind}/{_digest(rows)}.parquet"
        if not (self.folder / file).is_file():
            write_table(self.folder / file, rows)
        return file

    def _compact(self, index: Index) -> None:
        """Full parts stay as they are, unless too much of them no longer counts; all else goes into new ones."""
        stale = index.stale()
        kept = {
            file
            for file, count in index.parts.items()
            if count >= RUNS_OF_PART and stale.get(file, 0) <= MOST_STALE * count
        }
        runs, parts = dict(index.runs), {file: index.parts[file] for file in sorted(kept)}
        loose = sorted(index.files - kept)
        waiting: list[FactsTable] = []
        rows = 0
        for place, file in enumerate(loose):
            waiting.append(self.read(index, file))
            rows += len(waiting[-1].runs())
            if rows >= RUNS_OF_PART or (rows and place == len(loose) - 1):
                part = sort_runs(join_tables(waiting))
                named = self._write(PARTS, part)
                parts[named] = rows
                runs |= {run: (runs[run][0], named) for run in part.runs()}
                waiting, rows = [], 0
        self._commit(replace(index, runs=runs, parts=parts))

    def _commit(self, index: Index) -> None:
        """Makes an index the one that counts, and removes what neither it nor the one before it names."""
        used = {file for _, file in index.runs.values()}
        index = replace(index, parts={file: count for file, count in index.parts.items() if file in used})
        earlier = self._sound_index().files
        content: dict[str, Any] = {"layout": index.layout, "runs": index.runs, "parts": index.parts}
        content["before"] = sorted(earlier - index.files)
        write_text(self.folder / INDEX_FILE, json.dumps(content, separators=(",", ":")) + "\n")
        for kind in (RUNS, PARTS):
            with suppress(FileNotFoundError):
                for entry in os.scandir(self.folder / kind):
                    if f"{kind}/{entry.name}" not in index.files | earlier:
                        os.unlink(entry.path)


def open_database(runs_folder: Path, folder: Path | None = None) -> RunDatabase:
    """The database of the runs in a folder; nothing is read yet.

    Args:
        runs_folder: in which the runs are.
        folder: of the database; the hidden folder `.database` among the runs if None.

    Raises:
        RunError: there is no such folder of runs.
    """
    if not runs_folder.is_dir():
        raise RunError("there is no such folder", where=runs_folder, remedy="give one in which runs are")
    return RunDatabase(runs_folder, folder or runs_folder / DATABASE_FOLDER)


def to_empty() -> FactsTable:
    """No rows, in the layout of a file."""
    return FactsTable(import_extra("pyarrow").table({name: [] for name in schema().names}, schema=schema()))


def _digest(rows: FactsTable) -> str:
    """A hash of rows, as they are sent from one program to another: files are named by what is in them."""
    pyarrow = import_extra("pyarrow")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, rows.table.schema) as stream:
        stream.write_table(rows.table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:32]
