"""`simulacra export`: an avatar for other programs."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval
from tyro.conf import arg

from simulacra.render.runtime.errors import RunError

from .arguments import OptionalPath, Run, Unseen, check_file
from .inputs import OptionalInput
from .outputs import OutPlace

# The endings of each format's files; an ending stands for the first format that has it.
FORMATS: Mapping[str, tuple[str, ...]] = {
    **{form: (f".{form}",) for form in ("ply", "spz", "sog", "glb")},
    "glb-splats": (".glb",),
    "obj": (".obj",),
    "usd": (".usd", ".usda", ".usdc", ".usdz"),
    **{form: (f".{form}",) for form in ("bvh", "trc", "c3d", "mot", "csv", "npz", "avatar")},
    "web": (".html",),
}
To = Literal[
    "ply", "spz", "sog", "glb", "glb-splats", "obj", "usd", "bvh", "trc", "c3d", "mot", "csv", "npz",
    "avatar", "web",
]  # fmt: skip
Profile = Literal["high", "medium", "small"]
At = Annotated[str | None, arg(metavar="rest|all|FRAME")]


def export(
    run: Run,
    /,
    out: OutPlace,
    to: To | None = None,
    at: At = None,
    motion: OptionalInput = None,
    skeleton: OptionalInput = None,
    fps: Annotated[float | None, Interval(ge=1, le=1000)] = None,
    axes: Literal["3dgs", "y-up"] = "3dgs",
    rig: Literal["own", "mixamo", "smpl"] = "own",
    texture: Annotated[int, Interval(ge=0, le=8192)] = 2048,
    session: OptionalPath = None,
    live: bool = False,
    unseen: Unseen = "keep",
    profile: Profile | None = None,
    body: Literal["inside", "named"] = "inside",
) -> None:
    """Write an avatar for other programs. What the file is called decides what is written.

    Args:
        run: the folder that `simulacra reconstruct` made.
        out: the file to write. Gaussians: .ply, .spz, .sog (smallest). A skinned mesh: .glb, .usd, .obj. Its motion:
            .bvh; joints as .trc, .c3d; angles as .mot, .csv; all numbers as .npz. Gaussians that move: .avatar, and
            .html, a page that plays in any browser.
        to: the format, where an ending has several: glb-splats is Gaussians as .glb; web without an ending is the page
            as a folder, for a web server.
        at: the poses. rest: standing (the default of Gaussians and .obj). FRAME: as in that frame. all: the whole
            motion (the default of all else), or a numbered file for each frame.
        motion: a BVH file that moves the person, instead of the capture.
        skeleton: a table (TOML) of which joints are which parts of the person, for a skeleton that is not understood.
        fps: frames a second, to which a motion is brought; of the capture by default, 30 where that says none.
        axes: of splat files other than .glb: 3dgs has -Y up, which SuperSplat and other splat viewers turn upright;
            y-up is for programs that do not.
        rig: joints of a .bvh: the body's own, or fewer under Mixamo's or SMPL's names, from a T.
        texture: rows and columns of a mesh's picture, painted from the training views; 0 for none.
        session: where the run's session is now, if it was moved.
        live: of the page as a folder: a visitor's camera moves the avatar, in the page alone.
        unseen: what no training view saw of the person. keep: as it was guessed. neutral: gray. drop: left out.
        profile: of .avatar: compressed, so that nobody tells it from the original (high), a third smaller (medium), or
            half of that (small); not compressed without. docs/compression.md says what each is.
        body: of compressed files: inside, for readers that have no body; or named, for ours, which makes them smaller.
    """
    form = format_of(out, to)
    if (profile or body == "named") and form != "avatar":
        raise RunError("only .avatar files have profiles", where=out, remedy="--out PERSON.avatar")
    if body == "named" and not profile:
        raise RunError(
            "only compressed files name their body", where=out, remedy="--profile high, medium or small"
        )
    if live and (form != "web" or out.suffix):
        raise RunError(
            "only the page as a folder is driven by a camera",
            where=out,
            remedy="--to web --out FOLDER --live",
        )
    from simulacra.recon.runs.run_folder import check_has_avatar

    check_has_avatar(run)  # before anything heavy is loaded
    from simulacra.recon import export_run as made
    from simulacra.recon.avatar.finished import open_avatar
    from simulacra.recon.runs.files import disk_errors

    avatar = open_avatar(run)
    if unseen != "keep" and form in made.MOTIONS:
        raise RunError(
            "a motion shows nothing of which it could be said that nobody saw it",
            where=f"--unseen {unseen}",
            expected="a format of Gaussians or meshes",
            found=form,
        )
    if unseen != "keep":
        avatar = avatar.showing(unseen)
    at = at or (made.REST if form in (*made.SPLATS, "obj") else made.ALL)
    poses = made.choose_poses(avatar, at, fps or made.frame_rate(run, motion), motion, skeleton)
    with disk_errors(out):
        if form in made.SPLATS:
            files = made.write_splats(out, avatar, poses, form, axes)
            what = f"{len(avatar.avatar)} Gaussians"
        elif form in made.MESHES:
            person = made.textured_person(run, avatar, texture, session, unseen)
            files = made.write_person(out, person, poses, form)
            what = "; ".join(["a skinned mesh" if form != "obj" else "a mesh", *person.notes.values()])
        elif form in ("avatar", "web"):
            from simulacra.tools.player.run import write_moving

            files = write_moving(out, form, avatar, poses.pose, poses.fps, live, profile, body)
            what = f"{len(avatar.avatar)} Gaussians, {len(poses)} frames"
        else:
            made.write_motion(out, avatar, poses, form, rig)
            files, what = [out], f"{len(poses)} frames, {poses.fps:g} a second"
    size = sum(file.stat().st_size for file in files) / 2**20
    others = f" to {files[-1].name}, {len(files)} files" if len(files) > 1 else ""
    print(f"{files[0]}{others}: {what}, {size:.1f} MiB ({form})")


def format_of(out: Path, to: str | None) -> str:
    """The format that is asked for, or that the file's ending stands for.

    Raises:
        RunError: the ending stands for none, or for another than is asked for; or a folder has the file's name.
    """
    if to == "web" and not out.suffix:
        check_page_folder(out)
        return to
    found = [form for form, endings in FORMATS.items() if out.suffix.lower() in endings]
    if to is None and not found:
        endings = [ending for each in FORMATS.values() for ending in each]
        near = next(iter(difflib.get_close_matches(out.suffix.lower(), endings, n=1)), ".sog")
        raise RunError(
            "what the file is called says no format",
            where=out,
            expected=" ".join(dict.fromkeys(endings)),
            found=out.suffix or "no ending",
            remedy=f"--out {shlex.quote(str(out.with_suffix(near)))}, or another of these endings",
        )
    form = to or found[0]
    check_file(out, FORMATS[form], "this format")
    return form


def check_page_folder(out: Path) -> None:
    """That a folder for the page is none with other files in it.

    Raises:
        RunError: it is, or a file has its name.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "page.js").is_file())):
        raise RunError(
            "the place of the page is taken",
            where=out,
            expected="a new or empty folder, or an earlier page",
        )
