"""Recorded motion (BVH) and its transfer to the body: `bvh` reads, `skeletons` names joints, `retarget` transfers."""

from simulacra.recon.motion.bvh import Motion, load_bvh
from simulacra.recon.motion.retarget import retarget

__all__ = ["Motion", "load_bvh", "retarget"]
