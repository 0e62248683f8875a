"""Joint angles, degrees, in a few plain definitions; they are not the ISB's, which ask for bony landmarks.

Knees and elbows: by how much the lower segment departs from the line of the upper one, between centres of joints;
0 is straight, and it is never negative.

All others: how a segment has turned, seen from the one above, since zero pose, in which a person stands upright, arms a
little away from the sides. The turn R, in the axes that both segments have there (X to the person's left, Y up, Z
ahead), is taken apart as R = Rx Rz Ry: first what bends ahead and back, then to the side, then about Y. Signs are such
that what is named is positive on both sides of the body; bending to the right and turning to the left are positive for
pelvis, trunk and neck. Of an arm that is raised by more than a right angle the three become hard to read, as all such
angles do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion import Motion
from simulacra.render.runtime.whole_files import sync, whole_file


@dataclass(frozen=True)
class Turn:
    """The joint between two bones.

    Attributes:
        above: the bone that it is seen from; empty for the world.
        below: the bone that turns.
        angles: the angles' names and signs: of the turns about X, Z and Y.
    """

    above: str
    below: str
    angles: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Hinge:
    """A joint of one angle, by the heads of three bones.

    Attributes:
        name: of the angle.
        bones: the upper segment's two ends, and the lower one's other.
    """

    name: str
    bones: tuple[str, str, str]


def _turns(side: str) -> tuple[Turn, ...]:
    """Of one side; what is inward for the right is outward for the left."""
    low, inward = side.lower(), 1 if side == "R" else -1

    def ball(name: str) -> tuple[tuple[str, int], ...]:
        return (
            (f"{name}_flexion_{low}", -1),
            (f"{name}_adduction_{low}", inward),
            (f"{name}_rotation_{low}", inward),
        )

    ankle = (
        (f"ankle_dorsiflexion_{low}", -1),
        (f"ankle_inversion_{low}", inward),
        (f"ankle_adduction_{low}", inward),
    )
    return (
        Turn("root", f"upperleg02.{side}", ball("hip")),
        Turn(f"lowerleg02.{side}", f"foot.{side}", ankle),
        Turn("spine01", f"upperarm02.{side}", ball("shoulder")),
    )


TURNS: tuple[Turn, ...] = (
    Turn("", "root", (("pelvis_tilt", 1), ("pelvis_list", 1), ("pelvis_rotation", 1))),
    Turn("root", "spine01", (("trunk_flexion", 1), ("trunk_bending", 1), ("trunk_rotation", 1))),
    Turn("spine01", "head", (("neck_flexion", 1), ("neck_bending", 1), ("neck_rotation", 1))),
    *_turns("R"),
    *_turns("L"),
)
HINGES: tuple[Hinge, ...] = tuple(
    Hinge(f"{name}_{side.lower()}", (f"{first}.{side}", f"{middle}.{side}", f"{last}.{side}"))
    for side in "RL"
    for name, first, middle, last in (
        ("knee_flexion", "upperleg01", "lowerleg01", "foot"),
        ("elbow_flexion", "upperarm01", "lowerarm01", "wrist"),
    )
)


def joint_angles(motion: Motion) -> Mapping[str, Float[np.ndarray, " t"]]:
    """Degrees by name, and the pelvis' place, metres (`pelvis_tx`, `pelvis_ty`, `pelvis_tz`).

    Args:
        motion: of the body's own skeleton (`rig_motion`), metres.
    """
    world, places = motion.global_rotations(), motion.positions()
    columns = dict(zip(("pelvis_tx", "pelvis_ty", "pelvis_tz"), motion.root_positions.T, strict=True))
    for turn in TURNS:
        below = world[:, motion.names.index(turn.below)]
        if turn.above:
            below = world[:, motion.names.index(turn.above)].transpose(0, 2, 1) @ below
        for (name, sign), angles in zip(turn.angles, euler_xzy(below).T, strict=True):
            columns[name] = sign * np.degrees(np.unwrap(angles))
    for hinge in HINGES:
        first, middle, last = (places[:, motion.names.index(bone)] for bone in hinge.bones)
        upper, lower = middle - first, last - middle
        sine = np.linalg.norm(np.cross(upper, lower), axis=1)
        columns[hinge.name] = np.degrees(np.arctan2(sine, (upper * lower).sum(1)))
    return columns


def euler_xzy(rotations: Float[np.ndarray, "t 3 3"]) -> Float[np.ndarray, "t 3"]:
    """Angles about X, Z and Y, radians: R = Rx Rz Ry. Where Z is a quarter turn, Y is taken to be 0."""
    z = np.arcsin(-rotations[:, 0, 1].clip(-1, 1))
    x = np.arctan2(rotations[:, 2, 1], rotations[:, 1, 1])
    y = np.arctan2(rotations[:, 0, 2], rotations[:, 0, 0])
    locked = np.abs(rotations[:, 0, 1]) > 1 - 1e-10
    x = np.where(locked, np.arctan2(-rotations[:, 1, 2], rotations[:, 2, 2]), x)
    return np.stack([x, z, np.where(locked, 0, y)], 1)


def write_mot(path: Path, motion: Motion) -> None:
    """Writes OpenSim's table of motion, atomically: the columns of `joint_angles` after the time."""
    columns = {"time": np.arange(len(motion)) / motion.fps, **joint_angles(motion)}
    lines = [
        path.stem,
        "version=1",
        f"nRows={len(motion)}",
        f"nColumns={len(columns)}",
        "inDegrees=yes",
        "endheader",
    ]
    _write_table(path, lines, columns, "\t")


def write_csv(path: Path, motion: Motion) -> None:
    """Writes the same table with commas, atomically."""
    columns = {"time": np.arange(len(motion)) / motion.fps, **joint_angles(motion)}
    _write_table(path, [], columns, ",")


def _write_table(path: Path, lines: list[str], columns: Mapping[str, np.ndarray], between: str) -> None:
    lines = [*lines, between.join(columns)]
    lines += [between.join(f"{value:.6f}" for value in row) for row in zip(*columns.values(), strict=True)]
    with whole_file(path) as stream:
        stream.write(("\n".join(lines) + "\n").encode())
    sync(path.parent)
