"""What several commands take, and records as options of the command line."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval
from tyro.conf import Positional, arg

from simulacra.recon.runs.ranges import bounds

Source = Annotated[Positional[Path], arg(metavar="SRC")]
Session = Annotated[Positional[Path], arg(metavar="SESSION")]
Run = Annotated[Positional[Path], arg(metavar="RUN")]
Config = Annotated[str | None, arg(metavar="NAME|FILE.yaml")]
WorldUp = Annotated[Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None, arg(metavar="+x|-x|+y|-y|+z|-z")]
FramesLookedAt = Annotated[int, Interval(ge=1, le=1000)]
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]


def options_of(record: type) -> Any:
    """A frozen dataclass for tyro: the same record, its values asked for by the words that `word_for` has for them."""
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(record):
        hint = get_type_hints(record, include_extras=True)[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = options_of(hint)
            fields.append(
                (field.name, Annotated[inner, arg(name="")], dataclasses.field(default_factory=inner))
            )
        else:
            default = dataclasses.field(default=field.default)
            fields.append(
                (field.name, hint if hint is bool else Annotated[hint, arg(metavar=word_for(hint))], default)
            )
    named = {"__doc__": record.__doc__}
    return dataclasses.make_dataclass(
        record.__name__, fields, bases=(record,), namespace=named, frozen=True, kw_only=True
    )


def word_for(hint: Any) -> str:
    """What the help calls a value: the text that its type is annotated with, its choices, or its type's name, and the
    range that it has.
    """
    if get_origin(hint) is Annotated:
        words = [extra for extra in hint.__metadata__ if isinstance(extra, str)]
        ranges = [bounds(extra) for extra in hint.__metadata__ if isinstance(extra, Interval)]
        return " ".join([*(words[:1] or [word_for(get_args(hint)[0])]), *ranges])
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return "|".join(dict.fromkeys(word_for(each) for each in get_args(hint) if each is not type(None)))
    if get_origin(hint) in (tuple, list):
        return ",".join(word_for(each) if each is not ... else "..." for each in get_args(hint))
    if hint is bool:
        return "true|false"
    return "TEXT" if hint is str else getattr(hint, "__name__", str(hint)).upper()


def say_session(session: Path) -> None:
    """What the importer noted, and what to do next."""
    from simulacra.recon.session import load_session

    for note in load_session(session).notes:
        print(f"note: {note}")
    print(f"{session} is made. Next: simulacra reconstruct {session} --config NAME --out RUN")
