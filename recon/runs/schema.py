"""What a dataclass of configurations is made of: its fields, the dataclasses in them, and the type of a dotted key."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from simulacra.recon.runs.yaml_text import Key


def config_keys(cls: type, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The dotted name and the type of every value that `cls` holds."""
    for name, annotation in typing.get_type_hints(cls).items():
        if name not in fields_of(cls):
            continue
        branches = dataclasses_in(annotation)
        if not branches:
            yield prefix + name, annotation
        for branch in branches:
            yield from config_keys(branch, f"{prefix}{name}.")


def fields_of(cls: type) -> list[str]:
    """The names of what a dataclass is constructed with."""
    return [field.name for field in dataclasses.fields(cls) if field.init]


def dataclasses_in(annotation: object) -> list[type]:
    """The dataclasses that a field's type can hold, through unions, tuples and Annotated."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Literal, None):
        return []
    return [found for inner in typing.get_args(annotation) for found in dataclasses_in(inner)]


def branch_of(annotation: object, value: Mapping[str, Any]) -> type | None:
    """The dataclass that a mapping is meant for: the first whose Literal fields agree with it."""
    branches = dataclasses_in(annotation)
    agreeing = [branch for branch in branches if _agrees(branch, value)]
    return agreeing[0] if agreeing else (branches[0] if branches else None)


def _agrees(branch: type, value: Mapping[str, Any]) -> bool:
    for name, annotation in typing.get_type_hints(branch).items():
        choice = typing.get_origin(annotation) is typing.Literal and name in value
        if choice and value[name] not in typing.get_args(annotation):
            return False
    return True


def hint_at(cls: type, tree: Mapping[str, Any], key: Key) -> Any:
    """The type of a key's value, with its range."""
    hint: Any = cls
    node: Any = tree
    for part in key:
        branch = branch_of(hint, node) if isinstance(node, dict) else None
        if branch is not None:
            hint = typing.get_type_hints(branch, include_extras=True)[str(part)]
        elif isinstance(part, int):
            hint = _item_of(hint, part)
        else:
            return Any
        node = node[part] if isinstance(node, dict) or part in range(len(node)) else None
    return hint


def _item_of(hint: Any, index: int) -> Any:
    """The type of an item of a tuple."""
    kind, inside = typing.get_origin(hint), typing.get_args(hint)
    if kind is typing.Annotated:
        return _item_of(inside[0], index)
    if kind is not tuple:
        return Any
    return inside[0] if inside[-1] is ... else inside[min(index, len(inside) - 1)]
