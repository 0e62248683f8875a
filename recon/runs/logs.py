"""Where numbers of a training go besides the run's own records: to loggers, of which the process has any or none.

Like progress it is a matter of the process, not of the mathematics: what is trained does not know who listens, and is
the same bit for bit whether anybody does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable


@runtime_checkable
class Logger(Protocol):
    """Where numbers go. A program's own is any object with these methods."""

    def log(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step.

        Args:
            group: what they are of: `train`, `align` (the first training, of the cameras) or `scores`.
            step: counts from 0 within the group; a continued training goes on where its checkpoint was, so that a step
                may come twice.
            values: by name.
        """

    def finish(self) -> None:
        """Nothing comes after this; also called where the work was stopped."""


_LOGGERS: ContextVar[tuple[Logger, ...]] = ContextVar("loggers", default=())


@contextmanager
def logging_to(*loggers: Logger) -> Iterator[None]:
    """Whatever is trained inside tells these loggers its losses; they are finished at the end."""
    token = _LOGGERS.set((*_LOGGERS.get(), *loggers))
    try:
        yield
    finally:
        _LOGGERS.reset(token)
        for logger in loggers:
            logger.finish()


def log_values(group: str, step: int, values: Mapping[str, float]) -> None:
    """Tells all loggers of the process; nothing where there are none."""
    for logger in _LOGGERS.get():
        logger.log(group, step, values)
