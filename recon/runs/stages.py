"""Stages of a run: one folder each, written atomically, skipped when nothing it depends on has changed.

A stage computes into a hidden work folder beside its place and is renamed into it when complete, so a folder of a
run is always a whole result. A killed stage leaves its work folder behind; if the next run asks for the same thing
(the same key) the stage is given that folder again, and continues from whatever checkpoint it keeps there. The key
is the hash of the stage's name and version, its resolved configuration and the content of its inputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from simulacra.recon.runs.files import disk_errors, read_json, write_json
from simulacra.recon.runs.peak_memory import peak_memory_mb, reset_peak_memory
from simulacra.recon.runs.run_folder import STAGE_FILE, WORK_FILE, RunFolder, read_or_nothing, read_stage
from simulacra.render.runtime.whole_files import replace_folder

Record = TypeVar("Record")


@dataclass(frozen=True)
class StageResult:
    """What is known of a finished stage.

    Attributes:
        digest: sha256 over the stage's files: what later stages hash as their input.
        seconds: wall time of the computation, all sittings together.
        peak_mb: largest resident memory of the process during it, MiB.
        skipped: whether an earlier result was taken as it was.
    """

    name: str
    digest: str
    seconds: float
    peak_mb: float
    skipped: bool


def run_stage(
    run: RunFolder,
    name: str,
    *,
    version: int,
    config: object,
    inputs: Mapping[str, str],
    compute: Callable[[Path], None],
    load: Callable[[Path], Record],
) -> tuple[Record, StageResult]:
    """Runs one stage, or takes its earlier result where nothing changed.

    Args:
        version: raised by hand when the stage's code changes what it computes.
        config: the stage's resolved configuration (anything that JSON can say).
        inputs: digests of what it reads, by name.
        compute: writes the record's files into the folder that it is given, which may hold its own checkpoint.
        load: reads the record back from a folder.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    key = stage_key(name, version, config, inputs)
    folder = run.stage(name)
    described = {"key": key, "version": version, "config": config, "inputs": dict(inputs)}
    done = read_stage(folder)
    if _is_as_described(done, described) and done.get("digest") == digest_folder(folder):
        return load(folder), StageResult(name, done["digest"], done["seconds"], done["peak_mb"], skipped=True)
    if (taken := _take_over(run, name, key)) is not None:
        return load(folder), StageResult(
            name, taken["digest"], taken["seconds"], taken["peak_mb"], skipped=True
        )
    with disk_errors(run.root):
        work = _work_folder(run, name, key)
        seconds, peak_mb = _run_timed(compute, work)
        result = StageResult(name, digest_folder(work), seconds, peak_mb, skipped=False)
        measured = {"digest": result.digest, "seconds": seconds, "peak_mb": peak_mb}
        write_json(work / STAGE_FILE, described | measured)
        replace_folder(work, folder)
        (folder / WORK_FILE).unlink()
    return load(folder), result


def _take_over(run: RunFolder, name: str, key: str) -> dict[str, Any] | None:
    """What a sibling's stage of the same key says of itself, its files now in this run too; None where none has it.

    The files are linked, and copied where links cannot be made: nobody writes into the files of a finished stage.
    """
    for sibling in run.siblings:
        done = read_stage(sibling / name)
        if done.get("key") != key or done.get("digest") != digest_folder(sibling / name):
            continue
        work = run.root / f".{name}.work"
        with disk_errors(run.root):
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(sibling / name, work, copy_function=_link)
            replace_folder(work, run.stage(name))
        return done
    return None


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def digest_folder(folder: Path) -> str:
    """sha256 over the names and contents of a stage's files, its own description aside."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        relative = path.relative_to(folder).as_posix()
        if relative in (STAGE_FILE, WORK_FILE):
            continue
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{relative}\0{content}\n".encode())
    return digest.hexdigest()


def stage_key(name: str, version: int, config: object, inputs: Mapping[str, str]) -> str:
    """What a stage's result is kept under: sha256 over all that it is computed from."""
    described = {"name": name, "version": version, "config": config, "inputs": dict(inputs)}
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def _is_as_described(done: Mapping[str, Any], described: Mapping[str, object]) -> bool:
    """Whether a finished stage says of itself what would be said of it now, and what it took: no byte was changed."""
    wanted = json.loads(json.dumps(described, default=str))
    return all(done.get(name) == value for name, value in wanted.items()) and all(
        _is_number(done.get(name)) for name in ("seconds", "peak_mb")
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _work_folder(run: RunFolder, name: str, key: str) -> Path:
    """The hidden folder in which a stage computes; another key's leftovers are cleared first.

    So are files that a killed process had begun to write: they would be part of the result for ever.
    """
    work = run.root / f".{name}.work"
    mark = work / WORK_FILE
    begun = read_or_nothing(mark)
    if work.exists() and (begun.get("key") != key or not _is_number(begun.get("seconds"))):
        shutil.rmtree(work)
    for partial in work.rglob(".*.partial"):
        partial.unlink()
    if not work.exists():
        work.mkdir()
        write_json(mark, {"key": key, "seconds": 0.0})
    return work


def _run_timed(compute: Callable[[Path], None], work: Path) -> tuple[float, float]:
    """Seconds of this and earlier sittings, and the process's peak memory during this one in MiB."""
    earlier = read_json(work / WORK_FILE)
    reset_peak_memory()
    start = time.perf_counter()
    try:
        compute(work)
    finally:
        seconds = earlier["seconds"] + time.perf_counter() - start
        if shutil.disk_usage(work).free > 2**20:
            write_json(work / WORK_FILE, {**earlier, "seconds": seconds})
    return seconds, peak_memory_mb()
