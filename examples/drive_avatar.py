"""Drive an avatar with a motion: `python examples/drive_avatar.py RUN --out waving.mp4 [--motion WALK.bvh]`."""

from pathlib import Path

import torch
import tyro

from simulacra.recon.avatar.animate import camera_for, draw_motion
from simulacra.recon.avatar.finished import FinishedAvatar, open_avatar
from simulacra.recon.motion import load_motion, retarget
from simulacra.recon.session.video import write_video
from simulacra.render.body import BodyPose

FPS = 25.0


def main(run: Path, out: Path = Path("waving.mp4"), motion: Path | None = None, size: int = 512) -> BodyPose:
    """Returns the poses, one a picture; without a motion file the person waves."""
    avatar = open_avatar(run)
    recorded = None if motion is None else load_motion(motion)[0]
    poses = wave(avatar) if recorded is None else retarget(recorded, avatar.body, avatar.rig.rest, fps=FPS)
    camera = camera_for(avatar, poses, size, size)  # stands still, and sees the whole motion
    write_video(out, draw_motion(avatar, poses, camera), FPS)
    return poses


def wave(avatar: FinishedAvatar, frames: int = 50) -> BodyPose:
    """Two seconds of a raised left arm whose forearm swings twice."""
    pose = avatar.body.zero_pose(frames)
    swing = torch.sin(torch.linspace(0, 4 * torch.pi, frames))
    bones = avatar.body.bone_names
    pose.rotations[:, bones.index("upperarm01.L"), 2] = 1.3
    pose.rotations[:, bones.index("lowerarm01.L"), 2] = 0.5 + 0.4 * swing
    return pose


if __name__ == "__main__":
    poses = tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
    print(f"{len(poses.translation)} pictures, {len(poses.translation) / FPS:.1f} s")
