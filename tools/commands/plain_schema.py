"""The schemas of configurations without the code that they configure: the same keys, ranges and defaults.

The schemas stand beside the code that uses them, which takes seconds to load. What `options.json` says of them suffices
to refuse a mistyped key or a number outside of its range, and to tell what a configuration changes from the defaults.
A value whose type the file does not tell (lists, `TEXT,...`) is taken here as it is; the schema itself reads it later.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from annotated_types import Interval

from simulacra.recon.runs.configuration import config, load_config
from simulacra.recon.runs.yaml_text import parse_yaml, yaml12_scalar

from .options import OPTIONS_FILE, SAME, Description

_RANGED = re.compile(r"(INT|FLOAT) ([^\s,]+?)\.\.([^\s,]+)")
_CHOICES = re.compile(r"[a-z0-9_]+(\|[a-z0-9_]+)*")


def check_configuration(command: str, file: Path | None, overrides: Sequence[str]) -> None:
    """Refuses what a command's configuration cannot be, as `load_config` does with its schema, but at once.

    Args:
        command: one of `CONFIGURED`.
        file: what differs from the defaults; None for nothing.
        overrides: over the file, as on the command line.

    Raises:
        ConfigError: an unknown key, a value outside of its range, or a file that is no configuration.
    """
    load_config(plain_schema(command), file, overrides)


@functools.cache
def plain_schema(command: str) -> type:
    """The schema of a command's configuration as `options.json` describes it."""
    text = (resources.files(__package__) / OPTIONS_FILE).read_text("utf-8")
    return _schema(json.loads(text)[SAME.get(command, command)])


def _schema(described: Description) -> type:
    hints: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, value in described["values"].items():
        if isinstance(value, Mapping):
            branches = [_schema(dict(each)) for each in value["of"] or [value]]
            hints[name] = Union[(*branches, None)]
            make = branches[0]
            defaults[name] = None if value["absent"] else dataclasses.field(default_factory=make)
        else:
            hints[name] = _hint(value[0])
            defaults[name] = dataclasses.field(default_factory=functools.partial(_default, *value))
    return config(type(described["name"], (), {"__annotations__": hints, **defaults}))


def _hint(word: str) -> Any:
    """The type that a word of the help stands for. None is left to the schema: the word does not tell it."""
    if ranged := _RANGED.fullmatch(word):
        kind, low, high = ranged.groups()
        number: Any = {"INT": int, "FLOAT": float}[kind]
        return Annotated[number, Interval(ge=_scalar(low), le=_scalar(high))] | None
    if word == "true|false":
        return bool | None
    if word == "TEXT":
        return str | None
    return Literal[(*map(_scalar, word.split("|")), None)] if _CHOICES.fullmatch(word) else Any


def _default(word: str, text: str) -> Any:
    return text if word == "TEXT" and text != "null" else _scalar(text)


def _scalar(text: str) -> Any:
    return parse_yaml(text, yaml12_scalar).value
