"""`simulacra import SRC SESSION`: what SRC is, and the command that says so."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from simulacra.render.runtime.errors import InputError

from .arguments import word_for
from .inputs import no_such

if TYPE_CHECKING:
    from simulacra.recon.importers.sniffing import Sighting


def with_found_layout(words: Sequence[str], layouts: Mapping[str, type]) -> list[str]:
    """The words of `import SRC SESSION` with the layout of SRC put in; other words as they are.

    Args:
        words: of the command line.
        layouts: the options of each layout, by its name.

    Raises:
        InputError: SRC is not there, or what it is cannot be told, or the files do not say all that is needed.
    """
    if list(words[:1]) != ["import"] or len(words) < 2 or words[1].startswith("-"):
        return list(words)
    positional = list(itertools.takewhile(lambda word: not word.startswith("-"), words[1:]))
    # A folder may be called as a layout is: videos.
    if words[1] in layouts and not (len(positional) == 2 and Path(words[1]).exists()):
        return list(words)
    if not Path(words[1]).exists() and len(words) > 3 and difflib.get_close_matches(words[1], layouts, 1):
        return list(words)  # a layout that is mistyped
    src = Path(words[1])
    if not src.exists():
        raise no_such(src, "capture", words)
    sighting = _the_one(src, words, layouts)
    layout = sighting.sniffer.layout
    sys.stderr.write(f"note: {sighting.src} is of the layout {layout}: {sighting.reason}\n")
    rest = list(words[2:])
    missing = _needed(layouts[layout], rest)
    if missing and rest and not {"-h", "--help"} & set(rest):
        raise InputError(
            f"the files of a {layout} capture do not say all that is needed",
            where=sighting.src,
            expected="; ".join(f"--{name}, {about}" for name, about in missing.items()),
            found=sighting.reason,
            remedy=f"say it, as it is; perhaps: {_command(sighting, rest, missing)}",
        )
    return ["import", layout, str(sighting.src), *rest]


def _the_one(src: Path, words: Sequence[str], layouts: Mapping[str, type]) -> Sighting:
    from simulacra.recon.importers.sniffing import find_capture, say_unknown

    found = [one for one in find_capture(src) if one.sniffer.layout in layouts]
    if not found or found[0].sniffer.confidence == "possible":
        _refuse_part(src, words)
    if not found:
        raise say_unknown(src)
    if len(found) > 1:
        several = len({one.src for one in found}) > 1
        raise InputError(
            f"there are {len(found)} captures" if several else "it could be a capture of several layouts",
            where=src,
            found="; ".join(f"{one.sniffer.layout}: {one.reason} in {one.src}" for one in found[:6]),
            remedy="import one of them: "
            + " | ".join(
                _command(one, words[2:], _needed(layouts[one.sniffer.layout], words[2:])) for one in found[:2]
            ),
        )
    return found[0]


def _refuse_part(src: Path, words: Sequence[str]) -> None:
    """Refuses a folder of a capture that is in the folder above: `import CAPTURE/videos SESSION`.

    Raises:
        InputError: names the capture.
    """
    from simulacra.recon.importers.sniffing import sniff_layouts

    whole = src.absolute().parent
    found = [one for one in sniff_layouts(whole) if one.sniffer.confidence == "certain"]
    if len(found) == 1:
        raise InputError(
            "this is a part of a capture",
            where=src,
            found=f"{found[0].sniffer.layout} in {whole}: {found[0].reason}",
            remedy=f"import all of it: {shlex.join(['simulacra', 'import', str(whole), *words[2:]])}",
        )


def other_layout(src: Path, layout: str) -> Sighting | None:
    """What a capture is, where it is clearly not of the layout that was said."""
    from simulacra.recon.importers.sniffing import find_capture

    found = find_capture(src) if src.exists() else []
    if len(found) != 1 or found[0].sniffer.confidence == "possible" or found[0].sniffer.layout == layout:
        return None
    return found[0]


def _command(sighting: Sighting, rest: Sequence[str], needed: Mapping[str, object]) -> str:
    """The whole command with what was given, and values for what was not."""
    proposed = list(sighting.sniffer.propose(sighting.src)) if needed else []
    pairs = [pair for pair in zip(proposed[::2], proposed[1::2]) if pair[0].removeprefix("--") in needed]
    more = [word for pair in pairs for word in pair]
    return shlex.join(["simulacra", "import", sighting.sniffer.layout, str(sighting.src), *rest, *more])


def _needed(record: type, rest: Sequence[str]) -> dict[str, str]:
    """The options without a default that were not given, and what each of them is."""
    given, about = _options(rest), _about(record)
    hints = get_type_hints(record, include_extras=True)
    return {
        name: f"{word_for(hints[field.name])}: {about.get(field.name, '')}"
        for field in dataclasses.fields(record)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if (name := field.name.replace("_", "-")) not in given
    }


def _options(words: Sequence[str]) -> set[str]:
    return {
        word.removeprefix("--").partition("=")[0].replace("_", "-") for word in words if word.startswith("--")
    }


def _about(record: type) -> dict[str, str]:
    """What the docstring says of each attribute, in a line."""
    lines = (record.__doc__ or "").partition("Attributes:")[2]
    return {name: text.strip() for name, text in re.findall(r"^\s{4,8}(\w+): (.*)$", lines, re.MULTILINE)}
