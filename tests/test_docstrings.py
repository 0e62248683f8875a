"""Docstrings say one thing a line, of what is there; the check that says so finds each way of not doing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docstring_lint import check_docstring, check_file, main

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("render", "recon", "tools", "examples")
NAMES = {"width", "height", "depth"}

SOUND = """A picture of a person: what it is, over two lines of prose that are as long as
they can be, and a list:

- one thing,
  which goes on
- another thing.

    a table      with a row
                 that goes on

Attributes:
    width: pixels; `none: 0` is a word of its own, and so is
        one: that is no field.
    height: likewise.
"""


def test_every_docstring_can_be_read() -> None:
    asked = [sys.executable, "-m", "tests.docstring_lint", *FOLDERS]
    found = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_what_is_sound_is_left_alone() -> None:
    assert list(check_docstring(SOUND, NAMES)) == []


@pytest.mark.parametrize(
    ("section", "line", "fault"),
    [
        ("width, height: pixels.", 1, "several names in one entry: width, height"),
        ("width: pixels. height: likewise.", 1, "an entry within an entry: height"),
        ("width: pixels, and\n        then. depth, height:\n        metres.", 2, "entry: depth, height"),
        ("width: pixels of the\n    picture.", 2, "not indented by four more"),
        ("width: pixels of the\n        picture\n            of it.", 3, "indented by more than four"),
        ("weight: kilograms.", 1, "an entry for weight, which is not there"),
    ],
)
@pytest.mark.parametrize("header", ["Args:", "Attributes:"])
def test_damaged_sections_are_found(header: str, section: str, line: int, fault: str) -> None:
    ((at, said),) = check_docstring(f"A picture.\n\n{header}\n    {section}", NAMES)
    assert (at, said[-len(fault) :]) == (line + 2, fault)


@pytest.mark.parametrize(
    ("prose", "line", "fault"),
    [
        ("One line that is long enough to be one,\n    and another.", 1, "is indented"),
        (
            "One line that is long enough.\nA second\none, and a third that goes on for long.",
            1,
            "end of its lines",
        ),
    ],
)
def test_damaged_prose_is_found(prose: str, line: int, fault: str) -> None:
    ((at, said),) = check_docstring(prose, None)
    assert (at, said[-len(fault) :]) == (line, fault)


PLANTED = '''"""A module."""


class Picture:
    """A picture.

    Attributes:
        width: pixels.
        area, depth: of it.
    """

    width: int

    @property
    def area(self) -> int:
        return self.width


def draw(width, *, height):
    """Draws.

    Args:
        width: pixels.
        color: red.
    """
'''


def test_files_are_read_with_the_names_that_they_define(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "planted.py"
    path.write_text(PLANTED)
    assert [(line, fault) for _, line, fault in check_file(path)] == [
        (9, "several names in one entry: area, depth"),
        (9, "an entry for depth, which is not there"),
        (24, "an entry for color, which is not there"),
    ]
    assert main([str(tmp_path)]) == 1
    assert f"{path}:9: several names" in capsys.readouterr().out
