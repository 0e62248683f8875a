"""A rig against the given one by what neither was fitted to: residuals before and after, and whether they fell.

Whether a fall is real is told by units whose errors are independent: blocks of time, or parts of the body. The gain of
each is compared with its standard error over the units.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``b`` boards, ``n`` sightings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.calibrate.boards_seen import BoardSeen
from simulacra.recon.calibrate.body import BodyViews
from simulacra.recon.multiview.bundle import adjust_bundle
from simulacra.recon.multiview.rig import INTRINSICS, CameraRig
from simulacra.recon.multiview.triangulate import triangulate

# Standard errors that a gain must exceed.
_CLEARLY = 2.0


@dataclass(frozen=True)
class Comparison:
    """Medians of residuals, pixels.

    Attributes:
        before: of each camera; NaN where it saw nothing.
        after: of each camera with the other rig; NaN where it saw nothing.
        total: of all, before and after.
        gain: mean part of the residuals that vanished, over the units.
        error: its standard error.
    """

    before: Float[np.ndarray, " c"]
    after: Float[np.ndarray, " c"]
    total: tuple[float, float]
    gain: float
    error: float

    @property
    def better(self) -> bool:
        return self.gain > _CLEARLY * self.error

    @property
    def worse(self) -> bool:
        return self.gain < -_CLEARLY * self.error

    @property
    def said(self) -> str:
        """In words."""
        return (
            f"{self.total[0]:.2f} px before, {self.total[1]:.2f} after ({self.gain:+.0%} ± {self.error:.0%})"
        )


def compare_landmarks(
    body: BodyViews,
    given: CameraRig,
    judges: Sequence[tuple[CameraRig, Bool[np.ndarray, "t k"]]],
    units: Int[np.ndarray, "t k"],
) -> Comparison:
    """Distances of landmarks from their triangulated points.

    Args:
        body: what was seen.
        given: the rig before.
        judges: rigs and what each is judged by.
        units: whose errors are independent.
    """
    # Pinhole pixels under changed focal lengths: what the lens does to the change is far below a landmark's error.
    before = triangulate(body.detections, given.pinhole).residual_px
    after = np.full_like(before, np.nan)
    for rig, chosen in judges:
        residual = triangulate(body.detections, rig.pinhole).residual_px
        after = np.where(chosen[:, None], residual, after)
    both = np.isfinite(before) & np.isfinite(after)
    frame, camera, landmark = np.nonzero(both)
    return compare_residuals(before[both], after[both], camera, units[frame, landmark], len(given.viewmats))


def compare_boards(
    boards: Sequence[BoardSeen],
    given: CameraRig,
    judges: Sequence[tuple[CameraRig, Sequence[Bool[np.ndarray, " b"]]]],
    units: Sequence[Int[np.ndarray, " b"]],
) -> Comparison:
    """Distances of corners from where they should be, boards placed anew by each rig, each view at its own time."""
    before, after, camera, unit = [], [], [], []
    for number, board in enumerate(boards):
        own = _board_residuals(board, given)
        moved = np.full_like(own, np.nan)
        for rig, chosen in judges:
            rows = chosen[number][board.sightings.body]
            moved[rows] = _board_residuals(board, rig)[rows]
        before.append(own)
        after.append(moved)
        camera.append(board.sightings.camera)
        unit.append(units[number][board.sightings.body])
    joined = [np.concatenate(each) for each in (before, after, camera, unit)]
    return compare_residuals(joined[0], joined[1], joined[2], joined[3], len(given.viewmats))


def _board_residuals(board: BoardSeen, rig: CameraRig) -> Float[np.ndarray, " n"]:
    """Lengths, with boards of several cameras only placed by all of them."""
    still = np.zeros((len(rig.viewmats), len(INTRINSICS)), dtype=bool)
    found = adjust_bundle(rig, board.bodies, board.sightings, still, poses="held")
    in_step = found.residuals - found.clocks[:, None] * board.sightings.drift
    return np.linalg.norm(in_step, axis=-1)


def compare_residuals(
    before: Float[np.ndarray, " m"],
    after: Float[np.ndarray, " m"],
    camera: Int[np.ndarray, " m"],
    unit: Int[np.ndarray, " m"],
    cameras: int,
) -> Comparison:
    """Residuals of the same sightings before and after.

    Args:
        before: of each sighting.
        after: of the same.
        camera: of each.
        unit: of each; errors of two units are independent.
        cameras: how many there are.
    """
    gains = []
    for number in np.unique(unit):
        own = unit == number
        gains.append(1 - float(np.median(after[own])) / max(float(np.median(before[own])), 1e-9))
    count = len(gains)
    error = float(np.std(gains, ddof=1) / np.sqrt(count)) if count > 1 else np.inf
    by_camera = [
        [float(np.median(each[camera == c])) if (camera == c).any() else np.nan for c in range(cameras)]
        for each in (before, after)
    ]
    total = tuple(float(np.median(each)) if len(each) else np.nan for each in (before, after))
    mean = float(np.mean(gains)) if gains else 0.0
    return Comparison(np.array(by_camera[0]), np.array(by_camera[1]), (total[0], total[1]), mean, error)
