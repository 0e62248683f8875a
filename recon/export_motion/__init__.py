"""Motions for other programs: `rigs` says with which joints, `bvh` writes those; `points` the centres of joints
(TRC, C3D), `angles` what clinicians read (MOT, CSV), `arrays` all there is (npz).
"""

from simulacra.recon.export_motion.angles import joint_angles, write_csv, write_mot
from simulacra.recon.export_motion.arrays import write_arrays_of
from simulacra.recon.export_motion.bvh import write_bvh
from simulacra.recon.export_motion.points import Markers, joint_markers, write_c3d, write_trc
from simulacra.recon.export_motion.rigs import RIGS, Rig, rig_motion

__all__ = [
    "RIGS",
    "Markers",
    "Rig",
    "joint_angles",
    "joint_markers",
    "rig_motion",
    "write_arrays_of",
    "write_bvh",
    "write_c3d",
    "write_csv",
    "write_mot",
    "write_trc",
]
