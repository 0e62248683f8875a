"""Configuration: frozen dataclasses beside the code, YAML files with what differs, and the command line above
both.

The schema is the dataclass (`config` below makes one). A file names only what differs from the defaults. What
it says is checked strictly, so that `steps: yes` is not 1; an unknown key or a wrong type is an error that
names the file, the line, the key and the nearest valid one. YAML is read as version 1.2 reads it: only `true`
and `false` are truth values, `1e-3` is a number, and `01` (a camera's name) is text.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import json
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import pydantic
import yaml
from pydantic.dataclasses import dataclass as pydantic_dataclass

from simulacra.render.runtime.errors import ConfigError

Config = TypeVar("Config")
Key = tuple[str | int, ...]
# Names that sections had before: in files and options they are read as the new ones, which is said once on stderr.
OLD_SECTIONS = {"splat": "avatar", "colour": "color"}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[Config]) -> type[Config]:
    """Makes a class a configuration: frozen, keyword-only, its types checked when it is constructed.

    A whole number is accepted for a float, and from a file a list for a tuple; nothing else is converted.
    """
    rules = pydantic.ConfigDict(extra="forbid", strict=True)
    return pydantic_dataclass(frozen=True, kw_only=True, config=rules)(cls)  # type: ignore[return-value]


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
    text = _read(path)
    tree = _parse(text, path)
    _check_keys(cls, tree, (), lambda key: _place(path, text, key))
    pairs = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
    given: dict[Key, str] = {}
    for dotted, value in pairs.items():
        where = f"--{dotted} on the command line"
        given[_set(cls, tree, tuple(dotted.split(".")), value, where)] = where
    return _validate(cls, tree, lambda key: _nearest_override(given, key) or _place(path, text, key))


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
    return yaml.dump(dump_config(cfg), Dumper=_Yaml12Dumper, sort_keys=False, allow_unicode=True)


def config_keys(cls: type, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The dotted name and the type of every value that `cls` holds."""
    for name, annotation in typing.get_type_hints(cls).items():
        if name not in _fields(cls):
            continue
        branches = _dataclasses_in(annotation)
        if not branches:
            yield prefix + name, annotation
        for branch in branches:
            yield from config_keys(branch, f"{prefix}{name}.")


# -- YAML as version 1.2 reads it ------------------------------------------------------------------


class _Yaml12Loader(yaml.SafeLoader):
    """SafeLoader without the surprises of YAML 1.1, which refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


class _Yaml12Dumper(yaml.SafeDumper):
    """Quotes what `_Yaml12Loader` would otherwise read as something else."""


_SCALARS = {
    "tag:yaml.org,2002:bool": (r"true|false", "tf"),
    "tag:yaml.org,2002:null": (r"null|~|", ["n", "~", ""]),
    "tag:yaml.org,2002:int": (r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        "-+.0123456789",
    ),
}
for _class in (_Yaml12Loader, _Yaml12Dumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, (_pattern, _first) in _SCALARS.items():
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError("The configuration cannot be read", where=path, found=reason) from error


def _parse(text: str, path: Path | None) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _Yaml12Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError("The configuration is not YAML", where=where, found=problem) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            "The configuration is not a list of keys with values",
            where=path,
            expected="for example `avatar:` and below it, indented, `steps: 500`",
            found=repr(tree)[:80],
        )
    return tree


def _place(path: Path | None, text: str, key: Key) -> str:
    """The file and the line in which `key` stands, or the nearest key above it."""
    node = yaml.compose(text, _Yaml12Loader)
    line = None
    for part in key:
        if isinstance(node, yaml.MappingNode):
            inside = [
                (name, value)
                for name, value in node.value
                if str(part) in (name.value, OLD_SECTIONS.get(name.value))
            ]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            inside = [(value, value) for value in node.value[part : part + 1]]
        else:
            inside = []
        if not inside:
            break
        name, node = inside[0]
        line = name.start_mark.line + 1
    source = str(path) if path else "the defaults"
    return source if line is None else f"{source}, line {line}"


# -- keys ------------------------------------------------------------------------------------------


def _fields(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls) if field.init]


def _name_in(cls: type, name: Any) -> Any:
    """What `cls` calls a field: another name only where it was renamed."""
    new = OLD_SECTIONS.get(name)
    if new is None or name in _fields(cls) or new not in _fields(cls):
        return name
    _note_new_name(name, new)
    return new


@functools.cache
def _note_new_name(name: str, new: str) -> None:
    sys.stderr.write(f"note: {name!r} in a configuration is called {new!r} now\n")


def _dataclasses_in(annotation: object) -> list[type]:
    """The dataclasses that a field's type can hold, through unions, tuples and Annotated."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Literal, None):
        return []
    return [found for inner in typing.get_args(annotation) for found in _dataclasses_in(inner)]


def _branch(annotation: object, value: Mapping[str, Any]) -> type | None:
    """The dataclass that a mapping is meant for: the first whose Literal fields agree with it."""
    branches = _dataclasses_in(annotation)
    agreeing = [branch for branch in branches if _agrees(branch, value)]
    return agreeing[0] if agreeing else (branches[0] if branches else None)


def _agrees(branch: type, value: Mapping[str, Any]) -> bool:
    for name, annotation in typing.get_type_hints(branch).items():
        choice = typing.get_origin(annotation) is typing.Literal and name in value
        if choice and value[name] not in typing.get_args(annotation):
            return False
    return True


def _check_keys(cls: type, tree: dict[str, Any], prefix: Key, place: Callable[[Key], str]) -> None:
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
        if name not in _fields(cls):
            raise _unknown_key(cls, key, place(key))
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, item in items:
            branch = _branch(hints[name], item) if isinstance(item, dict) else None
            if branch:
                _check_keys(branch, item, key if index is None else (*key, index), place)


def _unknown_key(cls: type, key: Key, where: str) -> ConfigError:
    """`cls` is the dataclass in which the last part of `key` was looked for."""
    prefix = "".join(f"{part}." for part in key[:-1])
    here = _fields(cls)
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
        remedy=f"write {meant!r}" if meant else "take it out, or see `simulacra reconstruct --print-config`",
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
        if part not in _fields(owner):
            raise _unknown_key(owner, key, where)
        annotation = typing.get_type_hints(owner)[part]
        if depth == len(given):
            node[str(part)] = _read_value(annotation, value)
            break
        below = node.get(str(part))
        node[str(part)] = node = dict(below) if isinstance(below, dict) else {}
        branch = _branch(annotation, node)
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
    loaders: tuple[type[yaml.BaseLoader] | type[yaml.SafeLoader], ...] = (_Yaml12Loader, yaml.BaseLoader)
    values: list[Any] = []
    for reading, loader in itertools.product(written, loaders):
        try:
            values.append(yaml.load(reading, loader))
            adapter.validate_json(json.dumps(values[-1]), strict=True)
        except (yaml.YAMLError, pydantic.ValidationError, TypeError):
            continue
        return values[-1]
    return values[0] if values else text  # the whole configuration's check says what is wrong with it


# -- values ----------------------------------------------------------------------------------------


def _validate(cls: type[Config], tree: Mapping[str, Any], place: Callable[[Key], str]) -> Config:
    """Construct `cls`. Through JSON, because there strictness lets a list be a tuple and text be a path."""
    try:
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(tree, default=str), strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = _key_of(tree, first["loc"])
        quote = "; put it in quotes" if first["type"] == "string_type" else ""
        raise ConfigError(
            f"The configuration key {_join_key(key)!r} has a wrong value"
            if key
            else "The configuration is not valid",
            where=place(key),
            expected=first["msg"].removeprefix("Input should be ").removeprefix("Value error, ") + quote,
            found=f"{first['input']!r}"[:200],
        ) from error


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
