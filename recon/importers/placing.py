"""A foreign world made ours: metres, +Y up, the floor where it is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.building import upright, upright_by_cameras
from simulacra.recon.importers.options import Axis, LengthUnit, Up
from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import CalibrationError, InputError

METRES: dict[LengthUnit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def place(
    cameras: Sequence[SessionCamera], *, scale: float, world_up: Up, floor: float | None
) -> tuple[list[SessionCamera], Float[np.ndarray, "4 4"], list[str]]:
    """Cameras of a source's world in ours, the similarity that took them there, and in words how it was found.

    Args:
        cameras: with viewmats of the source's world, in its units.
        scale: metres in one of its units.
        world_up: its up axis, or ``cameras``.
        floor: height of the floor over its origin, metres along up; the origin if not given.

    Raises:
        InputError: a scale that is not a positive number, or a floor that is not one.
        CalibrationError: cameras that do not agree on an up, or so far away that numbers do not hold them.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise InputError("the scale must be a positive number of metres", found=scale)
    if floor is not None and not np.isfinite(floor):
        raise InputError("the height of the floor must be a number", found=floor)
    metric = []
    for camera in cameras:
        viewmat = camera.viewmat.copy()
        viewmat[:3, 3] *= scale
        if not np.abs(viewmat[:3, 3]).max() < 1e6:
            raise CalibrationError(
                "a camera is more than a thousand kilometres from the origin",
                where=f"camera {camera.name}",
                remedy="check the units, or give the calibration a local origin",
            )
        metric.append(replace(camera, viewmat=viewmat))
    T, said = turn_upright(metric, world_up)
    notes = [said]
    T[1, 3] = -(floor or 0.0)
    if floor is None:
        notes.append("the floor is not known: y = 0 is at the calibration's origin")
    back = np.linalg.inv(T)
    placed = [replace(camera, viewmat=camera.viewmat @ back) for camera in metric]
    T_world_source = T.copy()
    T_world_source[:3, :3] *= scale
    return placed, T_world_source, notes


def turn_upright(cameras: Sequence[SessionCamera], world_up: Up) -> tuple[Float[np.ndarray, "4 4"], str]:
    """The rotation that stands a source's world upright, and in words how it was found.

    Raises:
        CalibrationError: cameras that do not agree on an up.
    """
    if world_up == "cameras":
        return upright_by_cameras([camera.viewmat for camera in cameras])
    axis: Axis = world_up
    return upright(axis), f"{world_up} of the calibration is up, as given"
