"""The JSON files beside what a depth camera recorded: which of them is the calibration, by what is in it.

Also the size of its images, which often says more than the file does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simulacra.recon.importers.footage import inside
from simulacra.recon.importers.foreign_text import read_foreign_json
from simulacra.render.image import open_image
from simulacra.render.runtime.errors import CalibrationError, InputError

# A camera's calibration is 10 kB; larger files are something else's.
LARGEST = 1 << 20
# Of a folder: more are frames' own.
MOST_FILES = 20


def find_json(
    places: list[Path], named: str | None, fits: Callable[[Any], bool], expected: str
) -> tuple[Path, Any]:
    """The calibration in the first of the folders that has one, and what it holds.

    Args:
        places: the camera's folder, and the capture's.
        named: the file's name, where it was given: it is taken whatever it holds.
        fits: whether a file's contents are a calibration.
        expected: what it should hold, in words.

    Raises:
        InputError: there are several in one folder, or the named one is not there.
        CalibrationError: there is none.
    """
    if named is not None:
        path = next(
            (one for place in places if (one := inside(place, named)).is_file()), inside(places[0], named)
        )
        return path, read_foreign_json(path)
    for place in dict.fromkeys(places):
        found = [(path, value) for path, value in json_files(place) if fits(value)]
        if len(found) > 1:
            raise InputError(
                "there are several calibrations", where=place, found=", ".join(path.name for path, _ in found),
                remedy="name one of them: --calibration FILE",
            )  # fmt: skip
        if found:
            return found[0]
    raise CalibrationError("a camera has no calibration", where=places[0], expected=expected)


def json_files(folder: Path) -> list[tuple[Path, Any]]:
    """The JSON files of a folder that can be read, with what they hold."""
    found = []
    paths = [
        path for path in sorted(folder.glob("*.json")) if path.is_file() and path.stat().st_size < LARGEST
    ]
    for path in paths[:MOST_FILES]:
        try:
            found.append((path, read_foreign_json(inside(folder, path.name))))
        except InputError:
            continue  # of another program, maybe: the error about what is missing says what was looked for
    return found


def image_size_of(paths: Mapping[int, Path], where: object) -> tuple[int, int]:
    """Width and height of the first of a camera's images.

    Raises:
        InputError: it has none, or one that cannot be read.
    """
    if not paths:
        raise InputError("no color image has a depth image of its name", where=where)
    return open_image(next(iter(paths.values()))).size
