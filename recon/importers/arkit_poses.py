"""Poses of phones as Apple's ARKit gives them: quaternions x y z w, camera to world, metres.

ARKit's camera has y up and looks along -z; its world is right-handed with y up. Intrinsics count from the image's
upper left corner (ARCamera.intrinsics), as ours do.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from simulacra.render.runtime.errors import CalibrationError

# OpenCV's camera axes out of those that have y up and look along -z.
FLIP = np.diag([1.0, -1.0, -1.0])


def poses_of(
    quaternions: Float[np.ndarray, "n 4"], positions: Float[np.ndarray, "n 3"], where: object, flip: bool
) -> Float[np.ndarray, "n 4 4"]:
    """World out of camera with OpenCV's axes.

    Args:
        quaternions: x y z w.
        positions: of the camera.
        where: the file, for errors.
        flip: the camera's axes are ARKit's, and not OpenCV's already.

    Raises:
        CalibrationError: quaternions that are not of length 1.
    """
    lengths = np.linalg.norm(quaternions, axis=1)
    if not (len(lengths) and (np.abs(lengths - 1) < 0.01).all()):
        raise CalibrationError(
            "a pose is no rotation", where=where, expected="quaternions x y z w of length 1",
            found=quaternions[int(np.abs(lengths - 1).argmax())].tolist() if len(lengths) else "none",
        )  # fmt: skip
    poses = np.tile(np.eye(4), (len(lengths), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix() @ (FLIP if flip else np.eye(3))
    poses[:, :3, 3] = positions
    return poses
