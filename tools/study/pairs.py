"""Which renders are put side by side: two runs of one capture, the same view, against the same photograph."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulacra.recon.runs.run_folder import read_run_file
from simulacra.render.runtime.errors import InputError

VIEWS = Path("evaluate") / "views"
_PHOTO = re.compile(r"(?P<camera>.+)_(?P<frame>\d{6})_photo\.png")


@dataclass(frozen=True)
class Compared:
    """A run of the study.

    Attributes:
        name: by which answers know it: the folder's, unlike any other's.
        root: its folder.
        session: of which capture it is.
    """

    name: str
    root: Path
    session: str


@dataclass(frozen=True)
class Pair:
    """Two renders of one view.

    Attributes:
        a: a run.
        b: another.
        digests: of both renders, so that answers are not taken for those of later ones.
    """

    a: Compared
    b: Compared
    camera: str
    frame: int
    digests: tuple[str, str]

    def picture(self, which: str) -> Path:
        """The file of `a`, `b` or the `photo`."""
        run = self.b if which == "b" else self.a
        kind = "photo" if which == "photo" else "render"
        return run.root / VIEWS / f"{self.camera}_{self.frame:06d}_{kind}.png"

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What the pair is of, whichever side its renders are on."""
        return self.a.name, self.b.name, self.camera, self.frame


def compared_runs(paths: Sequence[Path]) -> list[Compared]:
    """The runs of a study.

    Raises:
        InputError: fewer than two, two of one name, or one without pictures of scored views.
        RunError: one is damaged.
    """
    if len(paths) < 2:
        raise InputError("A study compares at least two runs", found=f"{len(paths)}")
    found = []
    for path in paths:
        if not (path / VIEWS).is_dir():
            raise InputError(
                "A run has no pictures of scored views", where=path, remedy="reconstruct or evaluate it first"
            )
        session = str(read_run_file(path).get("session_fingerprint"))
        found.append(Compared(path.resolve().name, path, session))
    names = [run.name for run in found]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise InputError(
            "Two runs have the same name, by which answers would know them", found=", ".join(sorted(doubled)),
            remedy="rename a folder",
        )  # fmt: skip
    return found


def find_pairs(runs: Sequence[Compared]) -> list[Pair]:
    """All pairs, each view of which was scored against the same photograph in both runs.

    Raises:
        InputError: there is none.
    """
    views = {run.name: _views(run) for run in runs}
    found = []
    for a, b in itertools.combinations(sorted(runs, key=lambda run: run.name), 2):
        if a.session != b.session:
            continue
        for view in sorted(views[a.name].keys() & views[b.name].keys()):
            one, other = views[a.name][view], views[b.name][view]
            if one[0] == other[0]:
                found.append(Pair(a, b, *view, (one[1], other[1])))
    if not found:
        raise InputError(
            "No two of these runs can be compared",
            expected="runs of one capture that scored the same views at the same size",
            found=", ".join(f"{run.name}: {len(views[run.name])} views" for run in runs),
        )
    return found


def order_of(pairs: Sequence[Pair], who: str, seed: int) -> list[tuple[int, bool]]:
    """In which order a person sees the pairs, as places among them, and whether `a` is on the left."""
    # A text as the seed is hashed by its letters, the same in every process.
    rng = random.Random(f"{seed} {who}")
    places = list(range(len(pairs)))
    rng.shuffle(places)
    return [(place, rng.random() < 0.5) for place in places]


def _views(run: Compared) -> dict[tuple[str, int], tuple[str, str]]:
    """Digests of photograph and render by view."""
    found = {}
    for photo in sorted((run.root / VIEWS).iterdir()):
        named = _PHOTO.fullmatch(photo.name)
        render = photo.with_name(photo.name.replace("_photo.png", "_render.png"))
        if named and render.is_file():
            found[named["camera"], int(named["frame"])] = (_digest(photo), _digest(render))
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
