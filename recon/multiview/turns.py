"""Small rotations of the cameras that a person's landmarks ask for.

A tripod that was touched after the calibration turns a camera by a fraction of a degree, and moves everything it sees
by many pixels in one direction. So all cameras' rotations and all points are adjusted together
(`recon.multiview.bundle`). Detectors are biased too, but not alike at head, hands and feet over a whole motion: turns
are kept only if those found from some parts of the body make the other parts agree better (cross-validation). Positions
in the rig and lenses stay: a person of a metre's extent does not tell them from rotations. Rotations about fixed
centres can move the whole scene, so the adjusted rig is moved back as one rigid thing to where the points stay, in the
mean, where the given calibration has them.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Interval
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.bundle import adjust_bundle
from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.prior import Prior
from simulacra.recon.multiview.rig import CameraRig, Sightings, rigid_motion
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Share

# A detector errs alike in neighbouring frames: more frames than this say no more about a camera than these.
_INDEPENDENT_FRAMES = 5
_MOST_FRAMES = 30
# Triangulations, each followed by an adjustment; turns that change by less (radians) are found.
_ROUNDS = 4
_STILL = 1e-4
_TOLERANCE = 1e-5  # of the cost
_FALLS_OFF = 3 / 4


@config
class AdjustConfig:
    """When cameras are turned.

    Attributes:
        enabled: whether at all.
        sigma: expected size of a camera's error before anything is measured, radians.
        gain: part of the disagreement of parts left out that must vanish for any turn to be believed.
        fewest_frames: shorter captures leave the cameras alone.
        iterations: steps of the adjuster after each triangulation.
    """

    enabled: bool = True
    sigma: Annotated[float, Interval(ge=1e-5, le=1)] = 0.01
    gain: Share = 0.15
    fewest_frames: Annotated[int, Interval(ge=1, le=1_000_000)] = 10
    iterations: Annotated[int, Interval(ge=1, le=1000)] = 8


@dataclass(frozen=True)
class AdjustedCameras:
    """What was found.

    Attributes:
        cameras: the adjusted ones; the given ones where nothing was believed.
        turns: axis-angle of each camera in its own frame, radians, before the rig is moved back.
        gain: part of the disagreement of left-out parts that the turns remove; 0 where none was sought.
    """

    cameras: PinholeCameras
    turns: Float[np.ndarray, "c 3"]
    gain: float


def adjust_cameras(
    detections: Detections,
    cameras: PinholeCameras,
    config: AdjustConfig = AdjustConfig(),  # noqa: B008
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
) -> AdjustedCameras:
    """Rotations of the cameras about their centres under which the landmarks agree better.

    Args:
        detections: landmarks with sides put right and clocks aligned.
    """
    frames, none = len(detections.pixels), np.zeros((len(cameras), 3))
    if not config.enabled or len(cameras) < 3 or frames < config.fewest_frames:
        return AdjustedCameras(cameras, none, 0.0)
    some = detections.of_frames(slice(None, None, max(1, frames // _MOST_FRAMES)))
    gain = _left_out_gain(some, cameras, config, triangulation)
    if gain is None or not gain >= config.gain:
        return AdjustedCameras(cameras, none, gain or 0.0)
    turns = _turns(some, cameras, config, triangulation)
    rig = cameras.turned(turns)
    old = triangulate(some, cameras, triangulation).points
    new = triangulate(some, rig, triangulation).points
    both = np.isfinite(new).all(-1) & np.isfinite(old).all(-1)
    T_old_new = rigid_motion(new[both], old[both])
    return AdjustedCameras(replace(rig, viewmats=rig.viewmats @ np.linalg.inv(T_old_new)), turns, gain)


def _turns(
    detections: Detections, cameras: PinholeCameras, config: AdjustConfig, triangulation: TriangulationConfig
) -> Float[np.ndarray, "c 3"]:
    share = min(1.0, _INDEPENDENT_FRAMES / len(detections.pixels))
    return solve_turns(detections, cameras, config.sigma, share, config.iterations, triangulation)[0]


def _left_out_gain(
    detections: Detections, cameras: PinholeCameras, config: AdjustConfig, triangulation: TriangulationConfig
) -> float | None:
    """Part of each part's disagreement that turns found from the others remove; None where too few are seen."""
    before: list[float] = []
    after: list[float] = []
    for part in map(list, detections.layout.parts):
        # What is not confident is not looked at: two sets of landmarks out of one array.
        rest, own = detections.confidence.copy(), np.zeros_like(detections.confidence)
        rest[:, :, part], own[:, :, part] = 0.0, detections.confidence[:, :, part]
        others = replace(detections, confidence=rest)
        found = cameras.turned(_turns(others, cameras, config, triangulation))
        residuals = [
            triangulate(replace(detections, confidence=own), rig, triangulation).residual_px
            for rig in (cameras, found)
        ]
        if all(np.isfinite(each).any() for each in residuals):  # legs under a desk are seen by nobody
            before.append(float(np.nanmedian(residuals[0])))
            after.append(float(np.nanmedian(residuals[1])))
    return 1 - sum(after) / max(sum(before), 1e-9) if len(before) >= 3 else None


def solve_turns(
    detections: Detections,
    cameras: PinholeCameras,
    sigma: float,
    share: float = 1.0,
    steps: int = 8,
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
) -> tuple[Float[np.ndarray, "c 3"], Float[np.ndarray, "c 3"]]:
    """Turns of cameras about their centres under which the landmarks agree best, by bundle adjustment.

    Args:
        detections: landmarks with sides put right and clocks aligned.
        cameras: as calibrated.
        sigma: expected size of a turn about each axis, radians.
        share: how much of an observation of its own each detection is.
        steps: of the adjuster between two triangulations, which choose the views that agree anew.

    Returns:
        Axis-angles in the cameras' own frames, and their standard errors, radians; these are relative to the rig as a
        whole, by parts of the body, whose errors have a common cause, and infinite where nothing was seen.
    """
    # In cameras of focal length 1 pixels are rays: any pinhole matrix will do.
    given = CameraRig(np.tile([1.0, 1.0, *[0.0] * 7], (len(cameras), 1)), cameras.viewmats)
    prior, held = Prior(given, sigma, place=1.0, scaled=False), np.zeros((len(cameras), 9), dtype=bool)
    turns, errors = np.zeros((len(cameras), 3)), np.full((len(cameras), 3), np.inf)
    for _ in range(_ROUNDS):
        sightings, bodies = _sight_points(detections, cameras.turned(turns), share, triangulation)
        if not len(bodies):
            break
        start = CameraRig(given.intrinsics, cameras.turned(turns).viewmats)
        found = adjust_bundle(
            start, bodies, sightings, held, prior=prior, poses="turns", tolerance=_TOLERANCE, most_steps=steps
        )
        before, errors = turns, np.radians(found.uncertainty.rotations_deg)
        apart = found.rig.viewmats[:, :3, :3] @ np.swapaxes(cameras.viewmats[:, :3, :3], 1, 2)
        turns = Rotation.from_matrix(apart).as_rotvec()
        if np.abs(turns - before).max() < _STILL:
            break
    return turns, errors


def _sight_points(
    detections: Detections, cameras: PinholeCameras, share: float, triangulation: TriangulationConfig
) -> tuple[Sightings, Float[np.ndarray, "b 4 4"]]:
    """Points that cameras agree on as bodies of an adjustment, and the rays that agree."""
    points = triangulate(detections, cameras, triangulation)
    seen = points.inliers.any(1)
    bodies = np.tile(np.eye(4), (int(seen.sum()), 1, 1))
    bodies[:, :3, 3] = points.points[seen]
    number = np.cumsum(seen).reshape(seen.shape) - 1
    frame, camera, landmark = own = np.nonzero(points.inliers)
    count = len(frame)
    # The noise is a length across the ray, so that on the plane z = 1 it shrinks with the distance. Residuals count as
    # triangulation counts them, whose robust weights fall off at three times the noise where the adjuster's do at four.
    sigma = _FALLS_OFF * triangulation.noise_m / cameras.local(points.points)[own][:, 2]
    sightings = Sightings(
        camera,
        number[frame, landmark],
        np.zeros((count, 3)),
        cameras.rays(detections.pixels)[own],
        sigma,
        np.zeros((count, 2)),
        _FALLS_OFF**2 * share * detections.confidence[own],
        detections.layout.part_of[landmark],
    )
    return sightings, bodies
