"""Biovision hierarchies (.bvh): a skeleton of offsets and a table of Euler angles.

The format has no standard for units, axes or the rest pose; all three are what the writer chose, and are kept here as
they are (`retarget` deals with them). Described in M. Meredith and S. Maddock, "Motion capture file formats
explained", 2001.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from simulacra.render.runtime.errors import InputError

_AXES = {"Xrotation": 0, "Yrotation": 1, "Zrotation": 2}
_POSITIONS = ("Xposition", "Yposition", "Zposition")


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
            InputError: the rate is not a positive number.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise InputError(
                "A motion cannot be resampled to this rate", expected="frames a second above zero", found=fps
            )
        count = math.floor((len(self) - 1) / self.fps * fps + 1e-6) + 1
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
    """The words of a file with the line that each is on, for errors that say where."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                "The motion cannot be read", where=path, expected="a .bvh text file", found=error
            ) from error
        self.lines = text.splitlines()
        self.words = [(word, i + 1) for i, line in enumerate(self.lines) for word in line.split()]
        self.at = 0

    def fail(self, expected: str, found: object) -> InputError:
        line = self.words[min(self.at, len(self.words)) - 1][1] if self.words else 1
        return InputError(
            "The motion is no sound BVH file",
            where=f"{self.path}, line {line}",
            expected=expected,
            found=found,
        )

    def next(self, expected: str) -> str:
        if self.at >= len(self.words):
            raise self.fail(expected, "the end of the file")
        self.at += 1
        return self.words[self.at - 1][0]

    def keyword(self, *allowed: str) -> str:
        word = self.next(" or ".join(allowed))
        if word not in allowed:
            raise self.fail(" or ".join(allowed), word)
        return word

    def number(self) -> float:
        word = self.next("a number")
        try:
            value = float(word)
        except ValueError:
            raise self.fail("a number", word) from None
        if not math.isfinite(value):
            raise self.fail("a finite number", word)
        return value


def load_bvh(path: Path) -> Motion:
    """Read a .bvh file.

    Position channels of joints other than the root are not used: the offsets stand for them.

    Raises:
        InputError: missing or unreadable, or not sound BVH; says the line and what was expected there.
    """
    reader = _Reader(Path(path))
    reader.keyword("HIERARCHY")
    reader.keyword("ROOT")
    joints: list[_Joint] = []
    _read_joint(reader, joints, parent=-1, name=reader.next("the root's name"))
    reader.keyword("MOTION")
    reader.keyword("Frames:")
    frames = reader.number()
    if frames != int(frames) or frames < 1:
        raise reader.fail("one frame or more", frames)
    reader.keyword("Frame")
    reader.keyword("Time:")
    seconds = reader.number()
    if seconds <= 0:
        raise reader.fail("a frame time above zero", seconds)
    table = _read_table(reader, int(frames), sum(len(joint.channels) for joint in joints))
    rotations, positions = _decode(joints, table)
    return Motion(
        names=tuple(joint.name for joint in joints),
        parents=np.array([joint.parent for joint in joints]),
        offsets=np.array([joint.offset for joint in joints]),
        rotations=rotations,
        root_positions=positions,
        fps=1 / seconds,
    )


def _read_joint(reader: _Reader, joints: list[_Joint], parent: int, name: str) -> None:
    if any(joint.name == name for joint in joints):
        raise reader.fail("each joint once", f"a second {name}")
    reader.keyword("{")
    reader.keyword("OFFSET")
    joint = _Joint(name, parent, (reader.number(), reader.number(), reader.number()), [])
    own = len(joints)
    joints.append(joint)
    while True:
        word = reader.keyword("CHANNELS", "JOINT", "End", "}")
        if word == "}":
            return
        if word == "CHANNELS":
            joint.channels = [reader.keyword(*_POSITIONS, *_AXES) for _ in range(int(reader.number()))]
        elif word == "JOINT":
            _read_joint(reader, joints, own, reader.next("a joint's name"))
        else:
            reader.keyword("Site")
            _read_joint(reader, joints, own, f"{name}_end")


def _read_table(reader: _Reader, frames: int, channels: int) -> Float[np.ndarray, "t c"]:
    """The numbers of all frames; rows are lines."""
    first = reader.words[reader.at - 1][1]
    rows = [(number, line) for number, line in enumerate(reader.lines[first:], first + 1) if line.strip()]
    if len(rows) != frames:
        raise InputError(
            "The motion has not the frames that it says",
            where=reader.path,
            expected=f"{frames} lines of numbers after line {first}",
            found=len(rows),
        )
    table = np.empty((frames, channels))
    for row, (number, line) in zip(table, rows, strict=True):
        words = line.split()
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            values = np.full(1, np.nan)
        if len(words) != channels or not np.isfinite(values).all():
            raise InputError(
                "The motion is no sound BVH file",
                where=f"{reader.path}, line {number}",
                expected=f"{channels} finite numbers, one for each channel",
                found=f"{len(words)} words"
                if len(words) != channels
                else "something else than finite numbers",
            )
        row[:] = values
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
