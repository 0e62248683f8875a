"""A person's landmarks as sightings of an adjustment: how far each may be off, and how much each says of its own.

*How far.* A detector works on a crop of the person: its errors are lengths on the body, so that pixels are sigma times
focal length over depth. Sigma is a product of the landmark's own (a hip is less sure than a nose) and of its
confidence's (four classes), both by medians of the residuals about triangulated points, which have fewer degrees of
freedom than views: 2 m - 3 of 2 m. What moves is less sure by its speed times the standard error of its camera's clock.

*How much.* A detector errs alike in the next frame, and at the eye as at the nose. Of residuals z in sigmas, the sum
over time of a landmark of one camera has `repeat` times the variance that independent frames would give it, measured
by the ratio of all sums' squares to all squares; constant errors make it the number of frames. The sum over the
landmarks of a part of the body at one moment has `alike` times the variance, likewise. A sighting is worth the
inverse of both (a design effect: Kish 1965). Bodies of one part within `repeat` frames form a group for the sandwich.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``n`` sightings, ``p`` parts of the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.calibrate.session_rig import landmarks_for_rig
from simulacra.recon.calibrate.timing import FEWEST_FRAMES, pose_detections
from simulacra.recon.multiview.clocks import Lags, estimate_lags, shift_tracks
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.multiview.rig import CameraRig, Sightings, project_bodies
from simulacra.recon.multiview.sides import undo_swaps
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from simulacra.recon.observe.observations import Observations

# More frames say no more: they err alike.
MOST_FRAMES = 60
_LEAST_CONFIDENCE = 0.3
# Detections of a camera that is turned by some degrees still make points.
_WIDE = TriangulationConfig(outlier_m=0.3, min_confidence=_LEAST_CONFIDENCE)
_CLASSES = 4
_FEWEST = 20
_LEAST_SIGMA_M = 0.001
_FIRST_SIGMA_M = 0.02
_POLISH = 6
# Residuals beyond are outliers, and tell nothing of what usual errors have in common.
_CLIPPED = 3.0


@dataclass(frozen=True)
class BodyViews:
    """Landmarks of one person in all cameras, sides put right and clocks aligned.

    Attributes:
        frames: numbers in the session.
        detections: in the session's pinhole pictures.
        speed: of the landmarks in their pictures, pixels a frame.
        lags: how much each camera lagged, and what that is worth.
    """

    frames: Int[np.ndarray, " t"]
    detections: Detections
    speed: Float[np.ndarray, "t c k"]
    lags: Lags

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Landmarks whose errors have a common cause; together all."""
        return self.detections.layout.parts


@dataclass(frozen=True)
class Noise:
    """What was measured of a detector.

    Attributes:
        landmark_m: standard deviation of a landmark along each axis of the picture, metres on the body.
        factors: by the class of its confidence.
        edges: the classes' borders.
        repeat: frames that are worth one.
        alike: landmarks of each part that are worth one.
    """

    landmark_m: Float[np.ndarray, " k"]
    factors: Float[np.ndarray, " q"]
    edges: Float[np.ndarray, " e"]
    repeat: float
    alike: Float[np.ndarray, " p"]


@dataclass(frozen=True)
class LandmarkSightings:
    """Landmarks as bodies of an adjustment.

    Attributes:
        bodies: single points, body to world.
        sightings: of these.
        frame: of each sighting.
        landmark: of each sighting.
        confidence: of each sighting.
        speed: of each sighting, pixels a frame.
        views: how many cameras saw the point of each sighting.
    """

    bodies: Float[np.ndarray, "b 4 4"]
    sightings: Sightings
    frame: Int[np.ndarray, " n"]
    landmark: Int[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]
    speed: Float[np.ndarray, " n"]
    views: Int[np.ndarray, " n"]


def body_views(observations: Observations, cameras: Sequence[str], rig: CameraRig) -> BodyViews:
    """The landmarks of the observed frames, at most `MOST_FRAMES` of them.

    Clocks are aligned by the motion, where frames are evenly spaced and enough.

    Raises:
        CaptureError: a camera was not observed.
    """
    return align_views(observations.frames, pose_detections(observations, cameras), rig)


def align_views(frames: Int[np.ndarray, " t"], seen: Detections, rig: CameraRig) -> BodyViews:
    """Sides put right, clocks aligned, some of the frames."""
    fixed = undo_swaps(seen, rig.pinhole).detections
    lags = Lags.none(len(rig.viewmats))
    if len(np.unique(np.diff(frames))) == 1 and len(frames) >= FEWEST_FRAMES:
        lags = estimate_lags(fixed, rig.pinhole)
    moved = shift_tracks(fixed, lags.frames)
    still = np.zeros(moved.confidence.shape)
    speed = np.linalg.norm(np.gradient(moved.pixels, axis=0), axis=-1) if len(frames) > 1 else still
    some = np.unique(np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int))
    some = some[: len(frames)]
    return BodyViews(np.asarray(frames)[some], moved.of_frames(some), np.nan_to_num(speed[some]), lags)


def place_landmarks(
    views: BodyViews, keep: Bool[np.ndarray, "t k"], rig: CameraRig, given: CameraRig
) -> LandmarkSightings:
    """Points where the rig sees the chosen landmarks, with what was seen of them; sigmas are not measured yet."""
    detections = views.detections
    points = triangulate(detections, rig.pinhole, _WIDE).points
    pixels, seen = landmarks_for_rig(detections.pixels, given)
    seen &= detections.confidence >= _LEAST_CONFIDENCE
    local = rig.pinhole.local(points)
    with np.errstate(invalid="ignore"):
        seen &= local[..., 2] > 0.05
    counts = seen.sum(1)
    there = keep & np.isfinite(points).all(-1) & (counts >= 2)
    numbers = np.full(there.shape, -1)
    numbers[there] = np.arange(int(there.sum()))
    frame, camera, landmark = np.nonzero(seen & there[:, None])
    bodies = np.tile(np.eye(4), (int(there.sum()), 1, 1))
    bodies[:, :3, 3] = points[there]
    count = len(frame)
    sightings = Sightings(
        camera,
        numbers[frame, landmark],
        np.zeros((count, 3)),
        pixels[frame, camera, landmark],
        np.ones(count),
        np.zeros((count, 2)),
    )
    own = (frame, camera, landmark)
    return LandmarkSightings(
        bodies,
        sightings,
        frame,
        landmark,
        detections.confidence[own],
        views.speed[own],
        counts[frame, landmark],
    )


def first_noise(views: BodyViews) -> Noise:
    """Before anything is measured."""
    landmarks = np.full(len(views.detections.layout), _FIRST_SIGMA_M)
    return Noise(landmarks, np.ones(1), np.zeros(0), 1.0, np.ones(len(views.parts)))


def as_independent(noise: Noise) -> Noise:
    """As if every detection erred for itself: a rig that is off by much must first be brought near, for what it leaves
    is all alike.
    """
    return replace(noise, repeat=1.0, alike=np.ones_like(noise.alike))


def measure_noise(
    landmarks: LandmarkSightings, residuals: Float[np.ndarray, "n 2"], rig: CameraRig, views: BodyViews
) -> Noise:
    """Sigmas and design effects out of what an adjustment left."""
    lengths = np.linalg.norm(residuals, axis=-1) / _pixels_a_metre(landmarks, rig)
    m = landmarks.views
    lengths = np.maximum(lengths * np.sqrt(2 * m / (2 * m - 3)) / 1.1774, 1e-9)
    edges = np.unique(np.quantile(landmarks.confidence, np.linspace(0, 1, _CLASSES + 1)[1:-1]))
    classes = np.searchsorted(edges, landmarks.confidence, side="right")
    own = np.full(len(views.detections.layout), np.log(float(np.median(lengths))))
    factors = np.zeros(len(edges) + 1)
    logs = np.log(lengths)
    for _ in range(_POLISH):
        for rows, values, rest in (
            (landmarks.landmark, own, factors[classes]),
            (classes, factors, own[landmarks.landmark]),
        ):
            for number in range(len(values)):
                chosen = rows == number
                if chosen.sum() >= _FEWEST:
                    values[number] = np.median((logs - rest)[chosen])
        own, factors = own + factors.mean(), factors - factors.mean()
    landmark_m = np.maximum(np.exp(own), _LEAST_SIGMA_M)
    noise = replace(first_noise(views), landmark_m=landmark_m, factors=np.exp(factors), edges=edges)
    z = residuals / _sigma_px(landmarks, noise, rig, views)[:, None]
    z = z / np.maximum(1.0, np.linalg.norm(z, axis=-1, keepdims=True) / _CLIPPED)
    return replace(noise, repeat=_repeat(landmarks, z), alike=_alike(landmarks, z, views.parts))


def measured_sightings(
    landmarks: LandmarkSightings, noise: Noise, rig: CameraRig, views: BodyViews
) -> Sightings:
    """The landmarks as the adjustment takes them: sigmas, shares, groups."""
    part = views.detections.layout.part_of[landmarks.landmark]
    chunk = landmarks.frame // max(int(np.ceil(noise.repeat)), 1)
    return replace(
        landmarks.sightings,
        sigma=_sigma_px(landmarks, noise, rig, views),
        share=1 / (noise.repeat * noise.alike[part]),
        group=part + len(views.parts) * chunk,
    )


def movement(landmarks: LandmarkSightings) -> float:
    """How far a landmark is from where it is in the mean, rms over time and the usual landmark, metres."""
    places = landmarks.bodies[landmarks.sightings.body, :3, 3]
    found = [
        float(np.median(np.linalg.norm(own - np.median(own, 0), axis=-1)))
        for k in np.unique(landmarks.landmark)
        if len(own := places[landmarks.landmark == k]) > 1
    ]
    return float(np.median(found)) if found else 0.0


def _pixels_a_metre(landmarks: LandmarkSightings, rig: CameraRig) -> Float[np.ndarray, " n"]:
    local = project_bodies(rig, landmarks.bodies, landmarks.sightings).local
    return rig.intrinsics[landmarks.sightings.camera, :2].mean(-1) / local[:, 2]


def _sigma_px(
    landmarks: LandmarkSightings, noise: Noise, rig: CameraRig, views: BodyViews
) -> Float[np.ndarray, " n"]:
    classes = np.searchsorted(noise.edges, landmarks.confidence, side="right")
    own = noise.landmark_m[landmarks.landmark] * noise.factors[classes] * _pixels_a_metre(landmarks, rig)
    clock = np.where(np.isfinite(views.lags.standard_errors), views.lags.standard_errors, 0.0)
    return np.hypot(own, landmarks.speed * np.minimum(clock, 1.0)[landmarks.sightings.camera])


def _repeat(landmarks: LandmarkSightings, z: Float[np.ndarray, "n 2"]) -> float:
    """Frames that are worth one."""
    series = landmarks.landmark * (landmarks.sightings.camera.max(initial=0) + 1) + landmarks.sightings.camera
    return _design_effect(series, z)


def _alike(
    landmarks: LandmarkSightings, z: Float[np.ndarray, "n 2"], parts: Sequence[Sequence[int]]
) -> Float[np.ndarray, " p"]:
    """Landmarks of each part that are worth one."""
    moment = landmarks.frame * (landmarks.sightings.camera.max(initial=0) + 1) + landmarks.sightings.camera
    own = [np.isin(landmarks.landmark, part) for part in parts]
    return np.array([_design_effect(moment[chosen], z[chosen]) for chosen in own])


def _design_effect(sums: Int[np.ndarray, " n"], z: Float[np.ndarray, "n 2"]) -> float:
    """Variance of sums against that of sums of independent values; at least 1."""
    if not len(sums):
        return 1.0
    _, of = np.unique(sums, return_inverse=True)
    total = np.stack([np.bincount(of, z[:, axis]) for axis in (0, 1)])
    return max(1.0, float((total**2).sum() / max((z**2).sum(), 1e-12)))
