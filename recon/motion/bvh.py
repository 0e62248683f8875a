"""Biovision hierarchies (.bvh): a skeleton of offsets and a table of Euler angles.

The format has no standard for units, axes or the rest pose; all three are what the writer chose, and are kept here as
they are (`retarget` deals with them). Described in M. Meredith and S. Maddock, "Motion capture file formats
explained", 2001.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from simulacra.render.runtime.errors import InputError

_AXES = {"Xrotation": 0, "Yrotation": 1, "Zrotation": 2}
_POSITIONS = ("Xposition", "Yposition", "Zposition")

# What a file may hold. The largest that we know: 200 joints with fingers and a face; hours of them are cut into clips.
MOST_BYTES = 128 << 20
MOST_JOINTS = 2000
LONGEST_NAME = 256
# Frames by joints: a rotation is 72 bytes, and a few copies of all of them are in memory at once. A quarter of an hour
# of 80 joints at 120 frames a second is 8.6 million.
MOST_TURNS = 10_000_000
# Of any number: a kilometre in micrometres, and squares of it are far from single precision's end.
LARGEST = 1e9
SHORTEST_FRAME, LONGEST_FRAME = 1e-4, 60.0  # seconds
SHOWN = 80  # characters of a file in an error


@dataclass(frozen=True)
class Motion:
    """A skeleton in `t` frames of motion, in the units and axes of its file.

    Attributes:
        names: of the joints, parents before children; an end site is a joint called after its parent with `_end`.
        parents: -1 for the root, which is the first.
        offsets: of each joint from its parent at rest; of the root from the origin.
        rotations: local, parent from joint; identity at rest.
        root_positions: of the root joint, its offset included.
        fps: frames a second.
    """

    names: tuple[str, ...]
    parents: Int[np.ndarray, "n"]
    offsets: Float[np.ndarray, "n 3"]
    rotations: Float[np.ndarray, "t n 3 3"]
    root_positions: Float[np.ndarray, "t 3"]
    fps: float

    def __len__(self) -> int:
        return len(self.rotations)

    def global_rotations(self) -> Float[np.ndarray, "t n 3 3"]:
        """World from joint; identity at rest."""
        turned = self.rotations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                turned[:, joint] = turned[:, parent] @ self.rotations[:, joint]
        return turned

    def positions(self) -> Float[np.ndarray, "t n 3"]:
        """Of all joints in the world."""
        turned = self.global_rotations()
        places = np.repeat(self.root_positions[:, None], len(self.names), axis=1)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[:, joint] = places[:, parent] + turned[:, parent] @ self.offsets[joint]
        return places

    def rest_positions(self) -> Float[np.ndarray, "n 3"]:
        """Of all joints, no joint turned, the root at the origin."""
        places = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] = places[parent] + self.offsets[joint]
        return places

    def resampled(self, fps: float) -> Motion:
        """The same motion at another rate: positions linearly, rotations along the shortest arc between frames.

        Raises:
            InputError: the rate is not a positive number, or gives more frames than a motion may have.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise InputError(
                "A motion cannot be resampled to this rate", expected="frames a second above zero", found=fps
            )
        count = math.floor(min((len(self) - 1) / self.fps * fps, 2.0 * MOST_TURNS) + 1e-6) + 1
        if count * len(self.names) > MOST_TURNS:
            raise InputError(
                "A motion cannot be resampled to this rate",
                expected=f"at most {MOST_TURNS // len(self.names)} frames of {len(self.names)} joints",
                found=f"{(len(self) - 1) / self.fps:g} s at {fps:g} frames a second",
            )
        at = np.arange(count) * (self.fps / fps)
        before = np.minimum(at.astype(np.int64), len(self) - 1)
        after = np.minimum(before + 1, len(self) - 1)
        share = at - before
        between = np.swapaxes(self.rotations[before], -1, -2) @ self.rotations[after]
        turned = self.rotations[before] @ _partial(between, share[:, None])
        places = (
            self.root_positions[before] * (1 - share[:, None]) + self.root_positions[after] * share[:, None]
        )
        return replace(self, rotations=turned, root_positions=places, fps=fps)


def _partial(
    rotations: Float[np.ndarray, "t n 3 3"], share: Float[np.ndarray, "t 1"]
) -> Float[np.ndarray, "t n 3 3"]:
    """Rotations by a share of their angle, about their axis."""
    from scipy.spatial.transform import Rotation

    vectors = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(*rotations.shape[:2], 3)
    return (
        Rotation.from_rotvec((vectors * share[..., None]).reshape(-1, 3)).as_matrix().reshape(rotations.shape)
    )


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, float, float]
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
        self._words: Iterator[re.Match[str]] = iter(())

    def _stream(self) -> Iterator[str]:
        try:
            with self.path.open(encoding="utf-8-sig") as stream:
                for self.line, line in enumerate(stream, 1):
                    yield line
        except (OSError, UnicodeDecodeError) as error:
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
            for found in self._words:
                return found.group()
            line = next(self._lines, None)
            if line is None:
                raise self.fail(expected, "the end of the file")
            self._words = re.finditer(r"\S+", line)

    def keyword(self, *allowed: str) -> str:
        word = self.next(" or ".join(allowed))
        if word not in allowed:
            raise self.fail(" or ".join(allowed), word)
        return word

    def name(self) -> str:
        word = self.next("a joint's name")
        if len(word) > LONGEST_NAME:
            raise self.fail(f"a joint's name of at most {LONGEST_NAME} characters", word)
        return word

    def number(self, expected: str = f"a number within {LARGEST:g}") -> float:
        word = self.next(expected)
        value = _number(word)
        if not abs(value) <= LARGEST:  # not a number, too
            raise self.fail(expected, word)
        return value

    def count(self, expected: str, most: int) -> int:
        value = self.number(expected)
        if not 1 <= value <= most or value != int(value):
            raise self.fail(expected, f"{value:g}")
        return int(value)

    def rows(self) -> Iterator[str]:
        """The lines after that of the last word, but for empty ones."""
        return (line for line in self._lines if not line.isspace())


def _number(word: str) -> float:
    """NaN for what is none, as Python's own 1_000 and foreign digits are."""
    try:
        return float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        return math.nan


def load_bvh(path: Path) -> Motion:
    """Read a .bvh file, in time and memory that grow with its size.

    Position channels of joints other than the root are not used: the offsets stand for them.

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
    reader.keyword("Frames:")
    # A number and what parts it from the next are two bytes: no file holds more frames than that, whatever it says.
    most = min(MOST_TURNS // len(joints), (reader.size + 1) // (2 * channels))
    frames = reader.count(f"1 to {most} frames of {len(joints)} joints in {reader.size} bytes", most)
    reader.keyword("Frame")
    reader.keyword("Time:")
    expected = f"a frame time of {SHORTEST_FRAME:g} to {LONGEST_FRAME:g} seconds"
    seconds = reader.number(expected)
    if not SHORTEST_FRAME <= seconds <= LONGEST_FRAME:
        raise reader.fail(expected, seconds)
    rotations, positions = _decode(joints, _read_table(reader, frames, channels))
    return Motion(
        names=tuple(joint.name for joint in joints),
        parents=np.array([joint.parent for joint in joints]),
        offsets=np.array([joint.offset for joint in joints]),
        rotations=rotations,
        root_positions=positions,
        fps=1 / seconds,
    )


def _read_joints(reader: _Reader) -> list[_Joint]:
    """The hierarchy from its root's name to its last bracket; a list of open joints, for files nest as they like."""
    joints = [_read_joint(reader, -1, reader.name())]
    names, inside = {joints[0].name}, [0]
    while inside:
        joint = joints[inside[-1]]
        word = reader.keyword("CHANNELS", "JOINT", "End", "}")
        if word == "}":
            inside.pop()
            continue
        if word == "CHANNELS":
            joint.channels = _read_channels(reader, joint)
            continue
        if word == "End":
            reader.keyword("Site")
        name = reader.name() if word == "JOINT" else f"{joint.name}_end"
        if name in names:
            raise reader.fail("each joint once", f"a second {name}")
        if len(joints) == MOST_JOINTS:
            raise reader.fail(f"at most {MOST_JOINTS} joints and end sites", "more")
        joints.append(_read_joint(reader, inside[-1], name))
        names.add(name)
        inside.append(len(joints) - 1)
    return joints


def _read_joint(reader: _Reader, parent: int, name: str) -> _Joint:
    reader.keyword("{")
    reader.keyword("OFFSET")
    return _Joint(name, parent, (reader.number(), reader.number(), reader.number()), [])


def _read_channels(reader: _Reader, joint: _Joint) -> list[str]:
    known = (*_POSITIONS, *_AXES)
    if joint.channels:
        raise reader.fail("CHANNELS of a joint once", "a second list")
    count = reader.count(f"1 to {len(known)} channels", len(known))
    channels = [reader.keyword(*known) for _ in range(count)]
    if len(set(channels)) < count:
        raise reader.fail("each channel once", " ".join(channels))
    return channels


def _read_table(reader: _Reader, frames: int, channels: int) -> Float[np.ndarray, "t c"]:
    """The numbers of all frames; rows are lines."""
    table, found, first = np.empty((frames, channels)), 0, reader.line
    for found, line in enumerate(reader.rows(), 1):
        if found > frames:
            continue
        words = line.split(maxsplit=channels)
        values = np.fromiter(map(_number, words), np.float64, len(words))
        if len(words) != channels or not (np.abs(values) <= LARGEST).all():
            raise reader.fail(
                f"{channels} finite numbers within {LARGEST:g}, one for each channel",
                f"{'more' if len(words) > channels else len(words)} words"
                if len(words) != channels
                else "something else than such numbers",
            )
        table[found - 1] = values
    if found != frames:
        raise InputError(
            "The motion has not the frames that it says",
            where=reader.path,
            expected=f"{frames} lines of numbers after line {first}",
            found=found,
        )
    return table


def _decode(
    joints: list[_Joint], table: Float[np.ndarray, "t c"]
) -> tuple[Float[np.ndarray, "t n 3 3"], Float[np.ndarray, "t 3"]]:
    """Local rotations, multiplied in the order of the channels, and the root's positions."""
    rotations = np.tile(np.eye(3), (len(table), len(joints), 1, 1))
    positions = np.tile(np.array(joints[0].offset), (len(table), 1))
    column = 0
    for index, joint in enumerate(joints):
        for channel in joint.channels:
            values = table[:, column]
            column += 1
            if channel in _AXES:
                rotations[:, index] = rotations[:, index] @ _about(_AXES[channel], np.radians(values))
            elif index == 0:
                positions[:, _POSITIONS.index(channel)] += values
    return rotations, positions


def _about(axis: int, angles: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotations about a coordinate axis."""
    turned = np.tile(np.eye(3), (len(angles), 1, 1))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turned[:, i, i] = turned[:, j, j] = np.cos(angles)
    turned[:, j, i] = np.sin(angles)
    turned[:, i, j] = -np.sin(angles)
    return turned
