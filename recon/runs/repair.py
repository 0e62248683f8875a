"""What is in the folder of a run, what of it cannot be used, and the removal of that.

Nothing is computed here: what was removed, the next reconstruction makes again, and only that. A stage goes only where
a reconstruction would not take it either.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simulacra.recon.runs.chain import check_records, finished_stages
from simulacra.recon.runs.files import disk_errors, read_json
from simulacra.recon.runs.lock import LOCK_FILE, write_lock
from simulacra.recon.runs.run_folder import RUN_FILE, STAGE_FILE, WORK_FILE, read_run_file
from simulacra.render.runtime.errors import RunError
from simulacra.render.runtime.whole_files import restore_folder

Verdict = Literal["whole", "keeps", "goes", "comes back"]


@dataclass(frozen=True)
class Part:
    """Something in the folder of a run.

    Attributes:
        path: the file or folder.
        verdict: `whole`: a record as it was written. `keeps`: no record, of use as it is. `goes`: of no use to anybody.
            `comes back`: an earlier record that lay aside when its writer was killed.
        why: what it is, in a few words.
    """

    path: Path
    verdict: Verdict
    why: str


def inspect_run(root: Path) -> tuple[Part, ...]:
    """What lies in a run, every byte of its stages read.

    Raises:
        RunError: there is no run, or one that a newer version made.
    """
    if not root.is_dir():
        raise RunError("there is no folder of a run", where=root, remedy="give the --out of a reconstruction")
    parts = (*_inspect_leftovers(root), *_inspect_stages(root), *_inspect_run_file(root))
    if not parts:
        raise RunError(
            "there is nothing of a run in this folder",
            where=root,
            expected=f"{RUN_FILE}, or stages with their {STAGE_FILE}",
            remedy="give the --out of a reconstruction",
        )
    return parts


def repair_run(root: Path) -> tuple[Part, ...]:
    """Removes what is of no use, and puts back what lay aside; says what there was.

    Raises:
        RunError: there is no run, somebody writes into it, or it cannot be written.
    """
    inspect_run(root)
    with write_lock(root), disk_errors(root):
        parts = inspect_run(root)
        for part in parts:
            if part.verdict == "comes back":
                restore_folder(part.path.with_name(_stage_of(part.path)))
            elif part.verdict == "goes" and part.path.name != LOCK_FILE:  # which goes with the lock
                if part.path.is_dir() and not part.path.is_symlink():
                    shutil.rmtree(part.path)
                else:
                    part.path.unlink()
    return parts


def recorded_config(root: Path) -> dict[str, Any] | None:
    """The configuration of a run: as run.json has it, or as far as its stages and scores tell; None of neither."""
    try:
        config = read_run_file(root).get("config")
        if isinstance(config, dict):
            return config
    except RunError:
        pass
    found: dict[str, Any] = {}
    for name in finished_stages(root):
        said = _read_or_nothing(root / name / STAGE_FILE).get("config")
        if isinstance(said, dict):
            found[name] = said
    held_out = _read_or_nothing(root / "evaluate" / "metrics.json").get("held_out")
    if isinstance(held_out, dict):
        found["views"] = {"held_out_cameras": held_out.get("cameras", [])}
    return found or None


def _inspect_leftovers(root: Path) -> Iterator[Part]:
    for path in sorted(root.glob(".*")):
        if path.name.endswith(".old"):
            there = path.with_name(_stage_of(path)).exists()
            yield Part(path, *(("goes", "an earlier record, replaced") if there else _aside(path)))
        elif path.name.endswith(".work"):
            known = "key" in _read_or_nothing(path / WORK_FILE)
            kept = "work that was stopped: the next reconstruction continues it, if it asks for the same"
            yield Part(path, *(("keeps", kept) if known else ("goes", "work that nobody can continue")))
        elif path.name.endswith((".partial", ".again")):
            yield Part(path, "goes", "half written")
        elif path.name == LOCK_FILE:
            yield Part(path, "goes", "of a process that was killed, or of this one")
    for path in sorted(root.glob(f"[!.]*/{WORK_FILE}")):
        yield Part(path, "goes", "left over")


def _aside(path: Path) -> tuple[Verdict, str]:
    return "comes back", f"the stage {_stage_of(path)}, which lay aside"


def _inspect_stages(root: Path) -> Iterator[Part]:
    for name in finished_stages(root):
        try:
            check_records(root, [name])
        except RunError as error:
            yield Part(root / name, "goes", error.what)
        else:
            yield Part(root / name, "whole", "as it was written")


def _inspect_run_file(root: Path) -> Iterator[Part]:
    path = root / RUN_FILE
    if not path.exists():
        return
    if "session_fingerprint" in _read_or_nothing(path):
        read_run_file(root)
        yield Part(path, "whole", "says what the last complete reconstruction was")
    elif finished_stages(root) or not path.stat().st_size:
        yield Part(path, "goes", "damaged; a reconstruction writes it again")
    else:
        yield Part(path, "keeps", "damaged or of something else, and no stage says whose it is")


def _stage_of(aside: Path) -> str:
    return aside.name.removeprefix(".").removesuffix(".old")


def _read_or_nothing(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except RunError:
        return {}
