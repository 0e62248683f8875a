"""What several commands take, and records as options of the command line."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
import types
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval
from tyro.conf import Positional, arg

from simulacra.recon.runs.ranges import bounds, interval_of
from simulacra.render.runtime.errors import RunError

from .inputs import Input

if TYPE_CHECKING:
    from simulacra.recon.session import Session as Recorded

Source = Annotated[Positional[Path], arg(metavar="SRC"), Input("capture")]
Session = Annotated[Positional[Path], arg(metavar="SESSION"), Input("session")]
Run = Annotated[Positional[Path], arg(metavar="RUN"), Input("run")]
Config = Annotated[str | None, arg(metavar="NAME|FILE.yaml")]
WorldUp = Annotated[Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None, arg(metavar="+x|-x|+y|-y|+z|-z")]
FramesLookedAt = Annotated[int, Interval(ge=1, le=1000)]
# As `render.unseen` has it, which loads PyTorch.
Unseen = Literal["keep", "neutral", "drop"]
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
            named = hint if hint is bool else Annotated[hint, arg(metavar=word_for(hint))]
            fields.append((field.name, as_option(named, field.default), default))
    namespace = {"__doc__": record.__doc__}
    return dataclasses.make_dataclass(
        record.__name__, fields, bases=(record,), namespace=namespace, frozen=True, kw_only=True
    )


def as_option(hint: Any, default: object) -> Any:
    """A parameter's type as the help shows it: values by the words for them, and no default where that is none.

    Args:
        hint: its type.
        default: its default, or a mark that there is none.
    """
    named = any(getattr(extra, "metavar", None) for extra in getattr(hint, "__metadata__", ()))
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    optional = get_origin(plain) in (Union, types.UnionType) and type(None) in get_args(plain)
    if interval_of(hint) or (optional and not named):
        hint = Annotated[hint, arg(metavar=word_for(hint))]
    if default is inspect.Parameter.empty and get_origin(plain) is tuple:
        return Annotated[hint, arg(help_behavior_hint="(required)")]
    # "(default: None)" says nothing that the absence of a default does not.
    return Annotated[hint, arg(help_behavior_hint="")] if default is None or default == () else hint


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


# Endings of files: a folder that is called so would be taken for one.
FILE_ENDINGS = (
    ".ply", ".splat", ".spz", ".glb", ".gltf", ".fbx", ".obj", ".mp4", ".mov", ".avi", ".gif", ".webm", ".png", ".jpg",
    ".json", ".yaml", ".html", ".avatar", ".zip", ".tar", ".gz", ".npz", ".sog",
)  # fmt: skip


def check_file(out: Path, endings: tuple[str, ...], what: str, option: str = "--out") -> None:
    """That a file to be written is called what it will be: another ending is another format, which is not written.

    Raises:
        RunError: another ending, or a folder of that name.
    """
    if out.suffix.lower() not in ("", *endings):
        raise RunError(
            f"{what} is written as {endings[0]}, and the file is called otherwise",
            where=out,
            expected=" or ".join(endings),
            found=out.suffix,
            remedy=f"{option} {shlex.quote(str(out.with_suffix(endings[0])))}; other programs make {out.suffix} of it",
        )
    if out.is_dir():
        raise RunError(
            "a folder has the name of the file", where=out, remedy=f"name a file: {out / f'NAME{endings[0]}'}"
        )


def check_folder(out: Path, what: str) -> None:
    """That a folder to be made is not called as a file is.

    Raises:
        RunError: it is.
    """
    if out.suffix.lower() in FILE_ENDINGS:
        raise RunError(
            f"{what} is a folder, and its name is a file's",
            where=out,
            found=out.suffix,
            remedy=f"name it without the ending: {shlex.quote(str(out.with_suffix('')))}",
        )


def say_session(session: Path) -> None:
    """What the importer noted, what there is now, and the whole next command in the last line."""
    from simulacra.recon.session import load_session

    made = load_session(session)
    for note in made.notes:
        print(f"note: {note}")
    print(f"{session} is made: {say_recorded(made)}. It is checked first when it is reconstructed.")
    if is_linked(made):
        print(
            "Its files are hard links to those it was made of: they take no space, and stay when those are deleted; "
            "who changes one in place changes both."
        )
    print(f"Next: {next_command(session, made)}")


def is_linked(session: Recorded) -> bool:
    """Whether a session shares files with what it was made of."""
    first = {name: source.file for frame in session.frames for name, source in frame.sources.items()}
    return any(session.path(file).stat().st_nlink > 1 for file in first.values())


def next_command(folder: Path, session: Recorded) -> str:
    """The whole command that reconstructs a session with the configuration that fits it.

    Args:
        folder: of the session, as it was named on the command line.
    """
    from .proposal import propose_config

    words = propose_config(session).words()
    return shlex.join(["simulacra", "reconstruct", str(folder), *words, "--out", f"{folder}-run"])


def say_recorded(session: Recorded) -> str:
    """How many cameras, moments and so on, in words."""
    cameras, moments = len(session.cameras), len(session.frames)
    depth = sum(camera.depth_scale is not None for camera in session.cameras)
    parts = [f"{cameras} camera{'s' * (cameras > 1)}", f"{moments} moment{'s' * (moments > 1)}"]
    return ", ".join(
        [*parts, *(["depth" if depth == cameras else f"depth of {depth} cameras"] if depth else [])]
    )
