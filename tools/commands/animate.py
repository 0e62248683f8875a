"""`simulacra animate`: an avatar moved by a motion file, as a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from .arguments import Run, Unseen, check_file
from .inputs import Input, OptionalInput
from .outputs import OutFile
from .warmup import warm_up

if TYPE_CHECKING:
    from simulacra.recon.avatar.finished import FinishedAvatar
    from simulacra.render.body import BodyPose
    from simulacra.render.camera import Cameras

WIDTH, HEIGHT, FPS = 512, 640, 30.0
# A GIF is for a page or a thread: a tenth of the bytes, at a rate that its hundredths of a second can say.
GIF_WIDTH, GIF_HEIGHT, GIF_FPS = 256, 320, 20.0
# A motion of one frame is a pose: long enough to be looked at.
HELD_SECONDS = 2.0


def animate(
    run: Run,
    motion: Annotated[Positional[Path], arg(metavar="MOTION"), Input("file")],
    /,
    out: OutFile,
    camera: Literal["follow", "still"] = "follow",
    skeleton: OptionalInput = None,
    unseen: Unseen = "keep",
) -> None:
    """Move an avatar by a motion file, and write a video of it. A motion of one frame is held for two seconds.

    Args:
        run: the folder that `simulacra reconstruct` made.
        motion: a BVH file, an .npz of poses of SMPL, SMPL-H or SMPL-X (AMASS) or of FLAME (VHAP), or a folder of
            EasyMocap's or ExAvatar's.
        out: the video to write, .mp4; or .gif, small and slower, which repeats for ever.
        camera: follow: goes along with the person. still: stands where it sees the whole way.
        skeleton: a table (TOML) of which joints are which parts of the person, for a skeleton that is not understood.
        unseen: what no training view saw of the person. keep: as it was guessed. neutral: gray. drop: left out.
    """
    from simulacra.recon.runs.run_folder import check_has_avatar

    # What is wrong with names is said before anything heavy is loaded.
    check_file(out, (".mp4", ".m4v", ".gif"), "a video")
    check_has_avatar(run)
    from simulacra.recon.avatar.animate import camera_for, cameras_along, poses_of
    from simulacra.recon.avatar.finished import open_avatar
    from simulacra.recon.motion import describe_skeleton, find_skeleton, load_motion

    gif = out.suffix.lower() == ".gif"
    width, height, fps = (GIF_WIDTH, GIF_HEIGHT, GIF_FPS) if gif else (WIDTH, HEIGHT, FPS)
    avatar = open_avatar(run)
    if unseen != "keep":
        avatar = avatar.showing(unseen)
    recorded, unused = load_motion(motion)
    print(f"{motion.name}: {describe_skeleton(recorded, find_skeleton(recorded, skeleton))}")
    if unused:
        print(f"{motion.name}: {unused}")
    warm_up(quiet=True)
    poses = poses_of(avatar, recorded, fps, skeleton)
    see = cameras_along(avatar, poses, fps, width, height) if camera == "follow" else None
    count = _write_clip(out, avatar, poses, see or camera_for(avatar, poses, width, height), fps)
    print(f"{out}: {count} pictures, {count / fps:.1f} s{', one pose' if len(recorded) == 1 else ''}")


def _write_clip(out: Path, avatar: FinishedAvatar, poses: BodyPose, cameras: Cameras, fps: float) -> int:
    """The number of pictures; one pose is drawn once and held."""
    from itertools import repeat

    from simulacra.recon.avatar.animate import draw_motion
    from simulacra.recon.runs.progress import track
    from simulacra.recon.session.video import write_gif, write_video

    pictures, count = draw_motion(avatar, poses, cameras), len(poses.translation)
    if count == 1:
        count = round(HELD_SECONDS * fps)
        pictures = repeat(next(pictures), count)
    write = write_gif if out.suffix.lower() == ".gif" else write_video
    write(out, track(pictures, "drawing", count), fps)
    return count
