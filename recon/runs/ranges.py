"""The range of every setting and option, declared beside it: ``Annotated[float, Interval(ge=0, le=1)]``.

Bounds are inclusive on both sides, so that both ends can be named and tried. A value that is no number, or not finite,
is in no range. Configurations are checked by `recon.runs.configuration`; records of options and the arguments of
commands by `check_values`. Nothing heavy is imported before there is a value to check: help answers at once.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Interval

from simulacra.render.runtime.errors import ConfigError

Record = TypeVar("Record")
# The longest name of a file that Linux takes.
LONGEST_NAME = 255

Share = Annotated[float, Interval(ge=0, le=1)]
# Of a loss, a prior or a cost against the others.
Weight = Annotated[float, Interval(ge=0, le=1e6)]
# NumPy's generators take none below 0; what is derived from a seed and a step still fits 64 bits.
Seed = Annotated[int, Interval(ge=0, le=2**31 - 1)]
# Pixels: under 16 nobody is recognised; over 16384 no camera goes, and OpenCV's rasters end soon after.
LongestSide = Annotated[int, Interval(ge=16, le=16384)]
# Frames of the longest captures there are: 10 million are 46 hours at 60 a second.
Frames = Annotated[int, Interval(ge=0, le=10_000_000)]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def options(cls: type[Record]) -> type[Record]:
    """Makes a class a record of options: a frozen, keyword-only dataclass whose values are checked when it is made.

    The record raises a ConfigError for a value outside of its range, or of another type.
    """

    def check(self: Any) -> None:
        given = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not field.default
            and not dataclasses.is_dataclass(value)
        }
        if given:
            check_values(type(self).__name__, get_type_hints(type(self), include_extras=True), given)

    cls.__post_init__ = check  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def check_values(owner: str, hints: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Refuses values that are not of their type or not in their range.

    Args:
        owner: what the values belong to, for the error.
        hints: types by name, with their ranges.
        values: by name; each has a hint.

    Raises:
        ConfigError: names the first such value, what is wanted and what it is.
    """
    import pydantic

    rules = pydantic.ConfigDict(
        strict=True, allow_inf_nan=False, str_max_length=LONGEST_NAME, arbitrary_types_allowed=True
    )
    for name, value in values.items():
        hint = hints[name]
        record = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        nested = dataclasses.is_dataclass(record)  # and has checked itself
        adapter: pydantic.TypeAdapter[Any] = (
            pydantic.TypeAdapter(pydantic.InstanceOf[record])  # type: ignore[valid-type,misc]
            if nested
            else pydantic.TypeAdapter(hint, config=rules)
        )
        try:
            adapter.validate_python(value)
        except pydantic.ValidationError as error:
            raise ConfigError(
                f"The option {name!r} has a wrong value",
                where=owner,
                expected=wanted(hints[name]) or error.errors()[0]["msg"].removeprefix("Input should be "),
                found=shown(value),
            ) from error


def interval_of(hint: Any) -> Interval | None:
    """The range that a type is annotated with; of a union, that of its first part which has one."""
    if get_origin(hint) is Annotated:
        found = [extra for extra in hint.__metadata__ if isinstance(extra, Interval)]
        return found[0] if found else interval_of(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return next((inside for part in get_args(hint) if (inside := interval_of(part))), None)
    return None


def bounds(interval: Interval) -> str:
    """A range in the fewest words: ``0..1``."""
    return f"{_short(interval.ge)}..{_short(interval.le)}"


def wanted(hint: Any) -> str | None:
    """What a value may be, in words; None where a type says nothing that the type's own error would not."""
    kind = get_origin(hint)
    if kind is Annotated:
        inner, interval = get_args(hint)[0], interval_of(hint)
        if interval is None or get_origin(inner) is not None:
            return wanted(inner)
        unit = [f" ({word.lower()})" for word in hint.__metadata__ if isinstance(word, str)][:1]
        return f"a {'whole ' if inner is int else ''}number, {bounds(interval)}{''.join(unit)}"
    if kind in (Union, types.UnionType):
        parts = [wanted(part) for part in get_args(hint) if part is not type(None)]
        if None in parts:
            return None
        return " or ".join(dict.fromkeys(map(str, parts)))
    if kind is Literal:
        return " or ".join(map(str, get_args(hint)))
    if kind is tuple and wanted(get_args(hint)[0]):
        inside = get_args(hint)
        count = "numbers" if inside[-1] is ... else f"{len(inside)} numbers"
        return f"a list of {count}, each {wanted(inside[0])}"
    return None


def shown(value: object) -> str:
    """The beginning of any value as text; of an integer that Python does not print, that it is one."""
    try:
        return f"{value!r}"[:200]
    except (ValueError, RecursionError):
        return "a number of thousands of digits" if isinstance(value, int) else "something without an end"


def _short(bound: Any) -> str:
    return (
        str(bound)
        if isinstance(bound, int)
        else re.sub(r"e([+-])0*", r"e\1", f"{bound:g}").replace("e+", "e")
    )
