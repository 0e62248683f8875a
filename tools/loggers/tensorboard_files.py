"""TensorBoard's event files: `tensorboard --logdir RUN/logs`, or of a folder of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardLogger:
    """One event file; scalars are called `train/l1`, `scores/psnr_fg`."""

    def __init__(self, folder: Path) -> None:
        """The folder is made with the first number."""
        self._folder = folder
        self._writer: Any = None

    def log(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """As `recon.runs.logs.Logger`."""
        import time

        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._writer is None:
            self._writer = EventFileWriter(str(self._folder))
        scalars = [Summary.Value(tag=f"{group}/{name}", simple_value=value) for name, value in values.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))

    def finish(self) -> None:
        """Brings what was logged to the disk."""
        if self._writer is not None:
            self._writer.close()
