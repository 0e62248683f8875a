"""Files that are no captures, for the same damage: a motion, and Gaussians.

What is read must be sound; it is not kept, so that a folder is all that is left of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from simulacra.recon.motion import find_skeleton, load_bvh
from simulacra.recon.motion.stance import find_stance
from simulacra.render.export.ply import read_ply, write_ply
from simulacra.render.gaussians import Gaussians
from tests.recon.motion.planted import as_bvh, sticks


def write_motion(folder: Path) -> None:
    """A person of sticks, three frames."""
    motion = sticks({"LeftArm": [0.1, 0.2, 0.3]}, frames=3, shift=(0.1, 0.0, 0.0))
    (folder / "motion.bvh").write_text(as_bvh(motion))


def read_motion(src: Path, out: Path) -> None:
    """Reads and resamples it, and looks for its skeleton and its stance, as what moves an avatar does."""
    motion = load_bvh(src / "motion.bvh")
    stance = find_stance(motion, find_skeleton(motion).anatomy)
    for values in (motion.positions(), motion.resampled(60.0).rotations, stance.places, stance.world):
        if not np.isfinite(values).all():
            raise AssertionError("a motion of what no number is")
    out.mkdir()


def write_gaussians(folder: Path) -> None:
    """Two files: one of halves, whose bytes are all text, so that its header is damaged as one; one of anything."""
    halves = [torch.full(shape, 0.5) for shape in ((2, 3), (2, 4), (2, 3), (2,), (2, 4, 3))]
    write_ply(folder / "halves.ply", Gaussians(*halves))
    drawn = np.random.default_rng(0)
    shapes = ((2, 3), (2, 4), (2, 3), (2,), (2, 4, 3))
    write_ply(
        folder / "any.ply",
        Gaussians(*(torch.tensor(drawn.normal(size=s), dtype=torch.float32) for s in shapes)),
    )


def read_gaussians(src: Path, out: Path) -> None:
    """Reads both."""
    for name in ("halves.ply", "any.ply"):
        gaussians = read_ply(src / name)
        if not all(getattr(gaussians, field).isfinite().all() for field in ("means", "quats", "sh")):
            raise AssertionError("Gaussians of what no number is")
    out.mkdir()


def say(folder: Path) -> str:
    """Where `fuzz_seeds.read_session` says what a session is."""
    return "read"
