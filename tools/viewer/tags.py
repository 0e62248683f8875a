"""What people say of views: one JSON object a line, in `tags.jsonl` beside the run's records.

    {"id": ..., "time": ..., "camera": ..., "frame": ..., "tag": ..., "severity": 1..3, "note": ...}

A line is appended in one write under a lock, so that several people, and a process that is killed, leave whole lines. A
later line of the same id replaces the earlier one; with `"removed": true` it takes it back.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulacra.render.runtime.errors import InputError

from .lines import append_line

TAGS_FILE = "tags.jsonl"
LABELS = ("bad hand", "hole", "flicker", "wrong face", "floater", "wrong color")
# Slight, clear, severe.
SEVERITIES = (1, 2, 3)
LONGEST_LABEL, LONGEST_NOTE, LONGEST_CAMERA = 60, 2000, 200


def make_tag(said: Mapping[str, Any]) -> dict[str, Any]:
    """A line out of what a client sent, checked.

    Raises:
        InputError: it is not what a tag is.
    """
    camera, frame = said.get("camera"), said.get("frame")
    if camera is not None and not _is_text(camera, LONGEST_CAMERA):
        raise InputError("a tag's camera is a name", found=repr(camera)[:80])
    if not isinstance(frame, int) or isinstance(frame, bool) or abs(frame) > 2**53:
        raise InputError("a tag's frame is a whole number", found=repr(frame)[:80])
    label = said.get("tag")
    if not _is_text(label, LONGEST_LABEL) or not str(label).strip():
        raise InputError(f"a tag is a text of 1 to {LONGEST_LABEL} characters", found=repr(label)[:80])
    severity = said.get("severity", 2)
    if not isinstance(severity, int) or isinstance(severity, bool) or severity not in SEVERITIES:
        raise InputError("a tag's severity is 1, 2 or 3", found=repr(severity)[:80])
    note = said.get("note", "")
    if not isinstance(note, str) or not _is_text(note.replace("\n", " "), LONGEST_NOTE):
        raise InputError(f"a note is a text of at most {LONGEST_NOTE} characters", found=repr(note)[:80])
    return {
        "id": _id(said.get("id")),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "camera": camera,
        "frame": frame,
        "tag": str(label).strip(),
        "severity": severity,
        "note": note,
        **({"removed": True} if said.get("removed") is True else {}),
    }


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and value.isprintable()


def _id(given: object) -> str:
    if given is None:
        return uuid.uuid4().hex[:12]
    if not isinstance(given, str) or not given.isalnum() or len(given) > 32:
        raise InputError("a tag's id is made of letters and digits", found=repr(given)[:80])
    return given


def append_tag(root: Path, tag: Mapping[str, Any]) -> None:
    """Adds a line to a run's tags, whole or not at all.

    Raises:
        RunError: the run cannot be written.
    """
    append_line(root / TAGS_FILE, tag)


def read_tags(root: Path) -> list[dict[str, Any]]:
    """The tags of a run as they are now, the oldest first; lines that are none are passed over."""
    found: dict[str, dict[str, Any]] = {}
    for tag in _lines(root / TAGS_FILE):
        if tag.get("removed"):
            found.pop(tag["id"], None)
        else:
            found[tag["id"]] = tag
    return list(found.values())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as stream:
            for line in stream:
                try:
                    tag = json.loads(line)
                    yield make_tag(tag) | {"time": str(tag["time"])}
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
                    continue
    except OSError:
        return


def chosen_tags(
    roots: Sequence[tuple[str, Path]], label: str | None = None, severity: int = 1
) -> list[dict[str, Any]]:
    """Tags of several runs, each with its run's name, the most severe first.

    Args:
        roots: names and folders.
        label: only these.
        severity: only those of at least this.
    """
    found = [
        {"run": name, **tag}
        for name, root in roots
        for tag in read_tags(root)
        if tag["severity"] >= severity and label in (None, tag["tag"])
    ]
    return sorted(found, key=lambda tag: -tag["severity"])
