"""Loggers of other programs, one adapter a file, each of an extra: `reconstruct --log tensorboard`.

Numbers stay on this machine unless the program's own settings say otherwise, which nothing here does.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.runs.logs import Logger, log_values, logging_to
from simulacra.render.runtime.errors import MissingExtraError

LoggerName = Literal["tensorboard", "trackio", "wandb"]
EXTRAS = {
    "tensorboard": "pip install simulacra[tensorboard]",
    "trackio": "pip install simulacra[trackio]",
    "wandb": "pip install simulacra[wandb]",
}


def make_logger(name: LoggerName, run: Path, config: Mapping[str, Any]) -> Logger:
    """A logger for one run; what it writes of its own begins with the first number.

    Args:
        name: the program.
        run: the folder of the run; TensorBoard's and W&B's files go into its folder ``logs``.
        config: the run's settings, for programs that show them.

    Raises:
        MissingExtraError: the program is not installed.
    """
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"the logger {name} is not installed", remedy=EXTRAS[name]) from error
    if name == "tensorboard":
        from .tensorboard_files import TensorBoardLogger

        return TensorBoardLogger(run / "logs")
    if name == "trackio":
        from .trackio_runs import TrackioLogger

        return TrackioLogger(run.resolve(), config)
    from .wandb_runs import WandbLogger

    return WandbLogger(run.resolve(), config)


@contextmanager
def logging_run(names: Sequence[LoggerName], run: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """What is trained inside is told to the named programs, and at the end the run's scores are.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    with logging_to(*(make_logger(name, run, config) for name in dict.fromkeys(names))):
        yield
        if names:
            from ..report.scores_file import read_scores

            scores = read_scores(run / "evaluate" / "metrics.json")["scores"]
            means = {name: scores[name]["mean"] for name in METRICS if name in scores}
            log_values("scores", 0, {name: mean for name, mean in means.items() if mean is not None})
