"""The configurations that simulacra brings, and every value of a schema as an option for help and completion."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tyro.conf import arg

from simulacra.render.runtime.errors import ConfigError

from .arguments import word_for


def config_file(given: str | None, folder: str = "") -> Path | None:
    """The file that is meant: a path, or the name of one that simulacra brings (`studio_rgbd`,
    `configs/demo.yaml`).

    Args:
        given: what was said; None is no file.
        folder: of those that simulacra brings; in another they are named with it (`stage/rgbd_ring`).

    Raises:
        ConfigError: there is neither.
    """
    if given is None or _is_file(given):
        return Path(given) if given else None
    brought = brought_configs()
    name = given.removeprefix("configs/").removesuffix(".yaml")
    name = f"{folder}/{name}" if f"{folder}/{name}" in brought else name
    if name not in brought:
        names = names_for(folder)
        near = difflib.get_close_matches(name.rpartition("/")[2], names, n=1)
        raise ConfigError(
            "There is no such configuration",
            where=given,
            expected="a YAML file, or one of " + ", ".join(names),
            found="neither",
            remedy=f"perhaps {near[0]}" if near else None,
        )
    return brought[name]


def names_for(folder: str = "") -> list[str]:
    """What `--config` can be called with: of stage and design those in their folder, of a reconstruction all others.

    Args:
        folder: "stage", "design", or "" for a reconstruction.
    """
    if folder:
        return [n.removeprefix(f"{folder}/") for n in brought_configs() if n.startswith(f"{folder}/")]
    return [name for name in brought_configs() if not name.startswith(("stage/", "design/"))]


def config_name(given: str | None) -> str:
    """What a configuration is called: by its name (`baselines/depth_splats`), or its file's; nothing without one."""
    if given is None or _is_file(given):
        return Path(given).stem if given else ""
    return given.removeprefix("configs/").removesuffix(".yaml")


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except OSError as error:  # a name that is longer than names can be
        raise ConfigError(
            "There can be no such file", where=f"{given[:80]}...", found=error.strerror
        ) from error


def brought_configs() -> dict[str, Path]:
    """The configurations that simulacra brings, by name (`studio_rgbd`, `baselines/depth_splats`)."""
    with resources.as_file(resources.files("simulacra.configs")) as folder:
        return {
            file.relative_to(folder).with_suffix("").as_posix(): file
            for file in sorted(folder.rglob("*.yaml"))
        }


def config_options(schema: type, default: object | None = None) -> type:
    """A dataclass for tyro of every value that `schema` holds, with its help and, as YAML, its default.

    Only help and completion come of it; values are read by `recon.runs.configuration`, which says more
    of what is wrong.

    Args:
        schema: a dataclass of plain values and of dataclasses, or unions of these.
        default: an instance that is the default; the schema's own if None.
    """
    from simulacra.recon.runs.configuration import dump_config

    default = default or schema(**_kind(schema))
    plain = dump_config(default)
    hints = get_type_hints(schema, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(schema):
        value, branches = getattr(default, field.name), _branches(hints[field.name])
        if not branches:
            word = word_for(hints[field.name])
            shown = value if isinstance(value, str) else json.dumps(plain[field.name])
            fields.append((field.name, Annotated[str, arg(metavar=word)], dataclasses.field(default=shown)))
            continue
        each = [config_options(one, value if isinstance(value, one) else None) for one in branches]
        both = each[0] if len(each) == 1 else _join(branches, each)
        fields.append((field.name, both, dataclasses.field(default_factory=both)))
    return dataclasses.make_dataclass(
        schema.__name__, fields, namespace={"__doc__": schema.__doc__}, kw_only=True
    )


def _kind(schema: type) -> dict[str, object]:
    """What one of several schemas has to be told: its only value for the literal without a default."""
    hints = get_type_hints(schema)
    needed = [f.name for f in dataclasses.fields(schema) if f.default is f.default_factory]
    return {name: get_args(hints[name])[0] for name in needed}


def _branches(hint: Any) -> list[type]:
    """The dataclasses that a value can be, where it is one; those in lists are written as YAML."""
    if get_origin(hint) is Annotated:
        return _branches(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [found for inner in get_args(hint) for found in _branches(inner)]
    return [hint] if isinstance(hint, type) and dataclasses.is_dataclass(hint) else []


def _join(schemas: list[type], options: list[type]) -> type:
    """One dataclass with the fields of all, and with every choice of the literal that tells them apart."""
    words: dict[str, dict[str, None]] = {}
    for schema in schemas:
        for name, hint in get_type_hints(schema).items():
            if get_origin(hint) is Literal:
                words.setdefault(name, {})[word_for(hint)] = None
    fields: list[tuple[str, Any, Any]] = [
        (
            name,
            Annotated[str, arg(metavar="|".join(choices))],
            dataclasses.field(default=getattr(options[0], name)),
        )
        for name, choices in words.items()
    ]
    return dataclasses.make_dataclass(options[0].__name__, fields, bases=tuple(options), kw_only=True)
