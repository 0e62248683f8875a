"""Biovision hierarchies (.bvh): a skeleton of offsets and a table of Euler angles.

The format has no standard for units, axes or the zero pose; all three are what the writer chose, and are kept here as
they are (`retarget` deals with them). Described in M. Meredith and S. Maddock, "Motion capture file formats
explained", 2001. Writers differ in more: in capitals, in blanks within names and before numbers, in names of end sites,
in where a row is broken, in whether a joint's own position replaces its offset. All is read that means only one thing.
"""

from __future__ import annotations

import codecs
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion.motion import MOST_TURNS, Motion
from simulacra.render.runtime.errors import InputError

_AXES = {"xrotation": 0, "yrotation": 1, "zrotation": 2}
_POSITIONS = ("xposition", "yposition", "zposition")

# What a file may hold. The largest that we know: 200 joints with fingers and a face; hours of them are cut into clips.
MOST_BYTES = 128 << 20
MOST_JOINTS = 2000
LONGEST_NAME = 256
# Of any number: a kilometre in micrometres, and squares of it are far from single precision's end.
LARGEST = 1e9
# Seconds. What is longer are frames a second or milliseconds, by mistake; the time of a single frame is of no matter.
SHORTEST_FRAME, LONGEST_FRAME = 1e-4, 1.0
SHOWN = 80  # characters of a file in an error
# What a joint's own position may vary, in parts of the skeleton's median bone, and still be its offset in a few digits.
_STILL = 1e-3


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, float, float] | None
    channels: list[str]


class _Reader:
    """The words of a file one by one, and then its lines, with where that is for errors that say so.

    Of the file no more than a line is in memory, whatever it holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        if not path.is_file():
            raise InputError("The motion cannot be read", where=path, expected="a .bvh text file")
        self.size = path.stat().st_size
        if self.size > MOST_BYTES:
            raise InputError(
                "The motion is too large", where=path, expected=f"<= {MOST_BYTES} bytes", found=self.size
            )
        self._lines = self._stream()
        self._words: Iterator[str] = iter(())

    def _stream(self) -> Iterator[str]:
        try:
            with self.path.open("rb") as file:
                start = file.read(4096)
            encoding = _encoding(start)
            # Names of joints may be in any old code page: what is no UTF-8 is kept as its number, for they need only
            # differ.
            with self.path.open(encoding=encoding, errors="backslashreplace") as stream:
                for self.line, line in enumerate(stream, 1):
                    yield line
        except (OSError, UnicodeError) as error:
            raise InputError(
                "The motion cannot be read", where=self.path, expected="a .bvh text file", found=error
            ) from error

    def fail(self, expected: str, found: object) -> InputError:
        return InputError(
            "The motion is no sound BVH file",
            where=f"{self.path}, line {max(self.line, 1)}",
            expected=expected,
            found=str(found)[:SHOWN],
        )

    def next(self, expected: str) -> str:
        while True:
            for word in self._words:
                return word
            line = next(self._lines, None)
            if line is None:
                raise self.fail(expected, "the end of the file")
            self._words = (found.group() for found in re.finditer(r"\S+", line))

    def push(self, word: str) -> None:
        self._words = itertools.chain([word], self._words)

    def keyword(self, *allowed: str) -> str:
        """The next word, which is one of these, in capitals or not."""
        word = self.next(" or ".join(allowed))
        if word.upper() not in allowed:
            raise self.fail(" or ".join(allowed), word)
        return word.upper()

    def label(self, *words: str) -> None:
        """Words with a colon after them, wherever their blanks are."""
        expected = " ".join(words) + ":"
        wanted, found = "".join(words).lower(), ""
        while len(found) < len(wanted):
            found += self.next(expected).lower()
            if not (found.startswith(wanted) or wanted.startswith(found)):
                raise self.fail(expected, found)
        rest = found[len(wanted) :].lstrip(":") or self.next("a number").lstrip(":")
        if rest:
            self.push(rest)

    def name(self) -> str:
        """All words before the bracket."""
        words: list[str] = []
        while (word := self.next("a joint's name, and {")) != "{":
            words.append(word)
            if sum(map(len, words)) > LONGEST_NAME:
                raise self.fail(f"a joint's name of at most {LONGEST_NAME} characters", " ".join(words))
        self.push("{")
        return " ".join(words)

    def number(self, expected: str = f"a number within {LARGEST:g}") -> float:
        word = self.next(expected)
        value = _number(word)
        if not abs(value) <= LARGEST:  # not a number, too
            raise self.fail(expected, word)
        return value

    def numbers_follow(self) -> bool:
        """Whether the next word is a number; it stays to be read."""
        word = self.next("a bracket")
        self.push(word)
        return math.isfinite(_number(word))

    def count(self, expected: str, most: int) -> int:
        value = self.number(expected)
        if not 1 <= value <= most or value != int(value):
            raise self.fail(expected, f"{value:g}")
        return int(value)

    def rows(self) -> Iterator[str]:
        """What is left of this line, and the lines after it."""
        return itertools.chain([" ".join(self._words)], self._lines)


def _encoding(start: bytes) -> str:
    """Of a text by its first bytes.

    Raises:
        UnicodeError: no text.
    """
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start:
        raise UnicodeError("bytes of no text")
    return "utf-8-sig"


def _number(word: str) -> float:
    """NaN for what is none, as Python's own 1_000 and foreign digits are. A comma is the decimal mark, or follows."""
    try:
        if not word.isascii() or "_" in word:
            return math.nan
        word = word.removesuffix(",")
        return float(word if "." in word else word.replace(",", ".", 1))
    except ValueError:
        return math.nan


def load_bvh(path: Path) -> Motion:
    """Read a .bvh file, in time and memory that grow with its size.

    A position of a joint other than the root stands for its offset, or is added to it: whichever is nearer to the
    offsets that the file has.

    Raises:
        InputError: missing, unreadable, beyond the bounds of this module, or not sound BVH; says the line and what was
            expected there.
    """
    reader = _Reader(Path(path))
    reader.keyword("HIERARCHY")
    reader.keyword("ROOT")
    joints = _read_joints(reader)
    channels = sum(len(joint.channels) for joint in joints)
    if channels == 0:
        raise reader.fail("a joint with CHANNELS", "none in the hierarchy")
    reader.keyword("MOTION")
    reader.label("Frames")
    # A number and what parts it from the next are two bytes: no file holds more frames than that, whatever it says.
    most = min(MOST_TURNS // len(joints), (reader.size + 1) // (2 * channels))
    frames = reader.count(f"1 to {most} frames of {len(joints)} joints in {reader.size} bytes", most)
    reader.label("Frame", "Time")
    seconds = _read_frame_time(reader, frames)
    rotations, positions = _decode(joints, _read_table(reader, frames, channels))
    offsets, shifts = _settle(np.array([joint.offset for joint in joints], dtype=np.float64), positions)
    return Motion(
        names=tuple(joint.name for joint in joints),
        parents=np.array([joint.parent for joint in joints]),
        offsets=offsets,
        rotations=rotations,
        root_positions=positions.get(0, np.zeros((frames, 3))) + offsets[0],
        fps=1 / seconds,
        shifts=shifts,
    )


def _read_frame_time(reader: _Reader, frames: int) -> float:
    expected = f"a frame time of {SHORTEST_FRAME:g} to {LONGEST_FRAME:g} seconds"
    seconds = reader.number(expected)
    if SHORTEST_FRAME <= seconds <= LONGEST_FRAME:
        return seconds
    if frames == 1:
        return LONGEST_FRAME
    raise reader.fail(f"{expected} (neither frames a second nor milliseconds)", f"{seconds:g}")


def _read_joints(reader: _Reader) -> list[_Joint]:
    """The hierarchy from its root's name to its last bracket; a list of open joints, for files nest as they like."""
    joints = [_Joint(reader.name() or "root", -1, None, [])]
    reader.keyword("{")
    names, inside = {joints[0].name}, [0]
    while inside:
        joint = joints[inside[-1]]
        word = reader.keyword("OFFSET", "CHANNELS", "JOINT", "END", "}")
        if word == "}":
            if joint.offset is None:
                raise reader.fail(f"OFFSET of {joint.name}", "}")
            inside.pop()
        elif word == "OFFSET":
            _read_offset(reader, joint)
        elif word == "CHANNELS":
            joint.channels = _read_channels(reader, joint)
        else:
            if len(joints) == MOST_JOINTS:
                raise reader.fail(f"at most {MOST_JOINTS} joints and end sites", "more")
            written = reader.name()
            reader.keyword("{")
            joints.append(_Joint(_unique(joint, word, written, names), inside[-1], None, []))
            names.add(joints[-1].name)
            inside.append(len(joints) - 1)
    return joints


def _unique(parent: _Joint, word: str, written: str, names: set[str]) -> str:
    """A name that no other joint has: an end site's is its parent's with `_end`; a second such gets a number."""
    name = written if word == "JOINT" and written else f"{parent.name}_end"
    return name if name not in names else f"{name}#{len(names)}"


def _read_offset(reader: _Reader, joint: _Joint) -> None:
    if joint.offset is not None:
        raise reader.fail("OFFSET of a joint once", "a second one")
    joint.offset = (reader.number(), reader.number(), reader.number())
    # Some write the angles of their rest pose behind it; the channels count from zero all the same.
    while reader.numbers_follow():
        reader.number()


def _read_channels(reader: _Reader, joint: _Joint) -> list[str]:
    known = (*_POSITIONS, *_AXES)
    if joint.channels:
        raise reader.fail("CHANNELS of a joint once", "a second list")
    count = reader.number(f"0 to {len(known)} channels")
    if count not in range(len(known) + 1):
        raise reader.fail(f"0 to {len(known)} channels", f"{count:g}")
    channels = [reader.keyword(*map(str.upper, known)).lower() for _ in range(int(count))]
    if len(set(channels)) < count:
        raise reader.fail("each channel once", " ".join(channels))
    return channels


def _read_table(reader: _Reader, frames: int, channels: int) -> Float[np.ndarray, "t c"]:
    """The numbers of all frames. A row is a line, or as many lines as its writer likes."""
    table, filled, first, uneven = np.empty(frames * channels), 0, reader.line, 0
    for line in reader.rows():
        words = line.rstrip("\x1a \t\r\n").split(maxsplit=len(table) - filled)
        if len(words) > len(table) - filled:
            raise _miscounted(reader, frames, channels, first, "more", uneven)
        values = np.fromiter(map(_number, words), np.float64, len(words))
        if not (np.abs(values) <= LARGEST).all():
            raise reader.fail(f"finite numbers within {LARGEST:g}", "something else than such numbers")
        table[filled : filled + len(words)] = values
        filled += len(words)
        if not uneven and filled % channels:
            uneven = reader.line
    if filled != len(table):
        rest = f" and {filled % channels} numbers" if filled % channels else ""
        raise _miscounted(reader, frames, channels, first, f"{filled // channels}{rest}", uneven)
    return table.reshape(frames, channels)


def _miscounted(
    reader: _Reader, frames: int, channels: int, first: int, found: str, uneven: int
) -> InputError:
    return InputError(
        "The motion has not the frames that it says",
        where=f"{reader.path}, line {uneven}, the first of another length" if uneven else reader.path,
        expected=f"{frames} lines of {channels} numbers, one for each channel, after line {first}",
        found=found,
        remedy="write the file again; or set Frames: to what it holds",
    )


def _decode(
    joints: list[_Joint], table: Float[np.ndarray, "t c"]
) -> tuple[Float[np.ndarray, "t n 3 3"], dict[int, np.ndarray]]:
    """Local rotations, multiplied in the order of the channels, and the positions, `t 3`, of joints that have some."""
    rotations = np.tile(np.eye(3), (len(table), len(joints), 1, 1))
    positions: dict[int, np.ndarray] = {}
    column = 0
    for index, joint in enumerate(joints):
        for channel in joint.channels:
            values = table[:, column]
            column += 1
            if channel in _AXES:
                rotations[:, index] = rotations[:, index] @ _about(_AXES[channel], np.radians(values))
            else:
                place = positions.setdefault(index, np.zeros((len(table), 3)))
                place[:, _POSITIONS.index(channel)] = values
    return rotations, positions


def _settle(
    offsets: Float[np.ndarray, "n 3"], positions: dict[int, np.ndarray]
) -> tuple[Float[np.ndarray, "n 3"], dict[int, np.ndarray]]:
    """Offsets of the joints with their own positions in them, and the places in each frame of those that move."""
    offsets = offsets.copy()
    lengths = np.linalg.norm(offsets[1:], axis=1)
    still = _STILL * float(np.median(lengths[lengths > 0])) if (lengths > 0).any() else 0.0
    shifts = {}
    for joint, values in positions.items():
        if joint == 0:
            continue
        middle = np.median(values, axis=0)
        added = np.linalg.norm(middle) < np.linalg.norm(middle - offsets[joint])
        if np.ptp(values, axis=0).max() > still:
            shifts[joint] = values + offsets[joint] if added else values
        offsets[joint] = middle + offsets[joint] if added else middle
    return offsets, shifts


def _about(axis: int, angles: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotations about a coordinate axis."""
    turned = np.tile(np.eye(3), (len(angles), 1, 1))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turned[:, i, i] = turned[:, j, j] = np.cos(angles)
    turned[:, j, i] = np.sin(angles)
    turned[:, i, j] = -np.sin(angles)
    return turned
