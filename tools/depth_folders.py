"""`simulacra import color-depth`: options of the command line as the importer's records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simulacra.recon.importers.color_depth import Intrinsics, import_color_depth
from simulacra.recon.importers.color_depth_files import Folders
from simulacra.render.runtime.errors import ConfigError


def run_import(
    src: Path,
    session: Path,
    intrinsics: tuple[float | None, float | None, float | None, float | None],
    matches: str | None,
    names: tuple[str | None, str | None, str | None, str | None],
    **options: Any,
) -> None:
    """Calls the importer; `matches` is seconds where it is a number, and a file otherwise.

    Raises:
        ConfigError: some of the four intrinsics are given and others not.
        InputError, CalibrationError, RunError: see `import_color_depth`.
    """
    given = [value for value in intrinsics if value is not None]
    if given and len(given) < 4:
        raise ConfigError("Intrinsics are four numbers", expected="--fx --fy --cx --cy", found=len(given))
    try:
        within: Path | float | None = None if matches is None else float(matches)
    except ValueError:
        within = Path(matches or "")
    import_color_depth(
        src,
        session,
        intrinsics=Intrinsics(*given) if given else None,
        folders=Folders(*names),
        matches=within,
        **options,
    )
