"""Every setting and option has its range, and nothing outside of it gets in: by a file, the command line or Python."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Interval

from simulacra.recon.evaluate.scoring import PublishedNumber
from simulacra.recon.importers import options
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.refine import RefineConfig
from simulacra.recon.runs.configuration import load_config
from simulacra.recon.runs.ranges import shown
from simulacra.recon.runs.schema import dataclasses_in
from simulacra.render.runtime.errors import ConfigError
from simulacra.tools.cli import COMMANDS, FAMILIES, main
from simulacra.tools.commands.arguments import options_of
from simulacra.tools.design.config import DesignConfig
from simulacra.tools.virtual.config import Fault, VirtualCaptureConfig
from simulacra.tools.virtual.sensors.color import ColorSensor
from simulacra.tools.virtual.sensors.depth import Stereo

REPOSITORY = Path(__file__).resolve().parent.parent
SCHEMAS = (ReconstructionConfig, VirtualCaptureConfig, DesignConfig)
REMARKABLE = (
    -1, 0, -1.0, 0.0, -1e-300, 1e30, -1e30, 2**80, -(2**80), 10**5000, math.nan, math.inf, -math.inf, 1e308,
    "5", "", "x" * 5000, None, True, [], [1.0], (1.0,), {}, b"5", 1 + 2j,
)  # fmt: skip


# What rules between values, and of names of things, say.
BETWEEN = re.compile(r"at (least|most)|that exist|that there is|does not exist")


def below(schema: type) -> Iterator[type]:
    yield schema
    for hint in get_type_hints(schema, include_extras=True).values():
        for inner in dataclasses_in(hint):
            yield from below(inner)


CONFIGS = list(dict.fromkeys(each for schema in SCHEMAS for each in below(schema)))
# As the command line makes them: the records themselves are checked for their types by this suite's own hook first.
RECORDS = [
    options_of(each) for each in vars(options).values()
    if inspect.isclass(each) and each.__module__ == options.__name__
]  # fmt: skip
CALLS = COMMANDS | {
    f"{family} {name}": call for family, (_, calls) in FAMILIES.items() for name, call in calls().items()
}


def fields_of(record: type) -> list[tuple[str, Any]]:
    hints = get_type_hints(record, include_extras=True)
    return [(field.name, hints[field.name]) for field in dataclasses.fields(record)]


def numbers_without_range(hint: Any) -> list[Any]:
    """The numeric types in a hint that no range is declared beside; a list of anything has none to declare."""
    kind = get_origin(hint)
    if kind is Annotated and any(isinstance(extra, Interval) for extra in hint.__metadata__):
        return []
    if kind is Literal:
        return []
    inside = get_args(hint)[:1] if kind is Annotated else get_args(hint)
    return (
        [hint]
        if hint in (int, float)
        else [found for part in inside for found in numbers_without_range(part)]
    )


def belongs(hint: Any, value: Any) -> bool:
    """Whether a value is one that the declaration has, read here by rules of this test's own."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind is Annotated:
        ranges = [extra for extra in hint.__metadata__ if isinstance(extra, Interval)]
        return belongs(inside[0], value) and all(each.ge <= value <= each.le for each in ranges)
    if kind in (Union, types.UnionType):
        return any(belongs(part, value) for part in inside)
    if kind is Literal:
        return value in inside
    if kind is tuple and isinstance(value, tuple):
        parts = [inside[0]] * len(value) if inside[-1] is ... else list(inside)
        return len(parts) == len(value) and all(map(belongs, parts, value))
    if kind is dict:
        return value == {}
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str) and len(value) < 5000
    return isinstance(hint, type) and isinstance(value, hint)


def needed(record: type) -> dict[str, Any]:
    """Values for what has no default."""
    some: dict[Any, Any] = {float: 1.0, int: 1, str: "psnr_fg"}
    found = {}
    for field, (name, hint) in zip(dataclasses.fields(record), fields_of(record), strict=True):
        if field.default is field.default_factory is dataclasses.MISSING:
            inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
            found[name] = get_args(inner)[0] if get_origin(inner) is Literal else some.get(inner, (1,))
    return found


def test_no_configuration_is_left_out() -> None:
    written = [
        name
        for folder in ("recon", "tools", "render")
        for file in (REPOSITORY / folder).rglob("*.py")
        for name in re.findall(r"^@config\nclass (\w+)", file.read_text("utf-8"), re.M)
    ]
    # What several have in common is read through them.
    read = {base.__name__ for each in CONFIGS for base in each.__mro__ if base is not object}
    assert set(written) == read
    assert len(written) == len(set(written))
    assert len(RECORDS) == len(re.findall(r"^@options$", Path(options.__file__).read_text("utf-8"), re.M))


def made_with(record: type, name: str, value: object) -> object:
    """What is made with a value, or the error that says why nothing is."""
    try:
        return record(**needed(record) | {name: value})
    except ConfigError as error:
        return error


@pytest.mark.parametrize("record", [*CONFIGS, *RECORDS], ids=lambda record: record.__name__)
def test_every_number_has_its_range_and_is_refused_outside_of_it(record: type) -> None:
    """Also its ends and its default are in it; what a rule between values refuses names one of them."""
    for name, hint in fields_of(record):
        assert numbers_without_range(hint) == [], f"{record.__name__}.{name}"
        ends = [end for each in intervals(hint) for end in (each.ge, each.le)]
        for value in (*REMARKABLE, *ends):
            made = made_with(record, name, value)
            place = f"{record.__name__}.{name} = {shown(value):.80}: {made}"
            if isinstance(made, ConfigError):
                assert not belongs(hint, value) or BETWEEN.search(str(made)), place
                assert name in str(made) or record.__name__ in str(made), place
                assert len(str(made)) < 2000, place
            else:
                assert belongs(hint, value), place
                assert getattr(made, name) == value, place
    made = record(**needed(record))
    for name, hint in fields_of(record):
        plain = not dataclasses_in(hint)
        assert not plain or belongs(hint, getattr(made, name)), f"the default of {record.__name__}.{name}"


def intervals(hint: Any) -> list[Interval]:
    """Those of single numbers; a tuple's are tried by the remarkable values."""
    if get_origin(hint) is Annotated:
        return [extra for extra in hint.__metadata__ if isinstance(extra, Interval)]
    if get_origin(hint) in (Union, types.UnionType):
        return [found for part in get_args(hint) for found in intervals(part)]
    return []


def numeric_keys(schema: type, prefix: str = "") -> Iterator[str]:
    for name, hint in fields_of(schema):
        if intervals(hint):
            yield prefix + name
        # What lists hold has no key of its own; the other branches of a union need their kind said.
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from numeric_keys(hint, f"{prefix}{name}.")


@pytest.mark.parametrize(
    "schema", [ReconstructionConfig, VirtualCaptureConfig], ids=lambda schema: schema.__name__
)
def test_a_file_and_the_command_line_name_the_key_the_range_and_the_value(
    schema: type, tmp_path: Path
) -> None:
    keys = list(numeric_keys(schema))
    assert len(keys) > 40
    for number, key in enumerate(keys):
        text = (".nan", "-.inf", "1e30", "-1e30", "9" * 30, "1e999")[number % 6]
        with pytest.raises(ConfigError) as caught:
            load_config(schema, None, {key: text})
        assert repr(key) in caught.value.what and re.search(r"number, \S+\.\.\S+", str(caught.value.expected))
        assert caught.value.where == f"--{key} on the command line" and caught.value.found
        path = tmp_path / "a.yaml"
        path.write_text(
            "".join(f"{' ' * i}{part}:\n" for i, part in enumerate(key.split("."))).rstrip() + f" {text}\n"
        )
        with pytest.raises(ConfigError) as caught:
            load_config(schema, path)
        assert repr(key) in caught.value.what and f"{path}, line {key.count('.') + 1}" == caught.value.where


def test_values_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="truncation_mm at least voxel_mm"):
        RefineConfig(voxel_mm=30.0)
    with pytest.raises(ConfigError, match="nearest_m at most farthest_m"):
        Stereo(nearest_m=9.0)
    with pytest.raises(ConfigError, match="camera 3"):
        VirtualCaptureConfig(color=ColorSensor(iso=1e7), faults=(Fault(camera="3", iso=2.0),))
    with pytest.raises(ConfigError, match="a metric that there is"):
        PublishedNumber(metric="psnr", value=30.0, source="a peer")


@pytest.mark.parametrize("name", CALLS)
def test_every_number_of_a_command_has_its_range(name: str) -> None:
    hints = get_type_hints(CALLS[name], include_extras=True)
    assert [
        option
        for option, hint in hints.items()
        if numbers_without_range(hint) and get_origin(hint) is not Annotated
    ] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("check S --frames 0", "1..1000"),
        ("bench splat --repeats -1", "1..10000"),
        ("bench drive --frames 99999999999999999999", "1..100000"),
        ("stage-people --out p.png --count 0", "1..10000"),
        ("stage-sensors --captures c --out p.png --depth-scale nan", "1..1e6 (units)"),
        ("import opencv-yaml S O --units m --fps 0", "0.01..10000 (rate)"),
        ("import color-depth S O --depth-scale -1 --depth-is aligned", "1..1e6 (units)"),
        ("import color-depth S O --depth-scale 1000 --depth-is aligned --fx inf", "1..1e6 (pixels)"),
        ("reconstruct S --out R --avatar.steps -5 --fit.iterations -1", "1..1000"),
        ("reconstruct S --out R --refine.voxel-mm .nan", "0.5..200"),
        ("reconstruct S --out R --avatar.longest-side -192", "16..16384"),
        ("stage --out R --rig.width 1e30", "32..16384"),
    ],
)  # fmt: skip
def test_a_command_refuses_at_once_what_is_out_of_range(
    words: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "S").mkdir()
    (tmp_path / "S" / "session.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert f"number, {said}\n" in capsys.readouterr().err
