"""What an export consists of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportedPicture:
    """One picture of the folder, and what belongs to it, by their names in it.

    Attributes:
        camera: its name in the session.
        frame: its index in the session.
        time: seconds, where the session knows it.
        image: the picture's file.
        mask: of the person, if there is one.
        depth: if there is any.
    """

    camera: str
    frame: int
    time: float | None
    image: str
    mask: str | None
    depth: str | None
