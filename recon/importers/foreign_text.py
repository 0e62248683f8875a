"""Foreign calibration files as plain dictionaries, lists and numbers: bounded in size, depth and work, named errors.

What a file may hold is decided here once: no aliases or entities that multiply, no nesting that exhausts the stack, no
key twice, no number that is not one. What it means is its importer's business.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.runs.yaml_text import DEEPEST, YamlTextError, parse_yaml
from simulacra.render.runtime.errors import CalibrationError, InputError

# A calibration of a hundred cameras is 100 kB; a nerfstudio file of ten thousand images 10 MB.
MOST_BYTES = 64 << 20
# YAML and TOML are read by slow parsers, and hold calibrations only.
MOST_YAML_BYTES = 1 << 20
# Of a JSON file: ten thousand images of nerfstudio have half a million; so many empty lists are 300 MB.
MOST_VALUES = 5_000_000
# Parts of a dotted name in TOML, bare or quoted; begun only where a name begins, so that it is looked at once.
_LONG_NAME = re.compile(r"""(?<![\w."'-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){16}""")
XML_CHUNK = 1 << 16
# Keys that a note names.
MOST_NAMED = 12
MOST_ELEMENTS = 500_000


def read_text(path: Path, what: str = "a calibration", most: int = MOST_BYTES) -> str:
    """A text file as it is.

    Raises:
        InputError: missing, larger than such a file can be, or not UTF-8.
    """
    try:
        if not path.is_file():
            raise InputError(f"{what} is missing", where=path)
        if path.stat().st_size > most:
            raise InputError(
                f"{what} is too large", where=path, expected=f"<= {most}", found=path.stat().st_size
            )
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what} cannot be read", where=path, found=error) from error


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        InputError: unreadable, not TOML, or nested deeply.
    """
    text = read_text(path, most=MOST_YAML_BYTES)
    try:
        # A table whose name has thousands of parts is walked down again for every line in it: minutes for a megabyte.
        if _LONG_NAME.search(text):
            raise ValueError(f"a name of more than {DEEPEST} parts")
        return _bounded(tomllib.loads(text))
    # Beside its own error: nesting that exhausts the stack, and integers of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise InputError("a calibration is not TOML", where=path, found=_short(error)) from error


def read_foreign_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        InputError: unreadable, not JSON, with a key twice, nested deeply or of too many values.
    """
    text = read_text(path)
    try:
        # Each value but the first follows one of these; those in texts count too.
        if sum(map(text.count, "[{,")) > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")
        return _bounded(json.loads(text, object_pairs_hook=_once))
    except (ValueError, RecursionError) as error:
        raise InputError("a file is not JSON", where=path, found=_short(error)) from error


def read_yaml(path: Path) -> Any:
    """A YAML file, OpenCV's included, with every scalar as the text that it is and tags left out.

    OpenCV begins with ``%YAML:1.0``, which YAML does not allow, and marks matrices with a tag.

    Raises:
        InputError: unreadable, not YAML, with a key twice, or nested or multiplied beyond `recon.runs.yaml_text`.
    """
    text = read_text(path, most=MOST_YAML_BYTES)
    if text.startswith("%YAML"):
        text = text.partition("\n")[2]
    try:
        value = parse_yaml(text, lambda event: event.value, tags=True).value
    except YamlTextError as error:
        where = path if error.line is None else f"{path}, line {error.line}"
        raise InputError("a calibration is not YAML", where=where, found=_short(error)) from error
    if value is None:
        raise InputError("a calibration is not YAML", where=path, found="nothing in it")
    return value


def read_xml(path: Path) -> ElementTree.Element:
    """An XML file's root.

    Raises:
        InputError: unreadable, not XML, or with a document type (a calibration has none, an attack has).
    """
    text = read_text(path)
    # Entities can expand to gigabytes or name other files; a calibration has no use for them.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(
            "a calibration declares a document type or an entity", where=path, expected="plain XML"
        )
    parser: Any = ElementTree.XMLPullParser(["start", "end"])
    root, depth, count = None, 0, 0
    try:
        for start in range(0, len(text) + 1, XML_CHUNK):
            parser.feed(text[start : start + XML_CHUNK])
            if start + XML_CHUNK > len(text):
                parser.close()
            for event, element in parser.read_events():
                root = element if root is None else root
                depth, count = depth + (1 if event == "start" else -1), count + 1
                if depth > DEEPEST or count > 2 * MOST_ELEMENTS:
                    raise InputError(
                        "a calibration is nested too deeply or has too many elements", where=path
                    )
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(
            "a calibration is not XML",
            where=path,
            found=_short(error),
            remedy="copy it again from the source",
        ) from error
    if root is None:
        raise InputError("a calibration is not XML", where=path, found="nothing")
    return root


def numbers(value: object, shape: tuple[int | None, ...], what: str, where: object) -> np.ndarray:
    """Finite float64 numbers of a shape (None: any length) out of nested lists, as JSON, TOML or YAML have them.

    Raises:
        CalibrationError: missing, not numbers, not finite, or of another shape.
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise CalibrationError(f"{what} is not numbers", where=where, found=_short(value)) from error
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape))
    if not fits or not np.isfinite(array).all() or value is None:
        raise CalibrationError(
            f"{what} is not finite numbers of its shape",
            where=where,
            expected="x".join("n" if n is None else str(n) for n in shape) or "a number",
            found=_short(value),
        )
    # Products of huge numbers overflow; no length in any unit and no pixel is so large.
    if array.size and np.abs(array).max() > 1e15:
        raise CalibrationError(f"{what} is larger than can be", where=where, found=_short(value))
    return array


def number(value: object, what: str, where: object) -> float:
    """One finite number.

    Raises:
        CalibrationError: it is not.
    """
    if isinstance(value, bool):
        raise CalibrationError(f"{what} is not a number", where=where, found=value)
    return float(numbers(value, (), what, where))


def image_size(width: object, height: object, where: object) -> tuple[int, int]:
    """Width and height as whole pixels: calibrations that were scaled have others, and are rounded.

    Raises:
        CalibrationError: not numbers from 1 to 65536.
    """
    found = number(width, "the width", where), number(height, "the height", where)
    if any(not 1 <= side <= 65536 for side in found):
        raise CalibrationError(
            "an image size cannot be", where=where, expected="1 to 65536 pixels",
            found=f"{found[0]:g}x{found[1]:g}", remedy="write the size of the recording, in pixels",
        )  # fmt: skip
    return round(found[0]), round(found[1])


def say_unused(keys: Iterable[str], where: Path) -> list[str]:
    """A note that names the keys of a file that nothing is made of."""
    named = sorted(set(keys))
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    said = ", ".join(repr(key[:40])[1:-1] for key in named[:MOST_NAMED])
    return [f"not used of {where.name}: {said}{more}"] if named else []


def unused_parts(root: ElementTree.Element, known: Collection[str]) -> list[str]:
    """Elements ("tag"), and attributes ("tag.attribute") of known ones, of an XML file that are not among the known.

    What lies within an element that is not known is not looked at.
    """
    found: dict[str, None] = {}
    todo = [root]
    while todo:
        element = todo.pop()
        if element.tag not in known:
            found[element.tag] = None
            continue
        names = (f"{element.tag}.{key}" for key in element.attrib)
        found.update(dict.fromkeys(name for name in names if name not in known))
        todo.extend(element)
    return list(found)


def mapping(value: object, what: str, where: object) -> Mapping[str, Any]:
    """A table of the file.

    Raises:
        CalibrationError: it is something else.
    """
    if not isinstance(value, dict):
        raise CalibrationError(f"{what} is not a table", where=where, found=_short(value))
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _bounded(tree: Any) -> Any:
    """The tree itself, where it is not nested more than ``DEEPEST``: what looks through it later may recurse."""
    level = [tree]
    for _ in range(DEEPEST + 1):
        inside = (
            node.values() if isinstance(node, dict) else node
            for node in level
            if isinstance(node, dict | list)
        )
        level = list(itertools.chain.from_iterable(inside))
        if not level:
            return tree
    raise ValueError("nested too deeply")


def _short(value: object) -> str:
    """The beginning of anything in words; of a huge integer, that it is one."""
    try:
        return str(value)[:120]
    except ValueError:
        return "an integer of thousands of digits"
