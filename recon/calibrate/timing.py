"""What is wrong with calibrated cameras in time and in direction, from the motion of a person.

Lags come from velocities in space (`recon.multiview.clocks`), which a turned camera hardly changes; turns from
positions (as in `recon.multiview.turns`) at these lags; and so on in turn until both stand still. Positions alone would
mix them: a person who moves one way for the whole capture looks the same late and turned.

Lags are relative to the mean of the cameras.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from simulacra.recon.multiview.clocks import Lags, SynchroniseConfig, estimate_lags, shift_tracks
from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.sides import undo_swaps
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from simulacra.recon.multiview.turns import solve_turns
from simulacra.recon.observe.observations import Observations
from simulacra.render.runtime.errors import CaptureError

FEWEST_FRAMES = 20
_VISITS = 4
_TURN_PRIOR = 0.02  # radians


@dataclass(frozen=True)
class LagsAndTurns:
    """What is wrong with the cameras, in time and in direction.

    Attributes:
        lags: frames, about their mean.
        turns_deg: axis-angle of each camera in its own frame, degrees; of all cameras together as little as possible.
        turn_errors_deg: standard errors of these, relative to the rig as a whole.
        residual_px: median distance of landmarks from their points: as given, with lags, with turns, with both.
    """

    lags: Lags
    turns_deg: Float[np.ndarray, "c 3"]
    turn_errors_deg: Float[np.ndarray, "c 3"]
    residual_px: tuple[float, float, float, float]


def person_tracks(
    observations: Observations, cameras: Sequence[str], rig: PinholeCameras
) -> tuple[Detections, int]:
    """Body landmarks of all observed frames, sides put right, and how many frames lie between two of them.

    Raises:
        CaptureError: the frames are not evenly spaced, or a camera was not observed.
    """
    seen = pose_detections(observations, cameras)
    steps = np.unique(np.diff(observations.frames))
    if len(steps) != 1:
        raise CaptureError(
            "only evenly spaced frames are a clock",
            expected="one distance between all observed frames",
            found=f"{len(steps)} different ones",
        )
    return undo_swaps(seen, rig).detections, int(steps[0])


def pose_detections(observations: Observations, cameras: Sequence[str]) -> Detections:
    """Body landmarks of all observed frames of some cameras.

    Raises:
        CaptureError: a camera was not observed.
    """
    missing = [name for name in cameras if name not in observations.cameras]
    if missing:
        raise CaptureError("a camera was not observed", found=", ".join(missing))
    columns = [observations.cameras.index(name) for name in cameras]
    pixels = observations.pose_px[:, columns].astype(np.float64)
    score = np.nan_to_num(observations.pose_score[:, columns].astype(np.float64))[..., None]
    visibility = np.nan_to_num(observations.pose_visibility[:, columns].astype(np.float64))
    return Detections(pixels, np.isfinite(pixels).all(-1) * score * visibility)


def lags_and_turns(
    detections: Detections,
    cameras: PinholeCameras,
    *,
    largest: float = 8.0,
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
) -> LagsAndTurns:
    """Lags and turns of all cameras under which the landmarks agree best.

    Args:
        detections: landmarks of consecutive frames, sides put right.
        cameras: as calibrated.
        largest: lag looked for, frames.

    Raises:
        CaptureError: too few frames or cameras.
    """
    frames, count = detections.confidence.shape[:2]
    if frames < FEWEST_FRAMES or count < 2:
        raise CaptureError(
            "too short or too few cameras for lags",
            expected=f">= {FEWEST_FRAMES} frames of 2 cameras",
            found=f"{frames} frames of {count}",
        )
    every = SynchroniseConfig(largest=largest, least=0.0, significance=0.0, fewest_frames=FEWEST_FRAMES)
    turns, errors, lags = np.zeros((count, 3)), np.full((count, 3), np.inf), Lags.none(count)
    for _ in range(_VISITS):
        before = lags.frames
        found = estimate_lags(detections, cameras.turned(turns), every, triangulation)
        lags = Lags(found.frames - found.frames.mean(), found.standard_errors)
        moved = shift_tracks(detections, lags.frames)
        turns, errors = solve_turns(moved, cameras, _TURN_PRIOR, triangulation=triangulation)
        if np.abs(lags.frames - before).max() < 0.05:
            break
    still = np.zeros(count)
    residuals = [
        _residual(shift_tracks(detections, shift), cameras.turned(use * turns), triangulation)
        for use, shift in ((0, still), (0, lags.frames), (1, still), (1, lags.frames))
    ]
    return LagsAndTurns(
        lags,
        np.degrees(turns),
        np.degrees(errors),
        (residuals[0], residuals[1], residuals[2], residuals[3]),
    )


def _residual(detections: Detections, cameras: PinholeCameras, triangulation: TriangulationConfig) -> float:
    """Median distance of landmarks from their triangulated points, pixels."""
    points = triangulate(detections, cameras, triangulation)
    known = points.residual_px[np.isfinite(points.residual_px)]
    return float(np.median(known)) if len(known) else float("nan")
