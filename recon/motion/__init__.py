"""Recorded motion (BVH, and poses of SMPL's kind) and its transfer to the body: `bvh` and `smpl` read, `anatomy` finds
the parts of the person in a hierarchy, `stance` how it stands, `skeletons` which joint each bone follows, `retarget`
transfers.
"""

from simulacra.recon.motion.bvh import load_bvh
from simulacra.recon.motion.files import load_motion
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.retarget import retarget
from simulacra.recon.motion.skeletons import describe_skeleton, find_skeleton
from simulacra.recon.motion.smpl import load_smpl

__all__ = ["Motion", "describe_skeleton", "find_skeleton", "load_bvh", "load_motion", "load_smpl", "retarget"]
