"""A motion out of a file, by what the file is called."""

from __future__ import annotations

from pathlib import Path

from simulacra.recon.motion.bvh import load_bvh
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.smpl import load_smpl, load_tracked
from simulacra.recon.motion.tracks import is_track


def load_motion(path: Path) -> tuple[Motion, str]:
    """The motion of a file, and in words what of it is not used beside joints: nothing of a BVH.

    Args:
        path: poses of SMPL, SMPL-H, SMPL-X or FLAME where it ends in .npz, what EasyMocap or ExAvatar wrote where it
            is a folder, else BVH.

    Raises:
        InputError: missing, damaged, or no such file.
    """
    if is_track(path):
        return load_tracked(path)
    return load_smpl(path) if path.suffix.lower() == ".npz" else (load_bvh(path), "")
