"""BVH, as most programs write it: centimetres, +Y up, turns about Z, X and Y in this order, places of the root only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion import Motion
from simulacra.render.runtime.whole_files import sync, whole_file

CENTIMETRES = 100.0
ROOT_CHANNELS = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
CHANNELS = "CHANNELS 3 Zrotation Xrotation Yrotation"
# The length of the bone at an end that nothing hangs on, metres.
TIP = 0.03


def write_bvh(path: Path, motion: Motion) -> None:
    """Writes a motion in metres, atomically; what moves besides its root keeps its offset."""
    order: list[int] = []
    lines = ["HIERARCHY", *_hierarchy(motion, 0, 0, order), "MOTION"]
    lines += [f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.8f}"]
    angles = np.degrees(euler_zxy(motion.rotations[:, order]))
    # A curve that somebody edits does not jump by whole turns.
    angles = np.unwrap(angles, period=360.0, axis=0) if len(angles) > 1 else angles
    table = np.concatenate([motion.root_positions * CENTIMETRES, angles.reshape(len(motion), -1)], 1)
    with whole_file(path) as stream:
        stream.write(("\n".join(lines) + "\n").encode("ascii", "replace"))
        for row in table:
            stream.write((" ".join(f"{value:.5f}" for value in row) + "\n").encode("ascii"))
    sync(path.parent)


def euler_zxy(rotations: Float[np.ndarray, "*t 3 3"]) -> Float[np.ndarray, "*t 3"]:
    """Angles about Z, X and Y, radians: R = Rz Rx Ry. Where X is a quarter turn, Y is taken to be 0."""
    x = np.arcsin(rotations[..., 2, 1].clip(-1, 1))
    z = np.arctan2(-rotations[..., 0, 1], rotations[..., 1, 1])
    y = np.arctan2(-rotations[..., 2, 0], rotations[..., 2, 2])
    locked = np.abs(rotations[..., 2, 1]) > 1 - 1e-10
    z = np.where(locked, np.arctan2(rotations[..., 1, 0], rotations[..., 0, 0]), z)
    return np.stack([z, x, np.where(locked, 0, y)], -1)


def _hierarchy(motion: Motion, joint: int, depth: int, order: list[int]) -> list[str]:
    order.append(joint)
    pad, root = "  " * depth, motion.parents[joint] < 0
    # The root's channels have its place: an offset beside them would be added by some readers.
    offset = np.zeros(3) if root else motion.offsets[joint]
    lines = [
        f"{pad}{'ROOT' if root else 'JOINT'} {motion.names[joint]}",
        f"{pad}{{",
        f"{pad}  {_offset(offset)}",
    ]
    lines.append(f"{pad}  {ROOT_CHANNELS if root else CHANNELS}")
    children = np.flatnonzero(motion.parents == joint)
    for child in children:
        lines += _hierarchy(motion, int(child), depth + 1, order)
    if not len(children):
        length = float(np.linalg.norm(offset))
        tip = offset / length * TIP if length > 0 else np.array([0.0, TIP, 0.0])
        lines += [f"{pad}  End Site", f"{pad}  {{", f"{pad}    {_offset(tip)}", f"{pad}  }}"]
    return [*lines, f"{pad}}}"]


def _offset(metres: Float[np.ndarray, "3"]) -> str:
    return "OFFSET " + " ".join(f"{value * CENTIMETRES:.5f}" for value in metres)
