"""Configurations say what is wrong, where, and what was probably meant, and survive a round trip."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from simulacra.recon.runs import configuration
from simulacra.recon.runs.configuration import (
    config,
    config_keys,
    dump_config,
    format_config,
    load_config,
    parse_overrides,
)
from simulacra.render.runtime.errors import ConfigError


@config
class Constant:
    kind: Literal["constant"] = "constant"
    rate: float = 1e-3


@config
class Decaying:
    kind: Literal["decaying"] = "decaying"
    first: float = 1e-2
    last: float = 1e-4


@config
class Splat:
    steps: int = 300
    color: bool = True
    method: Literal["off", "slow", "fast"] = "slow"
    schedule: Constant | Decaying = Constant()
    image: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError("steps must not be negative")


@dataclass(frozen=True)
class Root:
    """A standard dataclass around the stages' own is as good."""

    seed: int = 0
    name: str = "run"
    cameras: tuple[str, ...] = ()
    splat: Splat = field(default_factory=Splat)


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def refused(path: Path | None, overrides: list[str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(Root, path, overrides or [])
    return caught.value


def test_a_file_says_only_what_differs_and_the_command_line_is_above_it(tmp_path: Path) -> None:
    assert load_config(Root, None) == Root()
    assert load_config(Root, write(tmp_path, "")) == Root()
    path = write(tmp_path, "seed: 7\nsplat:\n  steps: 10\n  color: false\n")
    assert load_config(Root, path) == Root(seed=7, splat=Splat(steps=10, color=False))
    changed = load_config(Root, path, ["--splat.steps", "500", "--seed=-3"])
    assert changed == Root(seed=-3, splat=Splat(steps=500, color=False))
    assert load_config(Root, path, {"splat.steps": "500", "seed": "-3"}) == changed


def test_an_unknown_key_names_file_line_key_and_the_nearest_valid_one(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 7\nsplat:\n  color: true\n  stesp: 10\n")
    error = refused(path)
    assert error.where == f"{path}, line 4"
    assert error.found == "splat.stesp"
    assert "'splat.steps'" in str(error.expected)
    assert "splat.stesp" in error.what


def test_a_key_in_the_wrong_place_is_found_where_it_belongs(tmp_path: Path) -> None:
    assert "'splat.steps'" in str(refused(write(tmp_path, "steps: 10\n")).remedy)
    error = refused(None, ["--splat.step", "5"])
    assert error.where == "--splat.step on the command line"
    assert "'splat.steps'" in str(error.expected)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("splat:\n  steps: many\n", "splat.steps", 2),
        ("splat:\n  steps: 10.5\n", "splat.steps", 2),
        ("splat:\n  steps: true\n", "splat.steps", 2),
        ("splat:\n  steps: '10'\n", "splat.steps", 2),
        ("splat:\n  color: 1\n", "splat.color", 2),
        ("splat:\n  method: quick\n", "splat.method", 2),
        ("splat:\n  image: [3, 4, 5]\n", "splat.image", 2),
        ("splat:\n  schedule:\n    kind: constant\n    rate: fast\n", "splat.schedule.rate", 4),
        ("splat: 5\n", "splat", 1),
        ("cameras: [3, 6]\n", "cameras.0", 1),
    ],
)
def test_a_wrong_value_names_file_line_and_key(tmp_path: Path, text: str, key: str, line: int) -> None:
    path = write(tmp_path, text)
    error = refused(path)
    assert repr(key) in error.what
    assert error.where == f"{path}, line {line}"
    assert error.expected
    assert error.found


def test_what_the_dataclass_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    assert refused(None, ["--splat.steps", "-1"]).expected == "steps must not be negative"
    error = refused(write(tmp_path, "splat:\n  steps: 3\n"), ["--splat.color", "maybe"])
    assert error.where == "--splat.color on the command line"
    assert "valid boolean" in str(error.expected)


def test_a_union_takes_the_branch_that_its_kind_names(tmp_path: Path) -> None:
    path = write(tmp_path, "splat:\n  schedule: {kind: decaying, last: 1e-6}\n")
    assert load_config(Root, path).splat.schedule == Decaying(last=1e-6)
    error = refused(write(tmp_path, "splat:\n  schedule: {kind: decaying, rate: 1}\n"))
    assert error.found == "splat.schedule.rate"
    assert "first, last" in str(error.expected)
    chosen = ["--splat.schedule.kind", "decaying", "--splat.schedule.first", "0.5"]
    assert load_config(Root, None, chosen).splat.schedule == Decaying(first=0.5)


def test_text_on_the_command_line_is_read_as_its_field_wants_it() -> None:
    read = load_config(Root, None, ["--cameras", "3,6", "--name", "01", "--splat.image", "[640, 480]"])
    assert read.cameras == ("3", "6")
    assert read.name == "01"
    assert read.splat.image == (640, 480)
    assert load_config(Root, None, ["--cameras", "3"]).cameras == ("3",)
    assert load_config(Root, None, ["--cameras", "[]"]).cameras == ()
    assert load_config(Root, None, ["--splat.image", "null"]).splat.image is None
    assert load_config(Root, None, ["--splat.schedule.rate", "1e-5"]).splat.schedule == Constant(rate=1e-5)
    assert load_config(Root, None, ["--splat.method", "off"]).splat.method == "off"


def test_yaml_has_no_surprises(tmp_path: Path) -> None:
    path = write(tmp_path, "name: yes\ncameras: [01, on, 1:30, 2020-01-01]\nsplat:\n  method: off\n")
    read = load_config(Root, path)
    assert read.name == "yes"
    assert read.cameras == ("01", "on", "1:30", "2020-01-01")
    assert read.splat.method == "off"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: [1\n", "line 2"),
        ("seed: 1\nseed: 2\n", "given twice"),
        ("- seed\n", "indented"),
        (
            "seed: !!python/object/apply:os.system ['true']\n",
            "which has no meaning here",
        ),
    ],
)
def test_what_is_not_a_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in str(refused(write(tmp_path, text)))


def test_a_missing_file_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.yaml").where == tmp_path / "none.yaml"
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in str(refused(tmp_path / "binary.yaml"))


@pytest.mark.parametrize("arguments", [["--seed"], ["seed", "3"], ["--seed", "3", "--seed", "4"]])
def test_options_come_in_pairs(arguments: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse_overrides(arguments)


def test_a_hyphen_is_an_underscore() -> None:
    assert parse_overrides(["--splat.max-steps", "3"]) == {"splat.max_steps": "3"}


def test_a_configuration_is_frozen_and_checked_when_made() -> None:
    with pytest.raises(AttributeError):
        Splat().steps = 3  # type: ignore[misc]
    with pytest.raises(ConfigError, match=r"'steps'(.|\n)*Splat(.|\n)*integer"):
        Splat(steps="3")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'step'"):
        Splat(step=3)  # type: ignore[call-arg]


def test_an_old_name_of_a_section_is_read_as_the_new_one_and_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "seed: 7\nblobs:\n  steps: 10\n  color: false\n")
    assert "blobs" in refused(path).what  # without the table it is a key that there is not
    monkeypatch.setitem(configuration.OLD_SECTIONS, "blobs", "splat")
    configuration._note_new_name.cache_clear()
    read = load_config(Root, path, ["--blobs.schedule.rate", "1e-5"])
    assert read == Root(seed=7, splat=Splat(steps=10, color=False, schedule=Constant(rate=1e-5)))
    assert capsys.readouterr().err == "note: 'blobs' in a configuration is called 'splat' now\n"
    error = refused(write(tmp_path, "seed: 7\nblobs:\n  stesp: 10\n"))
    assert (error.where, error.found) == (f"{path}, line 3", "splat.stesp")
    assert "'splat.steps'" in str(error.expected)
    assert refused(None, ["--blobs.steps", "many"]).where == "--blobs.steps on the command line"
    assert "old name" in refused(write(tmp_path, "blobs:\n  steps: 1\nsplat:\n  steps: 2\n")).what
    changed = configuration.changed_config(Root(), {"blobs.steps": 5}, "a test")
    assert changed == Root(splat=Splat(steps=5))


def test_keys_are_listed_with_every_branch() -> None:
    keys = dict(config_keys(Root))
    assert keys["splat.steps"] is int
    assert {"seed", "splat.schedule.rate", "splat.schedule.last"} <= set(keys)


@settings(max_examples=50)
@given(
    seed=st.integers(),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    cameras=st.lists(st.text("019eE.+-:,[]{}nulltrfas ~#'\"", max_size=6)).map(tuple),
    rate=st.floats(allow_nan=False, allow_infinity=False),
)
def test_what_is_written_is_read_back_equal(
    seed: int, name: str, cameras: tuple[str, ...], rate: float
) -> None:
    made = Root(seed=seed, name=name, cameras=cameras, splat=Splat(schedule=Constant(rate=rate)))
    text = format_config(made)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "written.yaml"
        path.write_text(text, "utf-8")
        assert load_config(Root, path) == made


def test_the_dump_is_plain_data() -> None:
    dumped = dump_config(Root(cameras=("a",)))
    assert dumped["cameras"] == ["a"]
    assert yaml.safe_load(yaml.safe_dump(dumped)) == dumped
