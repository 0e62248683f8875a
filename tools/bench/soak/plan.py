"""Events out of a seed: which command, on which state, disturbed by what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reference import OF_RUN, STAGES

# What each is, for the table's reader, is in docs/reliability.md. The numbers say how often, relatively.
COMMAND_SHARE = {
    "reconstruct": 50,
    "evaluate": 10,
    "evaluate-others": 5,
    "export": 7,
    "animate": 5,
    "check": 5,
    "export-colmap": 4,
    "export-nerfstudio": 4,
    "import": 6,
    "stage": 4,
}
KIND_SHARE = {
    "peace": 4,
    "kill": 24,
    "power": 10,
    "fault": 24,
    "disk": 12,
    "corrupt": 14,
    "session": 12,
    "writers": 14,
    "leftovers": 6,
}
# Kinds that say nothing about some commands.
NEEDS_RUN = ("power", "corrupt", "writers")
NO_SESSION = ("export", "animate", "stage")


@dataclass(frozen=True)
class Event:
    """One disturbed command.

    Attributes:
        seed: of the soak.
        number: of the event in it; both together decide everything that is drawn.
        kind: of `KIND_SHARE`.
        command: of `COMMAND_SHARE`.
        start: what RUN holds before: how many finished stages of the same configuration, or the whole run of another.
    """

    seed: int
    number: int
    kind: str
    command: str
    start: int | str

    def draws(self) -> np.random.Generator:
        """For everything else that is drawn."""
        return np.random.default_rng([self.seed, self.number, 1])


def draw_event(seed: int, number: int) -> Event:
    """The event of a number."""
    draws = np.random.default_rng([seed, number])
    command = _choose(draws, COMMAND_SHARE)
    kinds = {kind: share for kind, share in KIND_SHARE.items() if _says_something(kind, command)}
    kind = _choose(draws, kinds)
    start: int | str = int(draws.integers(len(STAGES) + 1))
    if draws.random() < 0.15:
        start = "b" if draws.random() < 0.7 else "c"
    return Event(seed, number, kind, command, start if command == "reconstruct" else len(STAGES))


def _says_something(kind: str, command: str) -> bool:
    if kind == "session":
        return command not in NO_SESSION
    if kind == "power":
        return command in ("reconstruct", "evaluate", "evaluate-others")
    return kind not in NEEDS_RUN or command in OF_RUN


def _choose(draws: np.random.Generator, shares: dict[str, int]) -> str:
    weights = np.array(list(shares.values()), float)
    return str(draws.choice(list(shares), p=weights / weights.sum()))
