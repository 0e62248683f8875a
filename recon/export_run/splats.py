"""Gaussians for splat viewers and engines: one file, or a numbered one for each pose of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.export_run.asked import Posed, numbered
from simulacra.recon.runs.progress import track
from simulacra.render.export.gltf_splats import write_splat_glb
from simulacra.render.export.packed import write_packed
from simulacra.render.export.ply import Axes, write_ply
from simulacra.render.gaussians import Gaussians

SPLATS = ("ply", "spz", "sog", "glb-splats")


def write_splats(out: Path, avatar: FinishedAvatar, poses: Posed, to: str, axes: Axes = "3dgs") -> list[Path]:
    """Writes one file, or of several poses one each, numbered.

    What no camera saw is said in the file where the format has room for it (PLY, glTF).

    Args:
        to: one of `SPLATS`.
        axes: of the file; glTF has its own, +Y up.

    Returns:
        The files, in order.
    """
    write = _writer(to, axes, avatar.remarks())
    files = numbered(out, poses)
    for file, pose in zip(files, track(poses, "writing", len(poses)), strict=True):
        write(file, avatar.posed(pose))
    return files


def _writer(to: str, axes: Axes, notes: Mapping[str, str]) -> Callable[[Path, Gaussians], None]:
    if to == "ply":
        return partial(write_ply, axes=axes, notes=notes)
    if to == "glb-splats":
        return partial(write_splat_glb, notes=notes)
    if to == "spz":
        return partial(write_packed, packing="spz", axes=axes)
    if to == "sog":
        return partial(write_packed, packing="sog", axes=axes)
    raise ValueError(f"no format {to!r} of splats; there are {', '.join(SPLATS)}")
