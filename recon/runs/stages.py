"""A run on disk: one folder a stage, written atomically, skipped when nothing it depends on has changed.

A stage computes into a hidden work folder beside its place and is renamed into it when complete, so a folder of a
run is always a whole result. A killed stage leaves its work folder behind; if the next run asks for the same thing
(the same key) the stage is given that folder again, and continues from whatever checkpoint it keeps there. The key
is the hash of the stage's name and version, its resolved configuration and the content of its inputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from simulacra.recon.runs.files import disk_errors, read_json, write_json
from simulacra.recon.runs.lock import write_lock
from simulacra.render.runtime.errors import InputError, RunError
from simulacra.render.runtime.whole_files import replace_folder, restore_folder, sync

Record = TypeVar("Record")

RUN_SCHEMA = 1
STAGE_FILE = "stage.json"
RUN_FILE = "run.json"
SESSION_FILE = "session.json"
WORK_FILE = "work.json"
# The order of the work, in which stages are shown; others follow by name. (run.json keeps its keys sorted.)
STAGE_ORDER = ("preflight", "observe", "fit", "refine", "avatar", "evaluate")
# What a run that was killed before its first record leaves: files half written, a lock.
LEFTOVER = re.compile(r"\..*\.(partial|work|old|again)|\.lock")
# Libraries whose versions change the numbers of a run.
RECORDED_PACKAGES = (
    "simulacra",
    "torch",
    "numpy",
    "scipy",
    "numba",
    "opencv-python-headless",
    "ai-edge-litert",
    "av",
)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one reconstruction of one session.

    Attributes:
        siblings: runs of the same session whose stages are taken over where they have the same key.
        parts: where parts of stages are kept that several runs have in common (see recon.runs.parts); None keeps none.
    """

    root: Path
    session_fingerprint: str
    siblings: tuple[Path, ...] = ()
    parts: Path | None = None

    def stage(self, name: str) -> Path:
        """Where a stage's finished record lies."""
        return self.root / name


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


def open_run(root: Path, session_fingerprint: str) -> RunFolder:
    """Makes or reopens the folder of a run.

    Raises:
        RunError: the folder holds something else, or a run of another session.
    """
    check_run_place(root)
    _check_owner(root, session_fingerprint)
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        if not _says_session(root / RUN_FILE):
            with write_lock(root):
                _check_owner(root, session_fingerprint)  # another process may have been first
                described = {"schema": RUN_SCHEMA, "session_fingerprint": session_fingerprint, "stages": {}}
                write_json(root / RUN_FILE, described)
    return RunFolder(root, session_fingerprint)


def _check_owner(root: Path, session_fingerprint: str) -> None:
    """That a folder may hold a run of this session: it does, or holds nothing."""
    # Looked at before run.json is read: another process may just be writing that.
    foreign = _is_foreign(root)
    owner = _owner(root)
    if owner is not None and owner != session_fingerprint:
        raise RunError(
            "the output folder holds a run of another session",
            where=root,
            expected=f"session {session_fingerprint[:12]}",
            found=f"session {owner[:12]}",
            remedy="give another --out, or delete that folder",
        )
    if owner is None and foreign:
        raise _foreign(root)


def check_run_place(root: Path) -> None:
    """That a run can be where the output is named, as far as that is to be seen without reading a session.

    Raises:
        RunError: it is a file, or a folder of something else.
    """
    if root.exists() and not root.is_dir():
        raise RunError("the output is a file, not a folder", where=root, remedy="give another --out")
    with disk_errors(root):
        if _is_foreign(root) and _owner(root) is None:
            raise _foreign(root)


def _is_foreign(root: Path) -> bool:
    return root.is_dir() and not all(_is_leftover(path) for path in root.iterdir())


def _foreign(root: Path) -> RunError:
    return RunError(
        "the output folder is not empty and is not a run",
        where=root,
        remedy="give a new or empty folder as --out",
    )


def check_is_session(root: Path) -> None:
    """That a folder is a session, by the names of its files.

    Raises:
        InputError: it is not.
    """
    if not (root / SESSION_FILE).is_file():
        raise InputError(
            "there is no session",
            where=root,
            expected=f"a folder with {SESSION_FILE}",
            remedy="make one: simulacra import --help",
        )


def check_has_avatar(root: Path) -> None:
    """That a folder is a run whose avatar was finished, by the names of its files.

    Raises:
        RunError: it is not.
    """
    if not (root / RUN_FILE).is_file() or not (root / "avatar" / STAGE_FILE).is_file():
        raise RunError(
            "this is not the folder of a finished run",
            where=root,
            expected="run.json and avatar/ in it",
            remedy="finish it: simulacra reconstruct SESSION --out RUN",
        )


def read_run_file(root: Path) -> dict[str, Any]:
    """What ``run.json`` says.

    Raises:
        RunError: it was damaged, or is of a version that came after this one.
    """
    described = read_json(root / RUN_FILE)
    schema = described.get("schema", RUN_SCHEMA)
    if not isinstance(schema, int) or schema > RUN_SCHEMA:
        versions = described.get("versions")
        maker = versions.get("simulacra") if isinstance(versions, dict) else None
        raise RunError(
            "the run was made by a newer simulacra",
            where=root / RUN_FILE,
            expected=f"schema {RUN_SCHEMA} or earlier",
            found=f"schema {schema}, simulacra {maker or 'unknown'}",
            remedy="use that version, or give another --out",
        )
    return described


def _owner(root: Path) -> str | None:
    """The session of a folder's run: as run.json says, or where that is lost, as the stages say; None if nothing does.

    Raises:
        RunError: run.json is damaged and there is no stage to learn it from.
    """
    if _says_session(root / RUN_FILE):
        return str(read_run_file(root)["session_fingerprint"])
    for path in sorted(root.glob(f"[!.]*/{STAGE_FILE}")):
        inputs = _read_stage(path.parent).get("inputs")
        if isinstance(inputs, dict) and "session" in inputs:
            return str(inputs["session"])
    if (root / RUN_FILE).is_file() and (root / RUN_FILE).stat().st_size:
        read_json(root / RUN_FILE)
    return None


def settle_run(root: Path) -> None:
    """Takes back what a killed process had half done in a run, and removes what is of no use to anybody.

    Stages that lay aside come back; work of an unfinished stage stays, for its continuation. Only for the one who
    writes (`write_lock`).

    Raises:
        RunError: the folder cannot be written.
    """
    with disk_errors(root):
        for name in sorted(path.name for path in root.glob(".*.old")):
            restore_folder(root / name.removeprefix(".").removesuffix(".old"))
        for path in (*root.glob(".*.partial"), *root.glob(f"[!.]*/{WORK_FILE}")):
            path.unlink()
        for path in root.glob(".*.again"):
            shutil.rmtree(path)


def _is_leftover(path: Path) -> bool:
    return bool(LEFTOVER.fullmatch(path.name)) or (
        path.name == RUN_FILE and path.is_file() and not path.stat().st_size
    )


def _says_session(run_file: Path) -> bool:
    return "session_fingerprint" in _read_or_nothing(run_file)


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
    done = _read_stage(folder)
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
        done = _read_stage(sibling / name)
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


def record_begin(run: RunFolder, config: object, **facts: object) -> None:
    """Says in ``run.json`` what is being made; that of a run that was finished once stays until the end of this one."""
    if read_run_file(run.root).get("stages"):
        return
    described = {"schema": RUN_SCHEMA, "session_fingerprint": run.session_fingerprint, "state": "begun"}
    with disk_errors(run.root):
        write_json(run.root / RUN_FILE, {**described, "config": config, "stages": {}, **facts})


def record_run(run: RunFolder, config: object, results: list[StageResult], **facts: object) -> None:
    """Writes ``run.json``: what produced this run, with which versions, how long each stage took."""
    stages = {
        r.name: {"seconds": r.seconds, "peak_mb": r.peak_mb, "skipped": r.skipped, "digest": r.digest}
        for r in results
    }
    described = {
        "schema": RUN_SCHEMA,
        "session_fingerprint": run.session_fingerprint,
        "state": "complete",
        "config": config,
        "versions": library_versions(),
        "commit": source_commit(),
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "stages": stages,
        **facts,
    }
    with disk_errors(run.root):
        write_json(run.root / RUN_FILE, described)
        sync(run.root)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a run's numbers depend on."""
    found = {}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def source_commit() -> str | None:
    """The commit of the source tree that is running, where it is a git checkout."""
    asked = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or None


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


def _read_stage(folder: Path) -> dict[str, Any]:
    """What a finished stage says of itself; nothing where it is absent or damaged, and so computed again."""
    return _read_or_nothing(folder / STAGE_FILE)


def _read_or_nothing(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except RunError:
        return {}


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
    begun = _read_or_nothing(mark)
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


def reset_peak_memory() -> None:
    """Lets the kernel count the peak from now on (Linux); elsewhere the peak is of the whole process."""
    control = Path("/proc/self/clear_refs")
    if control.exists():
        try:
            control.write_text("5")
        except OSError:
            return


def peak_memory_mb() -> float:
    """Largest resident memory since the last reset, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / 2**20 if platform.system() == "Darwin" else usage / 1024
