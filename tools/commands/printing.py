"""What commands print for people: as wide as the terminal, and never broken where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Columns of a file or a pipe, in which nothing has to be broken or cut.
ENDLESS = 100_000


def console() -> Console:
    """For standard output."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=ENDLESS)


def plain(text: str) -> str:
    """Text in which square brackets, which are rich's own, are what they are."""
    return text.replace("[", r"\[")
