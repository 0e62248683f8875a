"""Landmarks of a single camera in the world: the network's own skeleton, placed by its rays, by depth or by a stature.

Two cameras triangulate; one sees only directions. The landmark network also guesses the person's skeleton in metres
about the hips, as a camera sees it that looks straight at them. Turned into the line of sight, and moved to where its
landmarks lie on their rays (perspective-n-point, which is linear where the rotation is known), it is right but for its
size: all skeletons that are scaled about the lens look alike. Depth says how far away the landmarks are; without it
the lengths of the limbs are made those of a body of a stature that was given, or else of the prior's mean.

Symbols: ``t`` frames, ``k`` landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from simulacra.recon.fit.shape_space import shape_space
from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.observe.presence import SURE
from simulacra.render.body import BodyModel
from simulacra.render.runtime.errors import CaptureError

ScaleSource = Literal["cameras", "depth", "stature", "prior"]
SCALES: dict[ScaleSource, str] = {
    "cameras": "",
    "depth": "The scale is that of the depth images.",
    "stature": "One camera without depth: the scale is that of the stature that was given.",
    "prior": "One camera without depth, and no stature was given (fit.stature_m): the scale is not known, and the "
    "person is drawn as tall as people are on average. Sizes and distances are in proportion alone.",
}
"""Where the metres of a fit come from, in words; nothing where the cameras' own distances say."""

# How far behind the skin that a depth camera measures a landmark lies, metres: what is not named lies on it.
_BEHIND_M = {
    **dict.fromkeys((11, 12), 0.05), **dict.fromkeys((13, 14), 0.04), **dict.fromkeys((15, 16), 0.03),
    **dict.fromkeys((17, 18, 19, 20, 21, 22), 0.015), **dict.fromkeys((23, 24), 0.09),
    **dict.fromkeys((25, 26), 0.05), **dict.fromkeys((27, 28), 0.04), **dict.fromkeys((29, 30, 31, 32), 0.03),
}  # fmt: skip
# A landmark lies where it was measured, not where the skeleton has it, unless something else was measured: a hand
# before a hip, a hole, or a landmark that is hidden.
_MEASURED_M, _CLEAR = 0.4, 0.5
# Pixels about a landmark whose depths are looked at, share of the picture's width.
_PATCH = 0.004
# Pairs of landmarks whose distances say how large a skeleton is; of a head alone the ears do.
_LENGTHS = [
    (11, 12),
    (11, 13),
    (12, 14),
    (13, 15),
    (14, 16),
    (11, 23),
    (12, 24),
    (23, 25),
    (24, 26),
    (25, 27),
    (26, 28),
]
_EARS = [(7, 8)]
_FEWEST = 3
_STEPS, _NOISE_M = 5, 0.05


@dataclass(frozen=True)
class LiftedPose:
    """The landmarks of one camera in the world.

    Attributes:
        points: world, metres; NaN where a landmark is not seen.
        source: where their scale comes from.
    """

    points: Float[np.ndarray, "t k 3"]
    source: ScaleSource


def lift_pose(
    session: Any,
    observations: Any,
    pose: Detections,
    shown: Bool[np.ndarray, "t k"],
    camera: tuple[str, PinholeCameras],
    frames: Sequence[int],
    world: Float[np.ndarray, "t k 3"],
    body: BodyModel,
    stature_m: float | None,
    *,
    depth: bool,
) -> LiftedPose:
    """The network's skeleton in every frame, where its landmarks' rays have it.

    Args:
        pose: of the one camera.
        shown: which landmarks its picture shows.
        camera: its name and calibration.
        frames: numbers in the session.
        world: the network's guess (`Observations.pose_world`).
        stature_m: of the person; None where nobody said.
        depth: whether depth may be looked at.
    """
    name, pinhole = camera
    rays = pinhole.rays(np.nan_to_num(pose.pixels))[:, 0]
    weights = np.where(shown & np.isfinite(world).all(-1), pose.confidence[:, 0], 0.0)
    local = np.full(world.shape, np.nan)
    for row in np.flatnonzero((weights > 0).sum(1) >= _FEWEST):
        local[row] = _place_skeleton(world[row].astype(np.float64), rays[row], weights[row])
    if not np.isfinite(local).any():
        return LiftedPose(local, "prior")
    lengths = np.where((weights > 0)[..., None], local, np.nan)
    scales = np.full(len(frames), _body_scale(lengths, body, stature_m))
    source: ScaleSource = "prior" if stature_m is None else "stature"
    measured = np.full(weights.shape, np.nan)
    if depth:
        for place, frame in enumerate(frames):
            measured[place] = _measure(
                session, observations, name, int(frame), pose.pixels[place, 0], weights[place] > 0
            )
        found = _depth_scales(local, measured)
        if np.isfinite(found).any():
            scales, source = _fill(found), "depth"
    local = local * scales[:, None, None]
    # What is seen and measured lies where it was measured, on its ray.
    near = (np.abs(measured - local[..., 2]) < _MEASURED_M) & (weights >= _CLEAR)
    z = np.where(near, measured, local[..., 2])[..., None]
    local = np.where((weights > 0)[..., None], np.concatenate([rays * z, z], -1), np.nan)
    viewmat = pinhole.viewmats[0]
    return LiftedPose((local - viewmat[:3, 3]) @ viewmat[:3, :3], source)


def _place_skeleton(
    skeleton: Float[np.ndarray, "k 3"], rays: Float[np.ndarray, "k 2"], weights: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k 3"]:
    """The skeleton in the camera's frame, turned into the line of sight and moved to its rays."""
    towards = np.append((weights[:, None] * rays).sum(0) / weights.sum(), 1.0)
    turned = skeleton @ _turn_to(towards).T
    # (x, y) - ray z of a point p + move: linear in the move.
    jacobian = np.zeros((len(rays), 2, 3))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = 1.0
    jacobian[:, :, 2] = -rays
    off = turned[:, :2] - rays * turned[:, 2:]
    robust = weights
    for _ in range(_STEPS):
        root = np.sqrt(robust)[:, None]
        move = np.linalg.lstsq(
            (jacobian * root[..., None]).reshape(-1, 3), -(off * root).reshape(-1), rcond=None
        )[0]
        residual = np.linalg.norm(off + jacobian @ move, axis=-1)
        robust = weights / (1 + (residual / _NOISE_M) ** 2) ** 2
    return turned + move


def _turn_to(towards: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes the optical axis to a direction."""
    direction = towards / np.linalg.norm(towards)
    axis = np.array([-direction[1], direction[0], 0.0])
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        return np.eye(3)
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, direction[2])).as_matrix()


def _body_scale(skeletons: Float[np.ndarray, "t k 3"], body: BodyModel, stature_m: float | None) -> float:
    """What makes the network's limbs as long as those of a body of the stature."""
    rest = body.rest(body.neutral_shape())
    keypoints = body.keypoints_at("pose33", rest, body.zero_pose()).detach().double().numpy()[0]
    height = float(rest.verts[:, 1].max() - rest.verts[:, 1].min())
    wanted = prior_stature(body) if stature_m is None else stature_m
    for pairs in (_LENGTHS, _EARS):
        a, b = np.array(pairs).T
        theirs = np.linalg.norm(skeletons[:, a] - skeletons[:, b], axis=-1)
        ours = np.linalg.norm(keypoints[a] - keypoints[b], axis=-1)
        known = np.isfinite(theirs)
        if known.any():
            rows = known.any(1)
            ratios = (known * ours).sum(1)[rows] / np.nansum(theirs, 1)[rows]
            return float(np.median(ratios)) * wanted / height
    return wanted / height


def prior_stature(body: BodyModel) -> float:
    """How tall people are on average, as the shape's prior has it, metres."""
    space = shape_space(body, face=False)
    verts = body.rest(space.shape(space.local_sigma.new_zeros(len(space)))).verts[:, 1]
    return float(verts.max() - verts.min())


def _measure(
    session: Any,
    observations: Any,
    camera: str,
    frame: int,
    pixels: Float[np.ndarray, "k 2"],
    seen: np.ndarray,
) -> Float[np.ndarray, " k"]:
    """Depth of the landmarks by what was measured about them on the person, metres; NaN where nothing was."""
    found = np.full(len(pixels), np.nan)
    reading = session.depth(frame, camera) if session.has(frame, camera) else None
    if reading is None:
        return found
    depth, valid = reading
    mask = observations.mask(frame, camera)
    usable = valid & (depth > 0) & (True if mask is None else mask > 0.5)
    reach = max(1, round(_PATCH * depth.shape[1]))
    for k in np.flatnonzero(seen):
        x, y = (int(each) for each in np.floor(pixels[k]))
        patch = np.s_[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        values = depth[patch][usable[patch]]
        if len(values) > reach:
            found[k] = float(np.median(values)) + _BEHIND_M.get(int(k), 0.0)
    return found


def _depth_scales(
    local: Float[np.ndarray, "t k 3"], measured: Float[np.ndarray, "t k"]
) -> Float[np.ndarray, " t"]:
    """In each frame how much further away the landmarks were measured than they were placed: the median."""
    with np.errstate(all="ignore"):
        ratios = measured / local[..., 2]
    return np.array(
        [np.median(row[np.isfinite(row)]) if np.isfinite(row).sum() >= _FEWEST else np.nan for row in ratios]
    )


def _fill(values: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Between and beyond the known ones."""
    known = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), known, values[known])


def check_skeletons(observations: Any) -> None:
    """That the network's own skeletons were kept.

    Raises:
        CaptureError: the observations are of an earlier version.
    """
    if observations.pose_world is None:
        raise CaptureError(
            "The observations are of an earlier version, which kept no skeletons",
            expected="the landmark network's own skeleton, by which one camera says where a person stands",
            remedy="run `simulacra reconstruct` again: it observes anew",
        )


def exchange_sides(pose: Detections, world: Float[np.ndarray, "t k 3"]) -> tuple[Detections, np.ndarray]:
    """All landmarks with left and right exchanged: what a view from the front shows, if it is one from behind."""
    swapped = np.ones((*pose.confidence.shape[:2], len(POSE33.groups)), bool)
    return pose.exchanged(swapped), world[:, list(POSE33.mirror)]


def in_picture(pose: Detections, sizes: np.ndarray, sure: float = SURE) -> Bool[np.ndarray, "t k"]:
    """Landmarks of a single camera that its picture shows."""
    with np.errstate(invalid="ignore"):
        within = ((pose.pixels[:, 0] >= 0) & (pose.pixels[:, 0] <= sizes[0])).all(-1)
    return within & (np.nan_to_num(pose.confidence[:, 0]) >= sure)
