"""`simulacra view`: runs and captures looked at, judged and tagged in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from tyro.conf import Positional, arg

Looked = Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN|SESSION|FOLDER ...")]
TAG_COLUMNS = ("severity", "tag", "run", "camera", "frame", "note")
Port = Annotated[int | None, Interval(ge=0, le=65535)]


def view(
    what: Looked,
    /,
    host: str = "127.0.0.1",
    port: Port = None,
    expose: bool = False,
    labels: Annotated[tuple[str, ...], arg(metavar="TEXT [TEXT ...]")] = (),
    tags: bool = False,
    tag: Annotated[str | None, arg(metavar="TEXT")] = None,
    severity: Annotated[int, Interval(ge=1, le=3)] = 1,
) -> None:
    """Look at runs and captures in a browser: compare, judge, tag, turn, pose. Nothing leaves this machine.

    Args:
        what: runs, captures, or folders in which they are.
        host: where to listen. Anything but this machine's own loopback needs --expose.
        port: where to listen; the first free one from 8765 on if not given, any free one for 0.
        expose: let others in who have the token that is printed then.
        labels: what views are tagged with, instead of the usual list.
        tags: print what these runs were tagged with, and end.
        tag: of the tags print only those of this name.
        severity: of the tags print only those that are at least so severe, 1 to 3.
    """
    if tags:
        _print_tags(what, tag, severity)
        return
    from ..viewer.serve import serve

    serve(what, labels, host, port, expose)


def _print_tags(what: tuple[Path, ...], label: str | None, severity: int) -> None:
    """A heading, and a line a tag, the most severe first; the words between tabs, for programs."""
    from ..viewer.entries import find_entries
    from ..viewer.tags import chosen_tags

    print("\t".join(TAG_COLUMNS))
    roots = [(entry.name, entry.path) for entry in find_entries(what)]
    for found in chosen_tags(roots, label, severity):
        words = [found[column] for column in TAG_COLUMNS]
        print("\t".join("" if word is None else " ".join(str(word).split()) for word in words))
