"""The person's motion without a picture: skeletons, centres of joints, angles, or all there is."""

from __future__ import annotations

from pathlib import Path

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.export_motion import (
    Rig,
    joint_markers,
    rig_motion,
    write_arrays_of,
    write_bvh,
    write_c3d,
    write_csv,
    write_mot,
    write_trc,
)
from simulacra.recon.export_run.asked import Posed

MOTIONS = ("bvh", "trc", "c3d", "mot", "csv", "npz")


def write_motion(out: Path, avatar: FinishedAvatar, poses: Posed, to: str, rig: Rig = "own") -> None:
    """Writes one file of all poses.

    Args:
        to: one of `MOTIONS`.
        rig: whose joints, of a BVH.

    Raises:
        MissingExtraError: C3D is asked for, and ezc3d is not installed.
    """
    body, rest, pose, fps = avatar.body, avatar.rig.rest, poses.pose, poses.fps
    if to in ("trc", "c3d"):
        (write_trc if to == "trc" else write_c3d)(out, joint_markers(body, rest, pose, fps))
    elif to == "npz":
        write_arrays_of(out, body, avatar.avatar.shape, rest, pose, fps)
    else:
        write = {"bvh": write_bvh, "mot": write_mot, "csv": write_csv}[to]
        write(out, rig_motion(body, rest, pose, fps, rig if to == "bvh" else "own"))
