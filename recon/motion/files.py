"""A motion out of a file, by what the file is called."""

from __future__ import annotations

from pathlib import Path

from simulacra.recon.motion.bvh import load_bvh
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.smpl import load_smpl


def load_motion(path: Path) -> tuple[Motion, str]:
    """The motion of a file, and in words what of it is not used beside joints: nothing of a BVH.

    Args:
        path: poses of SMPL, SMPL-H or SMPL-X where it ends in .npz, else BVH.

    Raises:
        InputError: missing, damaged, or no such file.
    """
    return load_smpl(path) if path.suffix.lower() == ".npz" else (load_bvh(path), "")
