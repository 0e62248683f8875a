"""One session reconstructed with several values of some settings: what they share is computed once."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulacra.recon.runs.configuration import load_config
from simulacra.render.runtime.errors import ConfigError, UserError

MOST_SETTINGS = 200
LONGEST_NAME = 120
# In the sweep's folder, while it is made: what trainings start from.
PARTS = ".parts"


@dataclass(frozen=True)
class SweptSetting:
    """One of the combinations.

    Attributes:
        name: of its run's folder: what is varied.
        options: the settings' text, over the configuration.
        config: what all of it comes to.
    """

    name: str
    options: Mapping[str, str]
    config: Any


def swept_settings(schema: type, file: Path | None, options: Mapping[str, str]) -> list[SweptSetting]:
    """Every combination of the values that are given.

    Values are apart by commas (`60,120,240`), or by semicolons where a value is itself a list (`3,6;1,4`). What is one
    value of its setting as it stands is one value.

    Args:
        schema: of the configuration.
        file: the configuration; None for the defaults.
        options: by dotted name, as on the command line.

    Raises:
        ConfigError: an unknown setting, a value that it cannot have, nothing that is varied, or too much.
    """
    values = {name: _values(schema, file, name, text) for name, text in options.items()}
    varied = [name for name, each in values.items() if len(each) > 1]
    if not varied:
        raise ConfigError(
            "nothing is varied",
            where="the command line",
            expected="a setting with several values: --avatar.steps 60,120,240",
            remedy="`simulacra reconstruct` for a single run",
        )
    combinations = list(itertools.product(*values.values()))
    if len(combinations) > MOST_SETTINGS:
        raise ConfigError(
            "these are more combinations than a sweep makes",
            found=len(combinations),
            expected=f"at most {MOST_SETTINGS}",
        )
    found: dict[str, SweptSetting] = {}
    for combination in combinations:
        chosen = dict(zip(values, combination, strict=True))
        name = _folder_name({key: chosen[key] for key in varied})
        while name in found:
            name += "'"
        found[name] = SweptSetting(name, chosen, load_config(schema, file, chosen))
    return list(found.values())


def _values(schema: type, file: Path | None, name: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(";")]
    if len(parts) > 1 or "," not in text:
        return list(dict.fromkeys(part for part in parts if part))
    try:
        load_config(schema, file, {name: text})
    except ConfigError:
        return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    return [text]


def _folder_name(varied: Mapping[str, str]) -> str:
    """`avatar.steps=60`; what no folder should be called by is a line."""
    said = ",".join(f"{name}={value}" for name, value in varied.items())
    return re.sub(r"[^\w.,=+-]", "_", said)[:LONGEST_NAME]


def run_sweep(
    session: Path,
    settings: Sequence[SweptSetting],
    out: Path,
    config_name: str,
    around: Callable[[SweptSetting, Path, Callable[[], None]], None],
) -> list[Path]:
    """Reconstructs with each setting, into a folder of its own; what another has computed already is taken over.

    Runs that are complete are left as they are, and one that was stopped goes on. What trainings of several settings
    start from is kept in OUT/.parts until all are done.

    Args:
        around: is given each setting, its folder and the work, and does the work: what is done before and after it.

    Raises:
        UserError: of the first that could not be, after all others were tried.
    """
    from simulacra.recon.pipeline import reconstruct

    folders = [out / setting.name for setting in settings]
    failed: UserError | None = None
    for setting, folder in zip(settings, folders, strict=True):
        siblings = tuple(path for path in folders if path != folder and path.is_dir())

        def work(
            setting: SweptSetting = setting, folder: Path = folder, siblings: tuple[Path, ...] = siblings
        ) -> None:
            reconstruct(session, setting.config, folder, config_name, siblings=siblings, parts=out / PARTS)

        print(f"{setting.name}: {folder}", file=sys.stderr, flush=True)
        try:
            around(setting, folder, work)
        except UserError as error:
            print(f"{setting.name}: {error}", file=sys.stderr, flush=True)
            failed = failed or error
    if failed is not None:
        raise failed
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return folders
