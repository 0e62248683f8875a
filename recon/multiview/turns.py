"""Small rotations of the cameras that a person's landmarks ask for.

A tripod that was touched after the calibration turns a camera by a fraction of a degree, and moves everything it
sees by many pixels in one direction. So all cameras' rotations and all points are adjusted together (bundle
adjustment, Triggs et al. 2000: the points are eliminated by the Schur complement). Detectors are biased too, but not
alike at head, hands and feet over a whole motion: turns are believed only if those found from some parts of the body
make the other parts agree better (cross-validation). Positions in the rig and lenses stay: a person of a metre's
extent does not tell them from rotations. Rotations about fixed centres can move the whole scene, so the adjusted rig
is moved back as one rigid thing to where the points stay, in the mean, where the given calibration has them.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.triangulate import (
    Confidence,
    Points2D,
    TriangulationConfig,
    normalised_rays,
    triangulate,
)
from simulacra.recon.runs.configuration import config

# Left out in turn: head, left and right arm, left and right leg, and the trunk.
POSE33_BLOCKS = (
    tuple(range(11)), (13, 15, 17, 19, 21), (14, 16, 18, 20, 22), (25, 27, 29, 31), (26, 28, 30, 32), (11, 12, 23, 24),
)  # fmt: skip
# A detector errs alike in neighbouring frames: more frames than this say no more about a camera than these.
_INDEPENDENT_FRAMES = 5
_MOST_FRAMES = 30


@config
class AdjustConfig:
    """When cameras are turned.

    Attributes:
        enabled: whether at all.
        sigma: expected size of a camera's error before anything is measured, radians.
        gain: part of the disagreement of parts left out that must vanish for any turn to be believed.
        fewest_frames: shorter captures leave the cameras alone.
        iterations: Gauss-Newton steps.
    """

    enabled: bool = True
    sigma: float = Field(default=0.01, gt=0)
    gain: float = Field(default=0.15, ge=0, lt=1)
    fewest_frames: int = Field(default=10, ge=1)
    iterations: int = Field(default=8, ge=1)


@dataclass(frozen=True)
class AdjustedCameras:
    """What was found.

    Attributes:
        viewmats: the adjusted ones; the given ones where nothing was believed.
        turns: axis-angle of each camera in its own frame, radians, before the rig is moved back.
        gain: part of the disagreement of left-out parts that the turns remove; 0 where none was sought.
    """

    viewmats: Float[np.ndarray, "c 4 4"]
    turns: Float[np.ndarray, "c 3"]
    gain: float


def adjust_cameras(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    config: AdjustConfig = AdjustConfig(),  # noqa: B008
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
    blocks: tuple[tuple[int, ...], ...] = POSE33_BLOCKS,
) -> AdjustedCameras:
    """Rotations of the cameras about their centres under which the landmarks agree better.

    Args:
        pixels: landmarks with sides put right and clocks aligned; NaN where there is none.
        blocks: landmarks whose errors have a common cause; together all landmarks.
    """
    cameras = len(viewmats)
    none = np.zeros((cameras, 3))
    if not config.enabled or cameras < 3 or len(pixels) < config.fewest_frames:
        return AdjustedCameras(viewmats, none, 0.0)
    step = max(1, len(pixels) // _MOST_FRAMES)
    pixels, confidence = pixels[::step], confidence[::step]
    before: list[float] = []
    after: list[float] = []
    for block in map(list, blocks):
        rest = confidence.copy()
        rest[:, :, block] = 0.0
        found = turned(viewmats, _bundle(pixels, rest, viewmats, Ks, config, triangulation))
        residuals = [
            triangulate(pixels[:, :, block], confidence[:, :, block], rig, Ks, triangulation).residual_px
            for rig in (viewmats, found)
        ]
        if all(np.isfinite(each).any() for each in residuals):  # legs under a desk are seen by nobody
            before.append(float(np.nanmedian(residuals[0])))
            after.append(float(np.nanmedian(residuals[1])))
    if len(before) < 3:
        return AdjustedCameras(viewmats, none, 0.0)
    gain = 1 - sum(after) / max(sum(before), 1e-9)
    if not gain >= config.gain:
        return AdjustedCameras(viewmats, none, gain)
    turns = _bundle(pixels, confidence, viewmats, Ks, config, triangulation)
    rig = turned(viewmats, turns)
    old = triangulate(pixels, confidence, viewmats, Ks, triangulation).points
    new = triangulate(pixels, confidence, rig, Ks, triangulation).points
    return AdjustedCameras(_moved_back(rig, new, old), turns, gain)


def _moved_back(
    rig: Float[np.ndarray, "c 4 4"], new: Float[np.ndarray, "t k 3"], old: Float[np.ndarray, "t k 3"]
) -> Float[np.ndarray, "c 4 4"]:
    """The rig and its points moved together so that these lie on the old ones as well as they can (Kabsch 1976)."""
    both = np.isfinite(new).all(-1) & np.isfinite(old).all(-1)
    source, target = new[both], old[both]
    rotation, _ = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))
    T_old_new = np.eye(4)
    T_old_new[:3, :3] = rotation.as_matrix()
    T_old_new[:3, 3] = target.mean(0) - T_old_new[:3, :3] @ source.mean(0)
    return rig @ np.linalg.inv(T_old_new)


def turned(
    viewmats: Float[np.ndarray, "c 4 4"], turns: Float[np.ndarray, "c 3"]
) -> Float[np.ndarray, "c 4 4"]:
    """Cameras turned about their centres by axis-angles in their own frames."""
    result = viewmats.copy()
    result[:, :3] = Rotation.from_rotvec(turns).as_matrix() @ viewmats[:, :3]
    return result


def _bundle(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    config: AdjustConfig,
    triangulation: TriangulationConfig,
) -> Float[np.ndarray, "c 3"]:
    """Turns that minimise the robust transverse error of all points and the turns' own prior."""
    turns = np.zeros((len(viewmats), 3))
    share = min(1.0, _INDEPENDENT_FRAMES / len(pixels))
    for _ in range(config.iterations):
        current = turned(viewmats, turns)
        points = triangulate(pixels, confidence, current, Ks, triangulation)
        weights = np.where(points.inliers, np.nan_to_num(confidence), 0.0)
        hessian, gradient = turn_equations(points.points, pixels, weights, current, Ks, triangulation.noise_m)
        prior = 1 / config.sigma**2
        hessian = share * hessian + prior * np.eye(len(gradient))
        step = -np.linalg.solve(hessian, share * gradient + prior * turns.ravel())
        turns = turns + step.reshape(turns.shape)
        if np.abs(step).max() < 1e-5:
            break
    return turns


def turn_equations(
    points: Float[np.ndarray, "t k 3"],
    pixels: Points2D,
    weights: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    noise_m: float,
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, " d"]]:
    """Normal equations of the turns with the points eliminated.

    With local = R x + t the residual is r = local_xy - ray local_z. A turn w adds w x local, so that
    dr/dw = -P [local]_x and dr/dx = P R with P = (I, -ray).
    """
    R = viewmats[:, :3, :3]
    rays = np.nan_to_num(normalised_rays(pixels, Ks))
    local = np.einsum("cij,tkj->tcki", R, np.nan_to_num(points)) + viewmats[None, :, None, :3, 3]
    P = np.broadcast_to(np.eye(2, 3), (*rays.shape[:-1], 2, 3)).copy()
    P[..., 2] = -rays
    residual = np.einsum("tckij,tckj->tcki", P, local)
    robust = weights / noise_m**2 / (1 + (residual**2).sum(-1) / (3 * noise_m) ** 2) ** 2
    cross = np.zeros((*local.shape[:-1], 3, 3))
    cross[..., [2, 0, 1], [1, 2, 0]] = local
    cross[..., [1, 2, 0], [2, 0, 1]] = -local
    by_turn = -P @ cross
    by_point = np.einsum("tckij,cjl->tckil", P, R)
    cameras = len(viewmats)
    turn_turn = np.einsum("tck,tckij,tckil->cjl", robust, by_turn, by_turn)
    turn_point = np.einsum("tck,tckij,tckil->tckjl", robust, by_turn, by_point)
    point_point = np.einsum("tck,tckij,tckil->tkjl", robust, by_point, by_point) + 1e-6 * np.eye(3)
    gradient = np.einsum("tck,tckij,tcki->cj", robust, by_turn, residual)
    point_gradient = np.einsum("tck,tckij,tcki->tkj", robust, by_point, residual)
    inverse = np.linalg.inv(point_point)
    hessian = np.zeros((cameras, 3, cameras, 3))
    hessian[np.arange(cameras), :, np.arange(cameras)] = turn_turn
    hessian -= np.einsum("tckij,tkjl,tdkml->cidm", turn_point, inverse, turn_point, optimize=True)
    gradient = gradient - np.einsum("tckij,tkjl,tkl->ci", turn_point, inverse, point_gradient, optimize=True)
    return hessian.reshape(3 * cameras, 3 * cameras), gradient.ravel()
