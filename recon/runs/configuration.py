"""Configuration: frozen dataclasses beside the code, YAML files with what differs, and the command line above
both.

The schema is the dataclass (`config` below makes one). A file names only what differs from the defaults. What
it says is checked strictly, so that `steps: yes` is not 1; an unknown key or a wrong type is an error that
names the file, the line, the key and the nearest valid one. YAML is read as version 1.2 reads it: only `true`
and `false` are truth values, `1e-3` is a number, and `01` (a camera's name) is text.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import json
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import ArgsKwargs

from simulacra.recon.runs.ranges import shown, wanted
from simulacra.recon.runs.schema import branch_of, config_keys, fields_of, hint_at
from simulacra.recon.runs.yaml_text import Key, YamlTextError, format_yaml, parse_yaml, yaml12_scalar
from simulacra.render.runtime.errors import ConfigError

Config = TypeVar("Config")
# Where a key was said.
Place = Callable[[Key], str]
# A configuration with every value is 4 kB; one of lists of cameras and variants some times that.
MOST_BYTES = 256 << 10
# The longest path that Linux takes.
LONGEST_TEXT = 4096
# What values were called before, by section and key; read likewise, and without a word: old runs are full of them.
OLD_VALUES = {("avatar", "kind"): {"avatar": "gaussians"}}
# Names that sections had before: in files and options they are read as the new ones, which is said once on stderr.
OLD_SECTIONS = {"splat": "avatar", "colour": "color"}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[Config]) -> type[Config]:
    """Makes a class a configuration: frozen, keyword-only, its types and ranges checked when it is constructed.

    A whole number is accepted for a float, and from a file a list for a tuple; nothing else is converted. Every number
    has its range beside it (`recon.runs.ranges`); one that is not finite is in none. The class raises a ConfigError for
    what it refuses.
    """
    rules = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, str_max_length=LONGEST_TEXT)
    made = pydantic_dataclass(frozen=True, kw_only=True, config=rules)(cls)
    _check_when_made(made)
    return made  # type: ignore[return-value]


def load_config(
    cls: type[Config], path: Path | None, overrides: Mapping[str, str] | Sequence[str] = ()
) -> Config:
    """The configuration that a file and the command line together describe.

    Args:
        cls: a frozen dataclass, its fields plain values, Literals, tuples, dataclasses or unions of those.
        path: a YAML file with what differs from the defaults; None is the defaults.
        overrides: over the file; `{"avatar.steps": "500"}` or `["--avatar.steps", "500", "--seed=3"]`.

    Raises:
        ConfigError: an unreadable file, an unknown key, a wrong type, a value that the dataclass refuses.
    """
    tree, place = _parse(_read(path), path)
    _check_keys(cls, tree, (), place)
    pairs = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
    given: dict[Key, str] = {}
    for dotted, value in pairs.items():
        where = f"--{dotted} on the command line"
        given[_set(cls, tree, tuple(dotted.split(".")), value, where)] = where
    return _validate(cls, tree, lambda key: _nearest_override(given, key) or place(key))


def changed_config(cfg: Config, changes: Mapping[str, Any], where: str) -> Config:
    """A configuration with other values: `{"rig.count": 4, "depth": None}`.

    Args:
        where: who asked for it, for errors.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    tree = dump_config(cfg)
    for dotted, value in changes.items():
        _set(type(cfg), tree, tuple(dotted.split(".")), json.dumps(value), where)
    _check_keys(type(cfg), tree, (), lambda _: where)
    return _validate(type(cfg), tree, lambda _: where)


def parse_overrides(arguments: Sequence[str]) -> dict[str, str]:
    """`["--avatar.steps", "500", "--seed=3"]` as `{"avatar.steps": "500", "seed": "3"}`.

    Raises:
        ConfigError: an option without a value, a value without an option, or an option twice.
    """
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("--") or (not equals and not rest):
            raise ConfigError(
                "An option for the configuration is a name and a value",
                where="the command line",
                expected="--avatar.steps 500",
                found=option,
            )
        key = option.removeprefix("--").replace("-", "_")
        if key in found:
            raise ConfigError("An option is given twice", where="the command line", found=option)
        found[key] = value if equals else rest.pop(0)
    return found


def dump_config(cfg: object) -> dict[str, Any]:
    """Every value of a configuration, as plain dictionaries, lists, numbers and text."""
    return pydantic.TypeAdapter(type(cfg)).dump_python(cfg, mode="json")


def format_config(cfg: object) -> str:
    """Every value of a configuration as YAML, which `load_config` reads back to an equal one."""
    return format_yaml(dump_config(cfg))


# -- files ----------------------------------------------------------------------------------------


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        if not path.is_file():
            raise ConfigError("The configuration cannot be read", where=path, found="no file")
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(
                "The configuration is too large",
                where=path,
                expected=f"at most {MOST_BYTES} bytes",
                found=path.stat().st_size,
            )
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError("The configuration cannot be read", where=path, found=reason) from error


def _parse(text: str, path: Path | None) -> tuple[dict[str, Any], Place]:
    """What a file says, and where in it a key stands, or the nearest key above it."""
    source = str(path) if path else "the defaults"
    try:
        parsed = parse_yaml(text, yaml12_scalar)
    except YamlTextError as error:
        where = source if error.line is None else f"{source}, line {error.line}"
        raise ConfigError("The configuration is not YAML", where=where, found=error) from error
    tree = {} if parsed.value is None else parsed.value
    if not isinstance(tree, dict):
        raise ConfigError(
            "The configuration is not a list of keys with values",
            where=path,
            expected="for example `avatar:` and below it, indented, `steps: 500`",
            found=shown(tree)[:80],
        )
    renamed = {tuple(OLD_SECTIONS.get(str(part), part) for part in key): n for key, n in parsed.lines.items()}
    lines = renamed | parsed.lines

    def place(key: Key) -> str:
        above = [lines[key[:depth]] for depth in range(len(key), 0, -1) if key[:depth] in lines]
        return f"{source}, line {above[0]}" if above else source

    return tree, place


# -- keys ------------------------------------------------------------------------------------------


def _name_in(cls: type, name: Any) -> Any:
    """What `cls` calls a field: another name only where it was renamed."""
    new = OLD_SECTIONS.get(name)
    if new is None or name in fields_of(cls) or new not in fields_of(cls):
        return name
    _note_new_name(name, new)
    return new


@functools.cache
def _note_new_name(name: str, new: str) -> None:
    sys.stderr.write(f"note: {name!r} in a configuration is called {new!r} now\n")


def _check_keys(cls: type, tree: dict[str, Any], prefix: Key, place: Place) -> None:
    """Renames what has an old name, in place, and refuses what there is not."""
    hints = typing.get_type_hints(cls)
    for given in list(tree):
        value, name = tree.pop(given), _name_in(cls, given)
        key = (*prefix, name)
        if name in tree:
            raise ConfigError(
                f"The configuration has {_join_key(key)!r} under an old name too",
                where=place(key),
                found=given,
                remedy=f"keep {name!r}",
            )
        tree[name] = value
        if name not in fields_of(cls):
            raise _unknown_key(cls, key, place(key))
        _rename_values(tree, key)
        value = tree[name]
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, item in items:
            branch = branch_of(hints[name], item) if isinstance(item, dict) else None
            if branch:
                _check_keys(branch, item, key if index is None else (*key, index), place)


def _rename_values(tree: dict[str, Any], key: Key) -> None:
    """Gives what stands under the last part of `key` its name of today, in place; of a section its values."""
    name = str(key[-1])
    value = tree[name]
    for below, names in OLD_VALUES.items():
        if isinstance(value, dict) and key == below[:-1] and below[-1] in value:
            value[below[-1]] = _today(names, value[below[-1]])
        elif key == below:
            tree[name] = _today(names, value)


def _today(names: Mapping[str, str], value: Any) -> Any:
    return names.get(value, value) if isinstance(value, str) else value


def _unknown_key(cls: type, key: Key, where: str) -> ConfigError:
    """`cls` is the dataclass in which the last part of `key` was looked for."""
    prefix = "".join(f"{part}." for part in key[:-1])
    here = fields_of(cls)
    near = difflib.get_close_matches(str(key[-1]), here, n=1) or [
        dotted for dotted, _ in config_keys(cls) if dotted.rpartition(".")[2] == key[-1]
    ]
    meant = f"{prefix}{near[0]}" if near else None
    return ConfigError(
        f"There is no configuration key {_join_key(key)!r}",
        where=where,
        expected=f"{meant!r}, perhaps; the keys here are " + ", ".join(here)
        if meant
        else "one of " + ", ".join(here),
        found=_join_key(key),
        remedy=f"write {meant!r}, on the command line --{meant.replace('_', '-')}"
        if meant
        else "take it out, or see `simulacra reconstruct --print-config`",
    )


def _join_key(key: Key) -> str:
    return ".".join(str(part) for part in key)


def _set(cls: type, tree: dict[str, Any], given: Key, value: str, where: str) -> Key:
    """Put an override into the tree, its text read as the type of its field wants it; its key in today's names."""
    node: dict[str, Any] = tree
    owner: type = cls
    key: Key = ()
    for depth, name in enumerate(given, start=1):
        part = _name_in(owner, name)
        key = (*key, part)
        if part not in fields_of(owner):
            raise _unknown_key(owner, key, where)
        annotation = typing.get_type_hints(owner)[part]
        if depth == len(given):
            node[str(part)] = _read_value(annotation, value)
            _rename_values(node, key)
            break
        below = node.get(str(part))
        node[str(part)] = node = dict(below) if isinstance(below, dict) else {}
        branch = branch_of(annotation, node)
        if branch is None:
            raise ConfigError(
                f"{_join_key(key)!r} is a value and has no keys of its own",
                where=where,
                found=_join_key(given),
            )
        owner = branch
    return key


def _read_value(annotation: Any, text: str) -> Any:
    """Text from the command line: as YAML, with all numbers left as text, or either as a list (`3,6`)."""
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
    written = (text, f"[{text}]")
    scalars: tuple[Callable[[Any], Any], ...] = (yaml12_scalar, lambda event: event.value)
    values: list[Any] = []
    for reading, scalar in itertools.product(written, scalars):
        try:
            values.append(parse_yaml(reading, scalar).value)
            adapter.validate_json(json.dumps(values[-1]), strict=True)
        except (YamlTextError, pydantic.ValidationError):
            continue
        return values[-1]
    return values[0] if values else text  # the whole configuration's check says what is wrong with it


# -- values ----------------------------------------------------------------------------------------


def _validate(cls: type[Config], tree: Mapping[str, Any], place: Place) -> Config:
    """Construct `cls`. Through JSON, because there strictness lets a list be a tuple and text be a path."""
    try:
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(tree, default=str), strict=True)
    except pydantic.ValidationError as error:
        raise _wrong_value(cls, tree, error, place) from error


def _check_when_made(cls: type) -> None:
    """Lets a class that pydantic has made say what is wrong with a value as a file's error does."""
    make = cls.__init__  # type: ignore[misc]

    @functools.wraps(make)
    def init(self: object, *args: Any, **values: Any) -> None:
        try:
            make(self, *args, **values)
        except pydantic.ValidationError as error:
            raise _wrong_value(cls, values, error, lambda _: cls.__name__) from error

    cls.__init__ = init  # type: ignore[misc]


def _wrong_value(
    cls: type, tree: Mapping[str, Any], error: pydantic.ValidationError, place: Place
) -> ConfigError:
    """The first of the errors, with the range that the key's value is to be in."""
    first = error.errors(include_url=False)[0]
    key = _key_of(tree, first["loc"])
    unknown = first["type"] in ("unexpected_keyword_argument", "missing")
    if unknown and first["loc"] and first["loc"][-1] not in key:
        key = (*key, str(first["loc"][-1]))
    quote = "; put it in quotes" if first["type"] == "string_type" else ""
    said = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ") + quote
    range_of_it = None if unknown or first["type"] == "value_error" else wanted(hint_at(cls, tree, key))
    return ConfigError(
        f"The configuration key {_join_key(key)!r} has a wrong value"
        if key
        else "The configuration is not valid",
        where=place(key),
        expected=range_of_it or said,
        found=None if isinstance(first["input"], ArgsKwargs) else shown(first["input"]),
    )


def _key_of(tree: Mapping[str, Any], location: Key) -> Key:
    """Pydantic's location without its names of union branches: only keys and indices of ours."""
    node: Any = tree
    key: list[str | int] = []
    for part in location:
        inside = isinstance(node, dict) and part in node
        if inside or (isinstance(node, list) and isinstance(part, int) and part < len(node)):
            key.append(part)
            node = node[part]
    return tuple(key)


def _nearest_override(given: Mapping[Key, str], key: Key) -> str | None:
    """Where `key` was given on the command line: itself, something below it, or above it."""
    for override, where in given.items():
        shorter = min(len(override), len(key))
        if shorter and override[:shorter] == key[:shorter]:
            return where
    return None
