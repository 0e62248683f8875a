"""YAML that anybody may have written, as dictionaries, lists and scalars: bounded before anything is constructed.

Values are built straight from the parser's events: no tag can do work, nothing is deeper than ``DEEPEST``, and an alias
costs what it stands for, so that files that multiply (each line an alias of the one before, ten times) end at
``MOST_NODES``. An alias cannot be inside of what it names. Keys are text, and there once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Key = tuple[str | int, ...]

# The deepest configuration has 6 levels, the deepest calibration 4.
DEEPEST = 16
# Every value of every configuration together are 1,000; a calibration of 100 cameras has 5,000.
MOST_NODES = 100_000
# No float needs more than 25 digits; Python itself refuses to read integers of 4,300.
LONGEST_NUMBER = 400

# libyaml where it is there, as in all wheels of PyYAML: ten times as fast, the same events.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlTextError(ValueError):
    """What was given is not YAML, or more than it may be.

    Attributes:
        line: counted from 1; None where it is not known.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True)
class YamlTree:
    """What a document holds.

    Attributes:
        value: dictionaries with keys of text, lists and scalars; None of an empty document.
        lines: where each key and item stands, counted from 1; what an alias stands for is not listed.
    """

    value: Any
    lines: dict[Key, int]


def parse_yaml(text: str, scalar: Callable[[yaml.ScalarEvent], Any], *, tags: bool = False) -> YamlTree:
    """The only document of a text.

    Args:
        scalar: reads a scalar; `yaml12_scalar`, or one that leaves it as text. May raise a YamlTextError.
        tags: lists and dictionaries may have tags, which are left out.

    Raises:
        YamlTextError: not YAML, a key twice, an alias of nothing or of itself, or more than the bounds allow.
    """
    builder = _Builder(yaml.parse(text, Loader=_PARSER), scalar, tags)
    try:
        return builder.document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise YamlTextError(problem, mark.line + 1 if mark else None) from error


_NULL, _TRUTH, _INTEGER, _NUMBER = (
    r"null|~|",
    r"true|false",
    r"[-+]?(0|[1-9][0-9]*)",
    r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
)


def yaml12_scalar(event: yaml.ScalarEvent) -> Any:
    """A scalar as YAML 1.2 reads it: only `true` and `false` are truth values, `1e-3` is a number, `01` is text.

    Raises:
        YamlTextError: a tag other than that of text, or a number of hundreds of digits.
    """
    text, line = str(event.value), _line(event)
    if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
        raise YamlTextError(_no_meaning(event.tag), line)
    if event.tag is not None or not event.implicit[0]:
        return text
    if re.fullmatch(_NULL, text):
        return None
    if re.fullmatch(_TRUTH, text):
        return text == "true"
    if not re.fullmatch(_NUMBER, text):
        return text
    if len(text) > LONGEST_NUMBER:
        raise YamlTextError(f"a number of {len(text)} digits", line)
    return int(text) if re.fullmatch(_INTEGER, text) else float(re.sub(r"\.(?=inf|nan)", "", text))


def format_yaml(tree: Any) -> str:
    """Plain dictionaries, lists and scalars as YAML that `yaml12_scalar` reads back to the same."""
    return yaml.dump(tree, Dumper=_Yaml12Dumper, sort_keys=False, allow_unicode=True)


class _Yaml12Dumper(yaml.SafeDumper):
    """Quotes what `yaml12_scalar` would otherwise read as something else."""


_Yaml12Dumper.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", _TRUTH, "tf"),
    ("null", _NULL, ["n", "~", ""]),
    ("int", _INTEGER, "-+0123456789"),
    ("float", _NUMBER, "-+.0123456789"),
):
    _Yaml12Dumper.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


@dataclass(frozen=True)
class _Anchored:
    """A value that aliases can stand for, how many nodes it has, and how many levels below it."""

    value: Any
    nodes: int
    height: int


class _Builder:
    """Values straight from the parser's events."""

    def __init__(self, events: Iterator[Any], scalar: Callable[[yaml.ScalarEvent], Any], tags: bool) -> None:
        self.events, self.scalar, self.tags = events, scalar, tags
        self.anchors: dict[str, _Anchored] = {}
        self.lines: dict[Key, int] = {}
        self.nodes = 0

    def document(self) -> YamlTree:
        value = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self.nodes:
                    raise _refused(event, "more than one document")
                value, _ = self.build(next(self.events), ())
        return YamlTree(value, self.lines)

    def build(self, event: Any, key: Key) -> tuple[Any, int]:
        """The value that begins with an event, and how many levels it has below itself."""
        if isinstance(event, yaml.AliasEvent):
            return self.stand_in(event, key)
        before = self.nodes
        self.count(1, len(key), event)
        if isinstance(event, yaml.ScalarEvent):
            value, height = self.scalar(event), 0
        elif event.tag is not None and not self.tags:
            raise _refused(event, _no_meaning(event.tag))
        elif isinstance(event, yaml.SequenceStartEvent):
            value, height = self.items(key)
        else:
            value, height = self.pairs(key)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, self.nodes - before, height)
        return value, height

    def items(self, key: Key) -> tuple[list[Any], int]:
        found: list[Any] = []
        height = 0
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            inside = (*key, len(found))
            if event.start_mark is not None:
                self.lines[inside] = event.start_mark.line + 1
            value, below = self.build(event, inside)
            found.append(value)
            height = max(height, below + 1)
        return found, height

    def pairs(self, key: Key) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        height = 0
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _refused(event, "a key that is not text")
            name = event.value
            if name in found:
                raise _refused(event, f"{name[:80]!r} is given twice")
            inside = (*key, name)
            if event.start_mark is not None:
                self.lines[inside] = event.start_mark.line + 1
            found[name], below = self.build(next(self.events), inside)
            height = max(height, below + 1)
        return found, height

    def stand_in(self, event: Any, key: Key) -> tuple[Any, int]:
        named = self.anchors.get(event.anchor)
        if named is None:
            raise _refused(event, f"an alias of what there is not before it: {event.anchor[:80]}")
        self.count(named.nodes, len(key) + named.height, event)
        return copy.deepcopy(named.value), named.height

    def count(self, nodes: int, depth: int, event: Any) -> None:
        self.nodes += nodes
        if depth > DEEPEST:
            raise _refused(event, f"nested more than {DEEPEST} levels deep")
        if self.nodes > MOST_NODES:
            raise _refused(event, f"more than {MOST_NODES} values, aliases counted as what they stand for")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _no_meaning(tag: str) -> str:
    return f"the tag {tag[:80]}, which has no meaning here"


def _refused(event: Any, problem: str) -> YamlTextError:
    return YamlTextError(problem, _line(event))
