"""What is believed of a rig before anything is seen: the calibration that was given, and how far it may be off.

Errors of focal lengths are mostly common to x and y: pixels are square, or as square as they were.

Symbols: ``c`` cameras, ``u`` unknowns of all cameras, as in `recon.multiview.bundle`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.rig import INTRINSICS, CameraRig

_INTRINSICS = len(INTRINSICS)
UNKNOWNS = _INTRINSICS + 6
# How far lens coefficients are from 0, one standard deviation: hardly anything where boards were seen out to the
# corners, and where they were not, what keeps higher powers from making up an image there. k1 is left alone.
_LENS = np.array([np.inf] * 5 + [0.15, 0.01, 0.01, 0.1])


@dataclass(frozen=True)
class Prior:
    """A calibration with its standard deviations, independent between cameras.

    Attributes:
        rig: as given.
        turn: of a camera about each of its axes, radians.
        place: of its centre along each axis, metres.
        focal: of its focal length, as a part of it.
        aspect: of the ratio of its focal lengths.
        scaled: whether what is seen has a scale, as boards have; otherwise the given one stays and has no error.
    """

    rig: CameraRig
    turn: float
    place: float
    focal: float = 0.01
    aspect: float = 0.001
    scaled: bool = True

    def information(self, rig: CameraRig) -> tuple[Float[np.ndarray, "u u"], Float[np.ndarray, " u"], float]:
        """Normal matrix and gradient (downhill) of the unknowns at a rig, and its cost."""
        count = len(rig.viewmats)
        hessian = np.zeros((count, UNKNOWNS, count, UNKNOWNS))
        gradient, cost = np.zeros((count, UNKNOWNS)), 0.0
        by_pose = pose_changes(rig)
        for camera in range(count):
            J = np.zeros((8, UNKNOWNS))
            fx, fy = self.rig.intrinsics[camera, :2]
            J[0, :2], J[1, :2] = [0.5 / fx, 0.5 / fy], [1 / fx, -1 / fy]
            J[2:, _INTRINSICS:] = by_pose[camera]
            apart = self.apart(rig, camera)
            sigma = np.repeat([self.focal, self.aspect, self.turn, self.place], [1, 1, 3, 3])
            J, apart = J / sigma[:, None], apart / sigma
            hessian[camera, :, camera] = J.T @ J
            gradient[camera] = -J.T @ apart
            cost += float(apart @ apart)
        return hessian.reshape(count * UNKNOWNS, -1), gradient.ravel(), cost

    def apart(self, rig: CameraRig, camera: int) -> Float[np.ndarray, " 8"]:
        """How far a camera is off: focal length (a part), ratio, turn (radians, its own axes), centre (metres)."""
        focal = rig.intrinsics[camera, :2] / self.rig.intrinsics[camera, :2] - 1
        turn = Rotation.from_matrix(rig.viewmats[camera, :3, :3] @ self.rig.viewmats[camera, :3, :3].T)
        place = rig.centres[camera] - self.rig.centres[camera]
        return np.concatenate([[focal.mean(), focal[0] - focal[1]], turn.as_rotvec(), place])


def lens_information(
    rig: CameraRig,
) -> tuple[Float[np.ndarray, " u"], Float[np.ndarray, " u"], float]:
    """Diagonal of the normal matrix, gradient (downhill) and cost of what lenses are believed to be like."""
    diagonal, gradient = np.zeros((2, len(rig.viewmats), UNKNOWNS))
    diagonal[:, :_INTRINSICS] = 1 / _LENS**2
    gradient[:, :_INTRINSICS] = -rig.intrinsics / _LENS**2
    return diagonal.ravel(), gradient.ravel(), float(((rig.intrinsics / _LENS) ** 2).sum())


def pose_changes(rig: CameraRig) -> Float[np.ndarray, "c 6 6"]:
    """Of (turn in the camera's frame, centre in the world) by the pose's unknowns (w, d)."""
    changes = np.tile(np.eye(6), (len(rig.viewmats), 1, 1))
    changes[:, 3:, 3:] = -np.swapaxes(rig.viewmats[:, :3, :3], 1, 2)  # centre = -R^T (t + exp(-w) d)
    return changes
