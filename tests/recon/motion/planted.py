"""Motions made up for tests: a person of sticks with CMU's joint names, and the body's own skeleton."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from simulacra.recon.motion import Motion
from simulacra.render.body import BodyModel, RestBody

# Joint, parent, offset: a T-pose, Y up, facing +Z, in some unit.
STICKS = [
    ("Hips", "", (0, 10, 0)),
    ("LowerBack", "Hips", (0, 1, 0)),
    ("Spine", "LowerBack", (0, 1, 0)),
    ("Spine1", "Spine", (0, 1, 0)),
    ("Neck", "Spine1", (0, 2, 0)),
    ("Neck1", "Neck", (0, 0.5, 0)),
    ("Head", "Neck1", (0, 0.5, 0)),
    ("LeftShoulder", "Spine1", (0, 1, 0)),
    ("LeftArm", "LeftShoulder", (1.5, 0, 0)),
    ("LeftForeArm", "LeftArm", (3, 0, 0)),
    ("LeftHand", "LeftForeArm", (2.5, 0, 0)),
    ("LeftUpLeg", "Hips", (1, -0.5, 0)),
    ("LeftLeg", "LeftUpLeg", (0, -4, 0)),
    ("LeftFoot", "LeftLeg", (0, -4, 0)),
    ("LeftToeBase", "LeftFoot", (0, -0.5, 1.5)),
]
RIGHT = [
    (n.replace("Left", "Right"), p.replace("Left", "Right"), (-x, y, z))
    for n, p, (x, y, z) in STICKS
    if "Left" in n
]


def sticks(
    turned: dict[str, list[float]] | None = None,
    frames: int = 1,
    shift: tuple[float, float, float] = (0, 0, 0),
) -> Motion:
    """The sticks in `frames` frames: joints turned by rotation vectors, the root moved by `shift` a frame."""
    joints = STICKS + RIGHT
    names = [name for name, _, _ in joints]
    rotations = np.tile(np.eye(3), (frames, len(names), 1, 1))
    for name, vector in (turned or {}).items():
        rotations[:, names.index(name)] = Rotation.from_rotvec(vector).as_matrix()
    return Motion(
        names=tuple(names),
        parents=np.array([names.index(parent) if parent else -1 for _, parent, _ in joints]),
        offsets=np.array([offset for _, _, offset in joints], dtype=np.float64),
        rotations=rotations,
        root_positions=np.array([0.0, 10.0, 0.0]) + np.arange(frames)[:, None] * np.array(shift),
        fps=30.0,
    )


def in_other_axes(motion: Motion, turn: np.ndarray, scale: float) -> Motion:
    """The same motion written by somebody with other axes and another unit."""
    return replace(
        motion,
        offsets=scale * motion.offsets @ turn.T,
        rotations=turn @ motion.rotations @ turn.T,
        root_positions=scale * motion.root_positions @ turn.T,
    )


def own_skeleton(body: BodyModel, rest: RestBody, rotations: np.ndarray) -> Motion:
    """The body's own bones as a motion; `rotations` are axis-angles of every bone, `t j 3`."""
    heads = body.pose(rest, body.zero_pose()).T_world_bone[0, :, :3, 3].double().numpy()
    parents = body.bone_parents.numpy()
    offsets = heads - np.where(parents[:, None] >= 0, heads[parents], 0)
    turned = Rotation.from_rotvec(rotations.reshape(-1, 3)).as_matrix().reshape(*rotations.shape, 3)
    return Motion(body.bone_names, parents, offsets, turned, np.repeat(heads[:1], len(rotations), 0), 30.0)


def as_bvh(motion: Motion, order: str = "ZYX") -> str:
    """The text of a .bvh file with a `CHANNELS` line of this order for every joint."""
    lines = ["HIERARCHY"]

    def write(joint: int, depth: int) -> None:
        pad = "  " * depth
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {motion.names[joint]}")
        lines.append(f"{pad}{{")
        lines.append(f"{pad}  OFFSET " + " ".join(f"{x:.9f}" for x in motion.offsets[joint]))
        channels = [f"{axis}rotation" for axis in order]
        if depth == 0:
            channels = ["Xposition", "Yposition", "Zposition", *channels]
        lines.append(f"{pad}  CHANNELS {len(channels)} " + " ".join(channels))
        children = np.flatnonzero(motion.parents == joint)
        for child in children:
            write(int(child), depth + 1)
        if len(children) == 0:
            lines.extend([f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET 0 0.1 0", f"{pad}  }}"])
        lines.append(f"{pad}}}")
        visited.append(joint)

    visited: list[int] = []
    write(0, 0)
    depth_first = _depth_first(motion.parents)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.9f}"]
    for turned, place in zip(motion.rotations, motion.root_positions, strict=True):
        angles = [Rotation.from_matrix(turned[joint]).as_euler(order, degrees=True) for joint in depth_first]
        row = np.concatenate([place - motion.offsets[0], *angles])
        lines.append(" ".join(f"{x:.9f}" for x in row))
    return "\n".join(lines) + "\n"


def _depth_first(parents: np.ndarray, joint: int = 0) -> list[int]:
    order = [joint]
    for child in np.flatnonzero(parents == joint):
        order += _depth_first(parents, int(child))
    return order
