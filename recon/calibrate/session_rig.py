"""Cameras of a session as unknowns of an adjustment, and back.

A session's pictures are pinhole once they are read, so landmarks are in pinhole pixels; boards are found in recorded
pictures. OpenCV's lens of up to five coefficients is adjusted as it is (`CameraRig`), and landmarks are moved to where
the recorded picture has them. Cameras with other lenses are adjusted as pinhole ones: corners are undistorted, and
focal lengths, on which the undistortion rests, stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.multiview.rig import INTRINSICS, CameraRig, project_points
from simulacra.recon.session import Lens, SessionCamera
from simulacra.recon.session.lens import undistort

_MOST_COEFFICIENTS = len(INTRINSICS) - 4


def is_plain(lens: Lens | None) -> bool:
    """Whether the adjustment knows the lens."""
    return lens is None or (lens.model == "opencv" and len(lens.coefficients) <= _MOST_COEFFICIENTS)


def rig_of(cameras: Sequence[SessionCamera]) -> CameraRig:
    """The session's cameras; lenses that the adjustment does not know are left out (see the module)."""
    intrinsics = np.zeros((len(cameras), len(INTRINSICS)))
    for row, camera in zip(intrinsics, cameras, strict=True):
        row[:4] = camera.K[[0, 1, 0, 1], [0, 1, 2, 2]]
        if camera.lens is not None and is_plain(camera.lens):
            row[4 : 4 + len(camera.lens.coefficients)] = camera.lens.coefficients
    return CameraRig(intrinsics, np.stack([camera.viewmat for camera in cameras]).astype(np.float64))


def adjusted_cameras(cameras: Sequence[SessionCamera], rig: CameraRig) -> tuple[SessionCamera, ...]:
    """The session's cameras with the poses and pinhole matrices of a rig; lenses and depth stay."""
    return tuple(
        replace(camera, K=K, viewmat=viewmat)
        for camera, K, viewmat in zip(cameras, rig.Ks, rig.viewmats, strict=True)
    )


def corners_for_rig(pixels: Float[np.ndarray, "k 2"], camera: SessionCamera) -> Float[np.ndarray, "k 2"]:
    """Corners of a recorded picture as the rig has them; not a number where the lens images no ray."""
    if camera.lens is None or is_plain(camera.lens):
        return pixels
    focal, centre = camera.K[[0, 1], [0, 1]], camera.K[:2, 2]
    return undistort(camera.lens, (pixels - centre) / focal) * focal + centre


def landmarks_for_rig(
    pixels: Float[np.ndarray, "t c k 2"], given: CameraRig
) -> tuple[Float[np.ndarray, "t c k 2"], Bool[np.ndarray, "t c k"]]:
    """Landmarks in pinhole pixels of the given cameras as the rig has them, and which there are."""
    seen = np.isfinite(pixels).all(-1)
    result = np.where(seen[..., None], pixels, 0.0)
    for camera, intrinsics in enumerate(given.intrinsics):
        own = seen[:, camera]
        if not intrinsics[4:].any() or not own.any():
            continue
        rays = (result[:, camera][own] - intrinsics[2:4]) / intrinsics[:2]
        local = np.concatenate([rays, np.ones((len(rays), 1))], -1)
        result[:, camera][own] = project_points(local, intrinsics)[0]
    return result, seen
