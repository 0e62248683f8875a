"""`simulacra export`: an avatar for other programs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval
from tyro.conf import arg

from simulacra.render.runtime.errors import RunError

from .arguments import OptionalPath, Run, check_file

# The endings of each format's file; the first format of an ending is what the ending stands for.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "ply": (".ply",),
    "spz": (".spz",),
    "sog": (".sog",),
    "glb-splats": (".glb",),
    "avatar": (".avatar",),
    "web": (".html",),
}
To = Literal["ply", "spz", "sog", "glb-splats", "avatar", "web"]
MOVING = ("avatar", "web")  # all poses in one file
At = Annotated[str, arg(metavar="rest|all|FRAME")]


def export(
    run: Run,
    /,
    out: Path,
    to: To | None = None,
    at: At = "rest",
    motion: OptionalPath = None,
    skeleton: OptionalPath = None,
    fps: Annotated[float | None, Interval(ge=1, le=1000)] = None,
    axes: Literal["3dgs", "y-up"] = "3dgs",
    live: bool = False,
) -> None:
    """Write an avatar for other programs. What the file is called decides what is written.

    Args:
        run: the folder that `simulacra reconstruct` made.
        out: the file to write. Gaussians: .ply as splat viewers read it, .spz, .sog (the smallest, for the web).
            Gaussians that move: .avatar (docs/avatar-format.md), .html (a page that plays in any browser, from the
            disk too).
        to: the format, where an ending has several: glb-splats is Gaussians as .glb; web, without an ending, is the
            page as a folder for a web server.
        at: the pose of Gaussians. rest: standing. FRAME: as in that frame. all: a numbered file for each. What moves
            brings all of them, or that frame's pose alone.
        motion: a BVH file that moves the person, instead of the capture.
        skeleton: a table (TOML) of which joints are which parts of the person, for a skeleton that is not understood.
        fps: frames a second, to which a motion is brought; of the capture by default, 30 where that says none.
        axes: of splat files other than .glb: 3dgs has -Y up, which SuperSplat and other splat viewers turn upright;
            y-up is for programs that do not.
        live: of the page as a folder: a visitor's camera moves the avatar, in the page alone.
    """
    form = format_of(out, to)
    if live and (form != "web" or out.suffix):
        raise RunError(
            "only the page as a folder is driven by a camera",
            where=out,
            remedy="--to web --out FOLDER --live",
        )
    from simulacra.recon.avatar.finished import open_avatar
    from simulacra.recon.export_run import choose_poses, frame_rate, write_splats
    from simulacra.recon.runs.files import disk_errors

    avatar = open_avatar(run)
    asked = "all" if form in MOVING and at == "rest" else at
    poses = choose_poses(avatar, asked, fps or frame_rate(run, motion), motion, skeleton)
    with disk_errors(out):
        if form in MOVING:
            from simulacra.tools.player.run import write_moving

            files = write_moving(out, form, avatar, poses.pose, poses.fps, live)
        else:
            files = write_splats(out, avatar, poses, form, axes)
    size = sum(file.stat().st_size for file in files) / 2**20
    what = f"{len(avatar.avatar)} Gaussians, {size:.1f} MiB ({form})"
    numbered = len(files) > 1 and form not in MOVING
    print(f"{files[0]} to {files[-1].name}: {len(files)} files of {what}" if numbered else f"{out}: {what}")


def format_of(out: Path, to: str | None) -> str:
    """The format that is asked for, or that the file's ending stands for.

    Raises:
        RunError: the ending stands for none, or for another than is asked for; or a folder has the file's name.
    """
    if to == "web" and not out.suffix:
        check_page_folder(out)
        return to
    if to is not None:
        check_file(out, FORMATS[to], "this format")
        return to
    found = [form for form, endings in FORMATS.items() if out.suffix.lower() in endings]
    if not found:
        endings = [ending for each in FORMATS.values() for ending in each]
        raise RunError(
            "what the file is called says no format",
            where=out,
            expected=" ".join(dict.fromkeys(endings)),
            found=out.suffix or "no ending",
            remedy=f"--out {shlex.quote(str(out.with_suffix('.sog')))}, or another of these endings",
        )
    check_file(out, FORMATS[found[0]], "this format")
    return found[0]


def check_page_folder(out: Path) -> None:
    """That a folder for the page is none with other files in it.

    Raises:
        RunError: it is, or a file has its name.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "page.js").is_file())):
        raise RunError(
            "the place of the page is taken", where=out, expected="a new or empty folder, or an earlier page"
        )
