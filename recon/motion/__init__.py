"""Recorded motion (BVH) and its transfer to the body."""

from recon.motion.bvh import Motion, load_bvh
from recon.motion.retarget import retarget

__all__ = ["Motion", "load_bvh", "retarget"]
