"""`simulacra stage`: reads the configuration and records the capture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from simulacra.recon.runs.configuration import format_config, load_config
from simulacra.recon.runs.progress import track
from simulacra.render.runtime.errors import RunError

from ..reconstruct import config_file


def run_stage_command(
    out: Path | None, config: str | None, overrides: Sequence[str] = (), *, print_config: bool = False
) -> None:
    """Record a virtual session, or with `print_config` only say what it would be.

    Raises:
        ConfigError: no such configuration, an unknown key, a wrong value, a studio that cannot be built.
        RunError: no output folder was named, there is something in it, or it cannot be written.
    """
    from .capture import record_session
    from .config import VirtualCaptureConfig

    settings = load_config(VirtualCaptureConfig, config_file(config, "stage"), overrides)
    if print_config:
        sys.stdout.write(format_config(settings))
        return
    if out is None:
        raise RunError("A folder for the session is needed", remedy="say which: --out SESSION")
    session = record_session(settings, out, lambda frames, total: track(frames, "recording", total))
    print(
        f"{out}: {len(session.frames)} frames of {len(session.cameras)} cameras, their truth in {out / 'truth'}\n"
        f"Next: simulacra check {out}; simulacra reconstruct {out} --config NAME --out RUN"
    )
