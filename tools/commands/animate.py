"""`simulacra animate`: an avatar moved by a motion file, as a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from .arguments import Run, check_file
from .warmup import warm_up

WIDTH, HEIGHT, FPS = 512, 640, 30.0


def animate(
    run: Run,
    motion: Annotated[Positional[Path], arg(metavar="MOTION.bvh")],
    /,
    out: Path,
    camera: Literal["follow", "still"] = "follow",
) -> None:
    """Move an avatar by a motion file, and write a video of it.

    Args:
        run: the folder that `simulacra reconstruct` made.
        motion: a BVH file.
        out: the video to write, .mp4.
        camera: follow: goes along with the person. still: stands where it sees the whole way.
    """
    from simulacra.recon.avatar.animate import camera_for, cameras_along, draw_motion, poses_of
    from simulacra.recon.avatar.finished import open_avatar
    from simulacra.recon.runs.progress import track
    from simulacra.recon.session.video import write_video

    check_file(out, (".mp4", ".m4v"), "a video")
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
