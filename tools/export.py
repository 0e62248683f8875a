"""`simulacra export`: an avatar for other programs."""

from __future__ import annotations

from pathlib import Path

from simulacra.recon.avatar.finished import open_avatar
from simulacra.recon.runs.stages import disk_errors
from simulacra.render.export import write_ply


def export_run(run: Path, to: str, out: Path) -> None:
    """Write the avatar in the rest pose, and check it by reading it back.

    Raises:
        RunError: not a finished run with an avatar, or the file cannot be written.
    """
    avatar = open_avatar(run)
    gaussians = avatar.posed(avatar.body.zero_pose())
    with disk_errors(out):
        write_ply(out, gaussians)
    print(
        f"{out}: {len(gaussians)} Gaussians, {out.stat().st_size / 2**20:.1f} MiB, read back and equal ({to})"
    )
