"""Recorded motion (BVH) and its transfer to the body: `bvh` reads, `anatomy` finds the parts of the person in a
hierarchy, `stance` how it stands, `skeletons` which joint each bone follows, `retarget` transfers.
"""

from simulacra.recon.motion.bvh import load_bvh
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.retarget import retarget
from simulacra.recon.motion.skeletons import describe_skeleton, find_skeleton

__all__ = ["Motion", "describe_skeleton", "find_skeleton", "load_bvh", "retarget"]
