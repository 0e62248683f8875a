"""A finished run as files that move: .avatar, and the player's page."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.render.body import BodyPose
from simulacra.render.export.codec.profiles import PROFILES, Profile
from simulacra.render.export.compressed import write_compressed
from simulacra.render.export.rigged import RiggedAvatar, pack_rigged, write_rigged
from simulacra.tools.player.live import live_files
from simulacra.tools.player.write import write_player


def rigged_content(avatar: FinishedAvatar, motion: BodyPose, fps: float) -> RiggedAvatar:
    """What goes into the file: the neutral pose is the zero pose; one pose is no motion, but is what is shown first."""
    moves = len(motion.translation) > 1
    neutral = avatar.body.zero_pose() if moves else motion
    return RiggedAvatar(avatar.avatar, avatar.rig, neutral, motion if moves else None, fps)


def write_moving(
    out: Path,
    to: str,
    avatar: FinishedAvatar,
    motion: BodyPose,
    fps: float,
    live: bool = False,
    profile: Profile | None = None,
    body: Literal["inside", "named"] = "inside",
) -> list[Path]:
    """Writes an avatar that can be driven, and returns the files.

    Args:
        to: `avatar` or `web` (one file where the name ends in .html, else a folder).
        motion: that it brings.
        fps: poses a second.
        live: so that a visitor's camera can drive it; of folders.
        profile: how finely a compressed .avatar is stored; None for one that is not compressed.
        body: whether that holds its body, or names it.

    Raises:
        OSError: the place cannot be written.
        AssetError: what a camera needs is not on this machine.
    """
    content = rigged_content(avatar, motion, fps)
    if to == "avatar" and profile is not None:
        write_compressed(out, content, PROFILES[profile], whole_body=body == "inside")
        return [out]
    if to == "avatar":
        write_rigged(out, content)
        return [out]
    return write_player(out, pack_rigged(content, binding=False), out.stem, live_files() if live else None)
