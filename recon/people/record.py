"""The people of a capture: where each is at every frame, and whether they can be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.runs.files import read_json, write_arrays, write_json
from simulacra.recon.runs.records import check_arrays, check_count, read_arrays, record_errors
from simulacra.render.runtime.errors import ConfigError

PEOPLE_FILE, FACTS_FILE = "people.npz", "people.json"


@dataclass(frozen=True)
class People:
    """Everybody whom enough cameras see, in the order of the world's x where each is first seen.

    Symbols: ``p`` people, ``t`` frames.

    Attributes:
        names: person1, person2 and so on.
        frames: numbers of the frames in the session.
        points: the pose landmarks in world units, NaN where somebody is not there or a landmark is not known.
        views: how many cameras saw each at the moments that were looked at; the nearest moment's elsewhere.
        heights: of the circle about each body, world units.
        largest: the place of the one of whom there is most in the pictures.
        bystanders: how many others were seen, by fewer cameras or for moments only.
        doubts: in words, who cannot be told from whom.
        chosen: the place of the one who is looked at.
    """

    names: tuple[str, ...]
    frames: Int[np.ndarray, " t"]
    points: Float[np.ndarray, "p t 33 3"]
    views: Int[np.ndarray, "p t"]
    heights: Float[np.ndarray, " p"]
    largest: int = 0
    bystanders: int = 0
    doubts: tuple[str, ...] = ()
    chosen: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def there(self) -> Bool[np.ndarray, "p t"]:
        """Who is there when."""
        return np.isfinite(self.points).all(-1).any(-1)

    def place(self, wanted: str) -> int:
        """The place of a person: ``largest``, or by name.

        Raises:
            ConfigError: there is nobody of that name.
        """
        if wanted == "largest":
            return self.largest
        if wanted not in self.names:
            raise ConfigError(
                "there is nobody of that name",
                where="observe.person",
                expected=f"largest, {', '.join(self.names)}",
                found=wanted,
            )
        return self.names.index(wanted)

    def describe(self) -> tuple[str, ...]:
        """A few words about each: when they are seen, and where they are then."""
        said = []
        for place, name in enumerate(self.names):
            there = self.there()[place]
            seen = self.frames[there]
            middle = np.nanmedian(self.points[place][there], axis=(0, 1))
            span = f"frames {seen[0]} to {seen[-1]}" if len(seen) else "no frame"
            usual = int(np.median(self.views[place][there])) if there.any() else 0
            size = ", the largest" if place == self.largest else ""
            said.append(
                f"{name}{size}: {span}, in {usual} cameras, about x {middle[0]:.1f}, z {middle[2]:.1f}"
            )
        return tuple(said)


def save_people(people: People, folder: Path) -> None:
    """Writes ``people.npz`` and ``people.json``."""
    write_arrays(
        folder / PEOPLE_FILE, frames=people.frames, points=people.points, views=people.views, heights=people.heights
    )  # fmt: skip
    facts = {"names": list(people.names), "bystanders": people.bystanders, "doubts": list(people.doubts)}
    facts |= {"chosen": people.chosen, "largest": people.largest}
    write_json(folder / FACTS_FILE, facts | {"about": list(people.describe())})


def load_people(folder: Path) -> People | None:
    """Reads back what `save_people` wrote; None where it was not.

    Raises:
        RunError: a file is damaged.
    """
    if not (folder / FACTS_FILE).is_file():
        return None
    facts = read_json(folder / FACTS_FILE)
    with record_errors(folder / PEOPLE_FILE):
        arrays = read_arrays(folder / PEOPLE_FILE)
        check_arrays(People, arrays)
        check_count("people", facts["names"], len(arrays["points"]))
        return People(
            names=tuple(map(str, facts["names"])),
            bystanders=int(facts["bystanders"]),
            chosen=int(facts["chosen"]),
            largest=int(facts["largest"]),
            doubts=tuple(map(str, facts["doubts"])),
            **arrays,
        )
