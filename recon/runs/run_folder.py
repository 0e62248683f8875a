"""The folder of a run: whose it is, whether it may be written, and what may lie in it.

One folder a stage, and ``run.json`` beside them. What is not a run, or one of another session, is refused before
anything is written; what a killed process left half done is taken back by whoever writes next.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulacra.recon.runs.files import disk_errors, read_json, write_json
from simulacra.recon.runs.lock import write_lock
from simulacra.render.runtime.errors import InputError, RunError
from simulacra.render.runtime.whole_files import restore_folder

RUN_SCHEMA = 1
STAGE_FILE = "stage.json"
RUN_FILE = "run.json"
SESSION_FILE = "session.json"
WORK_FILE = "work.json"
# The order of the work, in which stages are shown; others follow by name. (run.json keeps its keys sorted.)
STAGE_ORDER = ("preflight", "observe", "fit", "refine", "avatar", "evaluate")
# What a run that was killed before its first record leaves: files half written, a lock.
LEFTOVER = re.compile(r"\..*\.(partial|work|old|again)|\.lock")


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


def read_stage(folder: Path) -> dict[str, Any]:
    """What a finished stage says of itself; nothing where it is absent or damaged, and so computed again."""
    return read_or_nothing(folder / STAGE_FILE)


def read_or_nothing(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except RunError:
        return {}


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


def _is_foreign(root: Path) -> bool:
    return root.is_dir() and not all(_is_leftover(path) for path in root.iterdir())


def _foreign(root: Path) -> RunError:
    return RunError(
        "the output folder is not empty and is not a run",
        where=root,
        remedy="give a new or empty folder as --out",
    )


def _owner(root: Path) -> str | None:
    """The session of a folder's run: as run.json says, or where that is lost, as the stages say; None if nothing does.

    Raises:
        RunError: run.json is damaged and there is no stage to learn it from.
    """
    if _says_session(root / RUN_FILE):
        return str(read_run_file(root)["session_fingerprint"])
    for path in sorted(root.glob(f"[!.]*/{STAGE_FILE}")):
        inputs = read_stage(path.parent).get("inputs")
        if isinstance(inputs, dict) and "session" in inputs:
            return str(inputs["session"])
    if (root / RUN_FILE).is_file() and (root / RUN_FILE).stat().st_size:
        read_json(root / RUN_FILE)
    return None


def _is_leftover(path: Path) -> bool:
    return bool(LEFTOVER.fullmatch(path.name)) or (
        path.name == RUN_FILE and path.is_file() and not path.stat().st_size
    )


def _says_session(run_file: Path) -> bool:
    return "session_fingerprint" in read_or_nothing(run_file)
