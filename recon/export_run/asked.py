"""Which poses of a person are asked for: at rest, in a frame of the capture, in all of them, or along a motion file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulacra.recon.avatar.animate import poses_of
from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.motion import load_bvh
from simulacra.recon.runs.run_folder import read_run_file
from simulacra.recon.session import load_session
from simulacra.recon.session.times import frame_seconds
from simulacra.render.body import BodyPose
from simulacra.render.runtime.errors import InputError, UserError

REST, ALL = "rest", "all"
# Of a capture that says none, or that has gone.
USUAL_FPS = 30.0


@dataclass(frozen=True)
class Posed:
    """A person in `t` poses.

    Attributes:
        pose: of each.
        numbers: of the frames in the capture or in the motion; empty at rest.
        fps: frames a second; of one pose, and of captures that say none, a guess.
    """

    pose: BodyPose
    numbers: tuple[int, ...]
    fps: float

    def __len__(self) -> int:
        return len(self.pose.translation)

    def __iter__(self) -> Iterator[BodyPose]:
        """One pose after the other, each a batch of one."""
        pose = self.pose
        for row in range(len(self)):
            one = slice(row, row + 1)
            yield BodyPose(pose.rotations[one], pose.translation[one], pose.expression[one])


def numbered(out: Path, poses: Posed) -> list[Path]:
    """The file of each pose: `a.sog` becomes `a_000012.sog` for frame 12; of one pose it is `a.sog`."""
    if len(poses) == 1:
        return [out]
    return [out.with_name(f"{out.stem}_{number:06d}{out.suffix}") for number in poses.numbers]


def frame_rate(run: Path, motion: Path | None = None) -> float:
    """Frames a second of the capture that a run was made of; the usual ones for a motion, and where the capture is one
    moment, has no times, or has gone.
    """
    if motion is not None:
        return USUAL_FPS
    try:
        session = load_session(str(read_run_file(run).get("session")))
    except UserError:
        return USUAL_FPS
    seconds = frame_seconds(session.frames)[0]
    return 1 / float(np.median(np.diff(seconds))) if len(seconds) > 1 else USUAL_FPS


def choose_poses(
    avatar: FinishedAvatar, at: str, fps: float, motion: Path | None = None, skeleton: Path | None = None
) -> Posed:
    """The poses that are asked for.

    Args:
        at: `rest` (zero pose: standing, arms a little away from the sides), `all`, or the number of a frame: of the
            capture, or of the motion where there is one.
        fps: frames a second, of the capture; to which a motion is brought.
        motion: a BVH file instead of the capture.
        skeleton: a table of the motion's joints by part of the person.

    Raises:
        InputError: there is no such frame, or the motion cannot be read or understood.
    """
    if at == REST:
        return Posed(avatar.body.zero_pose(), (), fps)
    if motion is None:
        every = Posed(avatar.fit.pose, tuple(map(int, avatar.fit.frames)), fps)
    else:
        pose = poses_of(avatar, load_bvh(motion), fps, skeleton)
        every = Posed(pose, tuple(range(len(pose.translation))), fps)
    if at == ALL:
        return every
    if not at.isascii() or not at.isdigit() or int(at) not in every.numbers:
        raise InputError(
            "there is no such frame to be exported",
            where=f"--at {at}",
            expected=f"{REST}, {ALL}, or a frame: {_range(every.numbers)}",
            found=at,
        )
    row = every.numbers.index(int(at))
    return Posed(list(every)[row], (int(at),), fps)


def _range(numbers: tuple[int, ...]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else ", ".join(map(str, numbers))
