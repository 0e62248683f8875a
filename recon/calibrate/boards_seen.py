"""Recordings of a board as sightings of a given rig's adjustment: placed, sifted, each view at its own time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.calibrate.boards import Corners
from simulacra.recon.calibrate.lens import robust_sigma
from simulacra.recon.calibrate.recordings import BoardView, BoardViews
from simulacra.recon.calibrate.session_rig import corners_for_rig
from simulacra.recon.calibrate.solve import calibrate_rig
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.multiview.bundle import Bundle
from simulacra.recon.multiview.rig import CameraRig, Sightings
from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import CalibrationError


@dataclass(frozen=True)
class BoardSeen:
    """A board as one recording shows it.

    Attributes:
        sightings: corners in the rig's pixels and with the rig's numbers of cameras, each view at its own time.
        bodies: board to the given rig's world; in the order of time.
    """

    name: str
    sightings: Sightings
    bodies: Float[np.ndarray, "b 4 4"]


def board_seen(
    name: str, found: BoardViews, cameras: Sequence[SessionCamera], given: CameraRig
) -> tuple[BoardSeen, tuple[str, ...]]:
    """A recording of some of the cameras, and what was left out of it.

    Boards, clocks and what is blurred or misread are found by `calibrate_rig` with the given lenses: the recording
    decides them by itself, wherever the given poses may be.

    Args:
        name: of the recording.
        found: what was seen of the board.
        cameras: of the session, in the rig's order.
        given: the session's rig.

    Raises:
        CalibrationError: a camera of the recording is not of the session, or recorded in another size.
        CaptureError: too few views, or a board that cannot locate cameras.
    """
    names = [camera.name for camera in cameras]
    for camera, size in zip(found.cameras, found.sizes, strict=True):
        if camera not in names:
            raise CalibrationError(
                "a board was recorded by a camera that the session does not have",
                where=f"{name}, {camera}",
                expected=", ".join(names),
                remedy="name the recording's videos or folders as the session names its cameras",
            )
        own = cameras[names.index(camera)]
        if size != (own.width, own.height):
            raise CalibrationError(
                "a board was recorded in another image size than the session",
                where=f"{name}, {camera}",
                expected=f"{own.width}x{own.height}",
                found=f"{size[0]}x{size[1]}",
            )
    numbers = np.array([names.index(camera) for camera in found.cameras])
    views = tuple(_for_rig(view, cameras[numbers[view.camera]]) for view in found.views)
    calibrated = calibrate_rig(
        replace(found, views=tuple(view for view in views if len(view.corners.numbers))),
        intrinsics={names[number]: given.intrinsics[number] for number in numbers},
        refine_intrinsics=False,
    )
    T = laid_over(calibrated.bundle.rig.viewmats, given.viewmats[numbers])
    sightings = replace(calibrated.sightings, camera=numbers[calibrated.sightings.camera])
    notes = [f"{name}: {note}" for note in calibrated.notes]
    return BoardSeen(name, sightings, T @ calibrated.bundle.bodies), tuple(notes)


def _for_rig(view: BoardView, camera: SessionCamera) -> BoardView:
    pixels = corners_for_rig(view.corners.pixels, camera)
    there = np.isfinite(pixels).all(-1)
    return replace(view, corners=Corners(view.corners.numbers[there], pixels[there], view.corners.edge_px))


def with_sigmas(boards: Sequence[BoardSeen], bundle: Bundle) -> tuple[BoardSeen, ...]:
    """Boards where the bundle has them, with each camera's corners as sure as they prove to be."""
    result, first, body = [], 0, 0
    for board in boards:
        own = board.sightings
        rows = slice(first, first + len(own.sigma))
        in_step = bundle.residuals[rows] - bundle.clocks[rows, None] * own.drift
        sigma = own.sigma.copy()
        for camera in np.unique(own.camera):
            chosen = own.camera == camera
            sigma[chosen] *= robust_sigma(in_step[chosen] / sigma[chosen, None])
        bodies = bundle.bodies[body : body + len(board.bodies)]
        result.append(replace(board, sightings=replace(own, sigma=np.maximum(sigma, 0.02)), bodies=bodies))
        first, body = first + len(own.sigma), body + len(board.bodies)
    return tuple(result)


def some_moments(board: BoardSeen, chosen: Bool[np.ndarray, " b"]) -> BoardSeen:
    """The board at some of the moments."""
    number = np.cumsum(chosen) - 1
    rest = board.sightings.only(chosen[board.sightings.body])
    return replace(board, sightings=replace(rest, body=number[rest.body]), bodies=board.bodies[chosen])
