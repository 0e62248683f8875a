"""Trackio's local store (`TRACKIO_DIR`): `trackio show --project NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TrackioLogger:
    """One run of a project that is called as the folder around the run; the store is this machine's own."""

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        """Of the folder of a run, absolute, and its settings; nothing is begun before the first number."""
        self._run, self._config = run, config
        self._begun = False

    def log(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """As `recon.runs.logs.Logger`."""
        import trackio

        if not self._begun:
            project = self._run.parent.name or "simulacra"
            trackio.init(project=project, name=self._run.name, config=dict(self._config), resume="allow")
            self._begun = True
        trackio.log({f"{group}/{name}": value for name, value in values.items()}, step=step)

    def finish(self) -> None:
        """Waits until what was logged is stored."""
        import trackio

        if self._begun:
            trackio.finish()
