"""`simulacra animate`: an avatar moved by a motion file, as a video."""

from __future__ import annotations

from pathlib import Path

from recon.animate import camera_for, draw_motion, poses_of
from recon.finished import open_avatar
from recon.progress import track
from recon.video import write_video

WIDTH, HEIGHT, FPS = 512, 640, 30.0


def animate_run(run: Path, motion: Path, out: Path) -> None:
    """Write the clip.

    Raises:
        RunError: not a finished run with an avatar, or the video cannot be written.
        InputError: not a BVH file that can be understood.
    """
    avatar = open_avatar(run)
    poses = poses_of(avatar, motion, FPS)
    pictures = draw_motion(avatar, poses, camera_for(avatar, poses, WIDTH, HEIGHT))
    count = len(poses.translation)
    write_video(out, track(pictures, "drawing", count), FPS)
    print(f"{out}: {count} pictures, {count / FPS:.1f} s")
