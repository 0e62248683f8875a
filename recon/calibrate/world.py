"""Where a calibrated rig stands: upright, on the floor, or as another rig of the same cameras stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.calibrate.solve import RigCalibration
from simulacra.recon.importers.building import Axis, upright
from simulacra.recon.importers.placing import upright_by_cameras
from simulacra.recon.multiview.rig import CameraRig, rigid_motion
from simulacra.recon.multiview.up import UpVote
from simulacra.render.runtime.errors import CalibrationError, CaptureError


def in_world(
    calibration: RigCalibration, T_world_rig: Float[np.ndarray, "4 4"], *notes: str
) -> RigCalibration:
    """The rig and its boards moved as one rigid thing; lengths and pictures stay."""
    bundle = calibration.bundle
    rig = CameraRig(bundle.rig.intrinsics, bundle.rig.viewmats @ np.linalg.inv(T_world_rig))
    turn = T_world_rig[:3, :3]
    # Standard errors along axes, of which no covariances are kept: those of the turned axes, at most.
    centres = np.sqrt((turn**2) @ (bundle.uncertainty.centres_m**2)[:, :, None])[..., 0]
    uncertainty = replace(bundle.uncertainty, centres_m=centres)
    moved = replace(bundle, rig=rig, bodies=T_world_rig @ bundle.bodies, uncertainty=uncertainty)
    return replace(calibration, bundle=moved, notes=(*calibration.notes, *notes))


def stand_upright(
    calibration: RigCalibration,
    up: Axis | None = None,
    ask: Callable[[RigCalibration], UpVote | None] | None = None,
) -> RigCalibration:
    """World with +Y up, its origin under the boards' middle, at the height of the lowest corner.

    Args:
        up: axis of the first camera that points up (-y for one that stands level); measured from the horizons of all
            cameras if not given.
        ask: who else knows, where the horizons leave it open: a person in the pictures.

    Raises:
        CalibrationError: neither the cameras' horizons nor who was asked say which way is up.
    """
    if up is None:
        T, said = _up_of(calibration, ask)
        said = said.replace("of the calibration", "of the first camera")
    else:
        T, said = upright(up), f"{up} of the first camera is up, as given"
    corners = _corners(calibration) @ T[:3, :3].T
    T[:3, 3] = -np.array([corners[:, 0].mean(), corners[:, 1].min(), corners[:, 2].mean()])
    return in_world(
        calibration, T, said, "the floor is not known: y = 0 is at the lowest corner that was seen"
    )


def _up_of(
    calibration: RigCalibration, ask: Callable[[RigCalibration], UpVote | None] | None
) -> tuple[Float[np.ndarray, "4 4"], str]:
    viewmats = list(calibration.bundle.rig.viewmats)
    try:
        return upright_by_cameras(viewmats)
    except CalibrationError:
        vote = ask(calibration) if ask is not None else None
        if vote is None:
            raise
    T, said = upright_by_cameras(viewmats, [vote])
    return T, f"{said}; {vote.source} says so"


def stand_on_board(calibration: RigCalibration, moment: str) -> RigCalibration:
    """World of which the board as it lay at one moment is the floor: its first corner the origin, x along its columns.

    Raises:
        CaptureError: no such moment was used.
    """
    if moment not in calibration.moments:
        raise CaptureError(
            "no board was seen at that moment",
            found=moment,
            expected=f"one of {len(calibration.moments)}: {', '.join(calibration.moments[:8])} ...",
        )
    T_rig_board = calibration.bundle.bodies[calibration.moments.index(moment)]
    normal = T_rig_board[:3, 2]
    above = (calibration.bundle.rig.centres - T_rig_board[:3, 3]) @ normal
    side = 1.0 if above.mean() > 0 else -1.0
    x = T_rig_board[:3, 0]
    axes = np.stack([x, side * normal, np.cross(x, side * normal)])
    T = np.eye(4)
    T[:3, :3] = axes
    T[:3, 3] = -axes @ T_rig_board[:3, 3]
    return in_world(calibration, T, f"the floor is the board at moment {moment}")


def laid_over(
    viewmats: Float[np.ndarray, "c 4 4"], target: Float[np.ndarray, "c 4 4"]
) -> Float[np.ndarray, "4 4"]:
    """The rigid motion (never a scale) that lays a rig over another of the same cameras best.

    Centres and axes count alike (axes by the rig's extent), so that two cameras, or some in a row, are enough.
    """
    zeros = np.zeros((len(viewmats), 9))
    source, wanted = CameraRig(zeros, viewmats), CameraRig(zeros, target)
    extent = max(float(np.sqrt(((wanted.centres - wanted.centres.mean(0)) ** 2).sum(1).mean())), 1e-3)
    # Each camera as the ends of a cross: six points, of which the axes have the part that the centre has.
    arms = np.sqrt(3) * extent * np.concatenate([np.eye(3), -np.eye(3)])
    ends = [
        (rig.centres[:, None] + arms @ rig.viewmats[:, :3, :3]).reshape(-1, 3) for rig in (source, wanted)
    ]
    return rigid_motion(ends[0], ends[1])


def _corners(calibration: RigCalibration) -> Float[np.ndarray, "m 3"]:
    corners, bodies = calibration.board.corners, calibration.bundle.bodies
    return (np.einsum("bij,kj->bki", bodies[:, :3, :3], corners) + bodies[:, None, :3, 3]).reshape(-1, 3)
