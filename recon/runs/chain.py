"""Whether the records of a run are whole and belong together: checked wherever they are opened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.run_folder import STAGE_FILE
from simulacra.recon.runs.stages import digest_folder, stage_key
from simulacra.render.runtime.errors import RunError

REMEDY = (
    "the same `simulacra reconstruct` into this run, to the end, makes again what does not fit; `simulacra repair` "
    "says what that is"
)


def check_records(root: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Checks that stages of a run are what they say, and were made of the stages that lie beside them.

    Every byte of the named stages is read once. Of stages that they were made of and that are not named, only the
    description is looked at, where it is there.

    Returns:
        what each named stage says of itself (its ``stage.json``), by its name.

    Raises:
        RunError: a stage is absent or damaged, or was made of another record than the one in the run.
    """
    checked = {name: _check_stage(root, name) for name in names}
    for name, described in checked.items():
        for source, digest in described["inputs"].items():
            beside = root / source / STAGE_FILE
            if not beside.is_file():
                continue
            found = str(read_json(beside).get("digest"))
            if found != digest:
                raise RunError(
                    f"the stage {name} was made of another {source} than the one in this run",
                    where=root / name,
                    expected=f"{source} {str(digest)[:12]}",
                    found=f"{source} {found[:12]}",
                    remedy=REMEDY,
                )
    return checked


def finished_stages(root: Path) -> tuple[str, ...]:
    """Names of the stages that have a description, in alphabetical order."""
    found = root.glob(f"[!.]*/{STAGE_FILE}")
    return tuple(sorted(path.parent.name for path in found))


def _check_stage(root: Path, name: str) -> dict[str, Any]:
    folder = root / name
    if not (folder / STAGE_FILE).is_file():
        raise RunError(
            f"the stage {name} is not in this run",
            where=root,
            expected=f"a folder {name}, with its {STAGE_FILE}",
            remedy=REMEDY,
        )
    described = read_json(folder / STAGE_FILE)
    try:
        key = stage_key(name, described["version"], described["config"], dict(described["inputs"]))
        said, digest = str(described["key"]), str(described["digest"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"the description of the stage {name} is damaged",
            where=folder / STAGE_FILE,
            found=repr(error),
            remedy=REMEDY,
        ) from error
    for what, expected, found in (
        ("description", said, key),
        ("content", digest, digest_folder(folder)),
    ):
        if expected != found:
            raise RunError(
                f"the {what} of the stage {name} is not what was written",
                where=folder,
                expected=expected[:12],
                found=found[:12],
                remedy=REMEDY,
            )
    return described
