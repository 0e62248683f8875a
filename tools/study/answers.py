"""What people said, one JSON object a line, in a file of the study's own.

    {"id": ..., "time": ..., "who": ..., "seed": ..., "a": RUN, "b": RUN, "digests": [..., ...], "camera": ...,
     "frame": ..., "left": RUN, "answer": "left" | "right" | "same", "seconds": ...}

A later line of the same pair and person replaces the earlier one; `{"removed": true}` with the same pair takes it back.
"""

from __future__ import annotations

import datetime
import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulacra.render.runtime.errors import InputError

from ..viewer.lines import append_line
from .pairs import Pair

CHOICES = ("left", "right", "same")
LONGEST_NAME = 60


@dataclass(frozen=True)
class Answer:
    """One judgement.

    Attributes:
        who: a name or initials that the person chose; may be empty.
        score: 1 if `a` is more like the photograph, 0 if `b`, a half if neither.
    """

    who: str
    a: str
    b: str
    camera: str
    frame: int
    score: float


def check_who(said: object) -> str:
    """Who answers.

    Raises:
        InputError: no short text.
    """
    if not isinstance(said, str) or len(said) > LONGEST_NAME or not said.isprintable():
        raise InputError(f"a name is a text of at most {LONGEST_NAME} characters", found=repr(said)[:80])
    return said.strip()


def add_answer(
    path: Path, pair: Pair, who: str, seed: int, is_a_left: bool, choice: object, seconds: object
) -> None:
    """Adds a line.

    Args:
        choice: of `CHOICES`, or None to take the last one back.

    Raises:
        InputError: it is no answer.
        RunError: the file cannot be written.
    """
    if choice is not None and choice not in CHOICES:
        raise InputError("an answer is left, right or same", found=repr(choice)[:80])
    took = float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else None
    said: dict[str, Any] = {
        "id": uuid.uuid4().hex[:12],
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "who": who,
        "seed": seed,
        "a": pair.a.name,
        "b": pair.b.name,
        "digests": list(pair.digests),
        "camera": pair.camera,
        "frame": pair.frame,
        "left": pair.a.name if is_a_left else pair.b.name,
    }
    said |= {"removed": True} if choice is None else {"answer": choice, "seconds": took}
    append_line(path, said)


def read_answers(path: Path, pairs: Sequence[Pair]) -> tuple[list[Answer], int]:
    """What was said of these very renders, and how many lines are of others, or are none."""
    known = {pair.key: pair for pair in pairs}
    found: dict[tuple[object, ...], Answer] = {}
    others = 0
    for said in _lines(path):
        try:
            key = (str(said["a"]), str(said["b"]), str(said["camera"]), int(said["frame"]))
            who = check_who(said["who"])
            choice, is_a_left = said.get("answer"), said["left"] == said["a"]
            same_renders = key in known and tuple(said["digests"]) == known[key].digests
        except (KeyError, TypeError, ValueError, AttributeError, InputError):
            others += 1
            continue
        if not same_renders or (choice not in CHOICES and not said.get("removed")):
            others += 1
        elif said.get("removed"):
            found.pop((who, *key), None)
        else:
            score = 0.5 if choice == "same" else float((choice == "left") == is_a_left)
            found[who, *key] = Answer(who, *key, score)
    return list(found.values()), others


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Each line as an object; an empty one for what is none."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for line in stream:
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                said = None
            yield said if isinstance(said, dict) else {}
