"""`simulacra export`: an avatar for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .arguments import Run, check_file


def export(run: Run, /, to: Literal["ply"], out: Path, axes: Literal["3dgs", "y-up"] = "3dgs") -> None:
    """Write an avatar for other programs, and read it back to check it.

    Args:
        run: the folder that `simulacra reconstruct` made.
        to: the format. ply: the Gaussians in the rest pose, as splat viewers read them.
        out: the file to write.
        axes: 3dgs has -Y up, which SuperSplat and other splat viewers turn upright; y-up is for programs that do not.
    """
    from simulacra.recon.avatar.finished import open_avatar
    from simulacra.recon.runs.files import disk_errors
    from simulacra.render.export import write_ply

    check_file(out, (".ply",), "an avatar")
    avatar = open_avatar(run)
    gaussians = avatar.posed(avatar.body.zero_pose())
    with disk_errors(out):
        write_ply(out, gaussians, axes, avatar.remarks())
    size = out.stat().st_size / 2**20
    print(f"{out}: {len(gaussians)} Gaussians, {size:.1f} MiB, read back and equal ({to})")
