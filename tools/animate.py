"""`simulacra animate`: an avatar moved by a motion file, as a video."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from simulacra.recon.avatar.animate import camera_for, cameras_along, draw_motion, poses_of
from simulacra.recon.avatar.finished import open_avatar
from simulacra.recon.runs.progress import track
from simulacra.recon.session.video import write_video

from .warm import warm_up

WIDTH, HEIGHT, FPS = 512, 640, 30.0


def animate_run(run: Path, motion: Path, out: Path, camera: Literal["follow", "still"] = "follow") -> None:
    """Write the clip.

    Args:
        camera: one that goes along with the person, or one that stands where it sees the whole way.

    Raises:
        RunError: not a finished run with an avatar, or the video cannot be written.
        InputError: not a BVH file that can be understood.
    """
    avatar = open_avatar(run)
    warm_up(quiet=True)
    poses = poses_of(avatar, motion, FPS)
    if camera == "follow":
        cameras = cameras_along(avatar, poses, FPS, WIDTH, HEIGHT)
    else:
        cameras = camera_for(avatar, poses, WIDTH, HEIGHT)
    pictures = draw_motion(avatar, poses, cameras)
    count = len(poses.translation)
    write_video(out, track(pictures, "drawing", count), FPS)
    print(f"{out}: {count} pictures, {count / FPS:.1f} s")
