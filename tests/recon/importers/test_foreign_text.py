"""Foreign text costs no more than its size, and says no more than it says."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.importers.foreign_text import (
    image_size,
    number,
    numbers,
    read_foreign_json,
    read_toml,
    read_xml,
    read_yaml,
)
from simulacra.render.runtime.errors import CalibrationError, InputError

READERS: dict[str, Callable[[Path], object]] = {
    "json": read_foreign_json,
    "toml": read_toml,
    "yaml": read_yaml,
    "xml": read_xml,
}
BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in itertools.pairwise("abcdefghijklmnopqrstuvwxy")
)
BAD = {
    "json": ["", "{", "[" * 10**6, "9" * 5000, '{"a": 1, "a": 2}', '{"a": ' * 10**5, '"\\'],
    "toml": ["a", "a = " + "[" * 10**6, "a = " + "9" * 5000, "a = 1\na = 2", "a = 1979-99-99", '[a]\n["a"]'],
    "yaml": [
        "",
        "[",
        "a: " + "[" * 10**5,
        BOMB,
        "a: 1\na: 2",
        "? [a]\n: b",
        "%YAML:1.0",
        "a: *b",
        "\t- a",
        "&a *a",
        "a\n---\nb",
    ],
    "xml": [
        "",
        "<a>",
        "<a>" * 10**5,
        "<a>" + "<b/>" * 600_000 + "</a>",
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "<a>&nothing;</a>",
        "<a/><a/>",
    ],
}


@pytest.mark.parametrize("kind", READERS)
def test_what_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"file.{kind}"
    with pytest.raises(InputError, match="missing"):
        READERS[kind](path)
    for text in BAD[kind]:
        path.write_text(text)
        with pytest.raises(InputError):
            READERS[kind](path)
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="cannot be read"):
        READERS[kind](path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="missing"):
        READERS[kind](path)


def test_a_file_as_large_as_no_calibration_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    for read in READERS.values():
        with pytest.raises(InputError, match="too large"):
            read(path)


def test_yaml_is_text_as_it_stands(tmp_path: Path) -> None:
    """No octal numbers, no times of day, no yes and no: a camera named 010 keeps its name."""
    path = tmp_path / "a.yml"
    path.write_text(
        "%YAML:1.0\n---\nnames: [010, 1:30, yes, ~, 1e3]\nm: !!opencv-matrix\n  data: [ 1., .5 ]\n"
    )
    assert read_yaml(path) == {"names": ["010", "1:30", "yes", "~", "1e3"], "m": {"data": ["1.", ".5"]}}


def test_plain_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5]}')
    assert read_foreign_json(path) == {"a": [1, 2.5]}
    path.write_text('<?xml version="1.0" encoding="UTF-8"?>\n<a b="c"><d>e</d></a>')
    root = read_xml(path)
    assert (root.tag, root.get("b"), root.findtext("d")) == ("a", "c", "e")


@pytest.mark.parametrize(
    "value", [None, [[1, 2], [3]], [1, 2], [[1, 2, 3]], "x", [["a", "b"]], {"a": 1}, [[1, float("nan")]],
              [[1, float("inf")]], [[1, 1e300]], [[1, 10**400]], [[1, None]], [[[1, 2]]]],
)  # fmt: skip
def test_numbers_are_finite_and_of_their_shape(value: object) -> None:
    with pytest.raises(CalibrationError, match="K"):
        numbers(value, (1, 2), "K", "here")


def test_numbers_that_are() -> None:
    np.testing.assert_array_equal(numbers([["1.5", 2]], (1, None), "K", "here"), [[1.5, 2.0]])
    assert number("3e2", "f", "here") == 300.0
    assert image_size("640", 480.0, "here") == (640, 480)
    assert image_size(1913.79, 1085.758, "here") == (1914, 1086)
    for wrong in ((0, 5), (5, -1), (0.9, 5), (70000, 5), (True, 5), (None, 5)):
        with pytest.raises(CalibrationError):
            image_size(*wrong, "here")
