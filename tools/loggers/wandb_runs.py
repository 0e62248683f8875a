"""Weights & Biases, offline: `wandb sync RUN/logs/wandb/offline-run-*` uploads a run, if you want that.

`WANDB_MODE=online`, which only you can set, sends numbers while they are made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

Mode = Literal["offline", "online", "disabled", "shared"]


class WandbLogger:
    """One run of a project that is called as the folder around the run.

    Each group has steps of its own, so that a first training and the training do not share a clock.
    """

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        """Of the folder of a run, absolute, and its settings; nothing is begun before the first number."""
        self._run, self._config = run, config
        self._groups: set[str] = set()
        self._wandb: Any = None

    def log(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """As `recon.runs.logs.Logger`."""
        import wandb

        if self._wandb is None:
            (self._run / "logs").mkdir(exist_ok=True)
            self._wandb = wandb.init(
                project=self._run.parent.name or "simulacra",
                name=self._run.name,
                config=dict(self._config),
                dir=str(self._run / "logs"),
                mode=cast(Mode, os.environ.get("WANDB_MODE", "offline")),
            )
        if group not in self._groups:
            self._groups.add(group)
            self._wandb.define_metric(f"{group}/step")
            self._wandb.define_metric(f"{group}/*", step_metric=f"{group}/step")
        self._wandb.log({f"{group}/step": step} | {f"{group}/{name}": v for name, v in values.items()})

    def finish(self) -> None:
        """Brings what was logged to the disk."""
        if self._wandb is not None:
            self._wandb.finish()
