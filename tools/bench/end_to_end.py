"""`simulacra bench end-to-end`: a whole reconstruction, timed beside the same of another commit.

Both trees are run by the same Python, each in processes of its own, in turns whose order alternates: what else the
machine does meanwhile slows both alike, and only ratios within a turn are told. The first turn is not measured: it
compiles kernels and fills the system's file cache.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.records import record_errors
from simulacra.recon.runs.run_folder import RUN_FILE, STAGE_ORDER
from simulacra.render.runtime.errors import ConfigError, RunError

from .printing import Column, print_rows

# What is installed under `simulacra`, as setup.py has it.
FOLDERS = ("render", "recon", "tools", "configs", "assets")
WHOLE, BESIDES = "whole", "besides stages"
LINES_SAID = 12


@dataclass(frozen=True)
class Tree:
    """A source tree that can be run.

    Attributes:
        name: for people.
        path: what Python is to find `simulacra` in.
        kernels: where it keeps what it compiles; None for where it does anyway.
    """

    name: str
    path: Path
    kernels: Path | None = None


@dataclass(frozen=True)
class StageRow:
    """A stage in both trees.

    Attributes:
        seconds: the least of this tree.
        against: the least of the other.
        ratio: this tree's time of the other's, the median over turns.
        least: of the ratios.
        most: of the ratios.
        turns: in which both have the stage.
    """

    stage: str
    seconds: float
    against: float
    ratio: float
    least: float
    most: float
    turns: int


def run(
    session: Path,
    *,
    against: str,
    config: str | None = None,
    repeats: int = 3,
    as_json: bool = False,
    source: Path | None = None,
) -> list[StageRow]:
    """Times both trees and prints a table or JSON lines.

    Args:
        session: the folder of a session.
        against: a commit.
        config: a file, or the name of a configuration, which in either tree is what that tree brings; the one that fits
            the session in the tree's own eyes if None.
        repeats: measured turns.
        source: any folder of the tree that is measured; the running one's if None.

    Raises:
        ConfigError: the source is no git checkout, or knows no such commit.
        RunError: a tree could not reconstruct.
    """
    source = Path(__file__).parent if source is None else source
    root = Path(_git(source, "rev-parse", "--show-toplevel", what="this installation is no git checkout"))
    commit = _git(root, "rev-parse", "--verify", f"{against}^{{commit}}", what="there is no such commit")
    words = ["reconstruct", str(session.resolve()), *_config_words(config)]
    spent: dict[str, list[dict[str, float]]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="end-to-end.") as name,
        _checked_out(root, commit, Path(name)) as other,
    ):
        work = Path(name)
        trees = [
            Tree("this tree", _linked(root, work / "this")),
            Tree(commit[:12], _linked(other, work / "that"), work / "kernels"),
        ]
        for turn in range(repeats + 1):
            for tree in trees if turn % 2 else trees[::-1]:
                print(f"turn {turn} of {repeats}, {tree.name}", file=sys.stderr, flush=True)
                took = _reconstruct(tree, words, work)
                if turn:
                    spent.setdefault(tree.name, []).append(took)
    rows = compare_turns(*(spent[tree.name] for tree in trees))
    title = f"A whole reconstruction, against {commit[:12]}: {repeats} turns"
    print_rows(rows, COLUMNS, title, as_json)
    return rows


COLUMNS = (
    Column("stage", lambda row: row.stage, "left"),
    Column("this, s", lambda row: f"{row.seconds:.2f}"),
    Column("that, s", lambda row: f"{row.against:.2f}"),
    Column("this / that", lambda row: f"{row.ratio:.2f}"),
    Column("least to most", lambda row: f"{row.least:.2f} to {row.most:.2f}"),
)


def compare_turns(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]
) -> list[StageRow]:
    """A row for each stage that both have, in the order of a run, with ratios within turns.

    Args:
        ours: seconds by stage, one turn after the other.
        theirs: likewise, of the same turns.
    """
    rows = []
    for stage in (*STAGE_ORDER, BESIDES, WHOLE):
        pairs = [(a[stage], b[stage]) for a, b in zip(ours, theirs, strict=True) if stage in a and stage in b]
        if pairs:
            ratios = [a / max(b, 1e-9) for a, b in pairs]
            least, theirs_least = (min(side) for side in zip(*pairs, strict=True))
            middle = statistics.median(ratios)
            rows.append(StageRow(stage, least, theirs_least, middle, min(ratios), max(ratios), len(pairs)))
    return rows


def _reconstruct(tree: Tree, words: Sequence[str], work: Path) -> dict[str, float]:
    """Seconds of each stage of one run in a new folder, of what is none of them, and of the whole process."""
    out = work / "run"
    places = [str(tree.path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    if tree.kernels is not None:
        environment["NUMBA_CACHE_DIR"] = str(tree.kernels)
    begun = time.perf_counter()
    # In a folder of its own: modules are not to be found in whatever tree the command was called in.
    asked = subprocess.run(
        [sys.executable, "-m", "simulacra.tools.cli", *words, "--out", str(out)],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.perf_counter() - begun
    if asked.returncode:
        raise RunError(
            "a tree could not reconstruct the session",
            where=tree.name,
            found="\n".join(asked.stderr.strip().splitlines()[-LINES_SAID:]),
            remedy="a session and a configuration that both trees know",
        )
    with record_errors(out / RUN_FILE):
        stages: Any = read_json(out / RUN_FILE)["stages"]
        spent = {str(name): float(stage["seconds"]) for name, stage in stages.items()}
    shutil.rmtree(out)
    return spent | {BESIDES: whole - sum(spent.values()), WHOLE: whole}


def _config_words(config: str | None) -> list[str]:
    if config is None:
        return []
    return ["--config", str(Path(config).resolve()) if Path(config).is_file() else config]


def _linked(root: Path, folder: Path) -> Path:
    """A folder in which a source tree is the package `simulacra`."""
    package = folder / "simulacra"
    package.mkdir(parents=True)
    for name in FOLDERS:
        if (root / name).is_dir():
            (package / name).symlink_to(root / name)
    return folder


@contextmanager
def _checked_out(root: Path, commit: str, work: Path) -> Iterator[Path]:
    """The files of a commit in a folder of their own, which git forgets afterwards."""
    folder = work / "tree"
    _git(root, "worktree", "add", "--detach", str(folder), commit, what="the commit cannot be checked out")
    try:
        yield folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder), what="the tree cannot be removed")


def _git(folder: Path, *words: str, what: str) -> str:
    """What git says.

    Raises:
        ConfigError: git is not there, or refuses.
    """
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ConfigError("git is not installed, which gives the other commit's files") from error
    if asked.returncode:
        raise ConfigError(what, where=folder, found=asked.stderr.strip() or " ".join(words))
    return asked.stdout.strip()
