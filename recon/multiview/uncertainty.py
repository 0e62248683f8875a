"""What an adjustment is worth: standard errors of its cameras.

Uncertainty is told in the gauge of the whole rig: as if an erring calibration were laid over the true one by the rigid
motion that fits all cameras best (an S-transformation: Baarda 1973), so that no camera is exact by decree. Where
nothing that was seen has a scale, the motion is one with a scale.

Two covariances are made. The plain one, from the inverse of the reduced normal matrix and the variance of the
residuals, holds if observations err independently of each other. They do not: a moving board, a rolling shutter or a
bent print move all corners of a view together, and a detector errs alike in the next frame. So the sandwich of the
groups' gradients (White 1982, by clusters as in Liang and Zeger 1986) is made too, and the larger of the two standard
errors is told. What is believed beforehand is one more observation in both.

Symbols: ``c`` cameras, ``u`` unknowns of all cameras, ``a`` those estimated, ``g`` groups of bodies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.multiview.prior import UNKNOWNS, Prior, pose_changes
from simulacra.recon.multiview.rig import INTRINSICS, CameraRig, cross
from simulacra.render.runtime.errors import CalibrationError

# A standard error is said of directions that the observations fix at all.
_FIXED = 1e-12


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors, in the gauge of the whole rig.

    Attributes:
        intrinsics: of fx fy cx cy (pixels) k1 k2 p1 p2 k3; 0 for what was not estimated.
        centres_m: of the cameras' positions along the world's axes, metres.
        rotations_deg: about the cameras' axes, degrees.
        freedom: observations (two each) less unknowns.
    """

    intrinsics: Float[np.ndarray, "c 9"]
    centres_m: Float[np.ndarray, "c 3"]
    rotations_deg: Float[np.ndarray, "c 3"]
    freedom: int


@dataclass(frozen=True)
class Information:
    """What observations say of the cameras' unknowns at a solution.

    Attributes:
        hessian: normal matrix, bodies eliminated.
        diagonal: of the cameras' own part.
        pieces: each group's part of the gradient.
        variance: of the residuals over their sigmas.
        freedom: observations (two each) less unknowns.
    """

    hessian: Float[np.ndarray, "u u"]
    diagonal: Float[np.ndarray, " u"]
    pieces: Float[np.ndarray, "g a"]
    estimated: Bool[np.ndarray, " u"]
    variance: float
    freedom: int


def standard_errors(rig: CameraRig, seen: Information, prior: Prior | None) -> Uncertainty:
    """Of all cameras.

    Raises:
        CalibrationError: something that was to be estimated changes no pixel, and nothing is believed of it.
    """
    chosen = np.ix_(seen.estimated, seen.estimated)
    believed = prior.information(rig)[0] if prior is not None else np.zeros_like(seen.hessian)
    diagonal = (seen.diagonal + believed.diagonal())[seen.estimated]
    variance = max(seen.variance, 1e-12)
    plain = _inverse((seen.hessian / variance + believed)[chosen], diagonal, seen.estimated)
    inverse = _inverse((seen.hessian + believed)[chosen], diagonal, seen.estimated)
    groups = len(seen.pieces)
    few = groups / max(groups - seen.estimated.sum() / 6, 1)  # each body speaks of six unknowns at most
    sandwich = inverse @ (few * seen.pieces.T @ seen.pieces + believed[chosen]) @ inverse
    scaled = prior is None or prior.scaled
    errors = [in_rig_gauge(rig, covariance, seen.estimated, scaled) for covariance in (plain, sandwich)]
    return replace(_largest(errors[0], errors[1]), freedom=seen.freedom)


def _largest(a: Uncertainty, b: Uncertainty) -> Uncertainty:
    return Uncertainty(
        np.maximum(a.intrinsics, b.intrinsics),
        np.maximum(a.centres_m, b.centres_m),
        np.maximum(a.rotations_deg, b.rotations_deg),
        0,
    )


def _inverse(
    hessian: Float[np.ndarray, "a a"], diagonal: Float[np.ndarray, " a"], estimated: Bool[np.ndarray, " u"]
) -> Float[np.ndarray, "a a"]:
    """Inverse of the reduced matrix.

    Raises:
        CalibrationError: it has none: something that was to be estimated changes no pixel.
    """
    if not len(hessian):
        return hessian
    scale = 1 / np.sqrt(np.maximum(diagonal, 1e-30))
    values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale)
    if values[0] < _FIXED:
        camera, unknown = divmod(int(np.flatnonzero(estimated)[np.abs(vectors[:, 0]).argmax()]), UNKNOWNS)
        names = (*INTRINSICS, *("its rotation",) * 3, *("its position",) * 3)
        raise CalibrationError(
            "the views do not fix the calibration",
            where=f"camera number {camera}, mostly {names[unknown]}",
            expected="boards that are tilted, at several distances, and seen by several cameras at once",
            remedy="record more views of that camera, tilted by 30 degrees and more, to the edges of its image",
        )
    return (vectors / values) @ vectors.T * scale[:, None] * scale


def in_rig_gauge(
    rig: CameraRig,
    covariance: Float[np.ndarray, "a a"],
    estimated: Bool[np.ndarray, " u"],
    scaled: bool = True,
) -> Uncertainty:
    """Standard errors after the best rigid motion (with a scale, if none was seen) of all cameras is taken off."""
    cameras = len(rig.viewmats)
    whole = np.zeros((len(estimated), len(estimated)))
    whole[np.ix_(estimated, estimated)] = covariance
    intrinsics = np.sqrt(np.maximum(whole.diagonal().reshape(cameras, -1)[:, : len(INTRINSICS)], 0))
    change = np.zeros(
        (cameras, 6, cameras, UNKNOWNS)
    )  # of (turn in the camera's frame, centre) by the unknowns
    change[np.arange(cameras), :, np.arange(cameras), len(INTRINSICS) :] = pose_changes(rig)
    flat = _without_motion(rig, change.reshape(6 * cameras, -1), scaled)
    errors = np.sqrt(np.maximum(np.einsum("ru,uv,rv->r", flat, whole, flat, optimize=True), 0))
    errors = errors.reshape(cameras, 6)
    return Uncertainty(intrinsics, errors[:, 3:], np.degrees(errors[:, :3]), 0)


def _without_motion(
    rig: CameraRig, change: Float[np.ndarray, "r u"], scaled: bool
) -> Float[np.ndarray, "r u"]:
    """Changes of all poses less the motion that explains them best; rotations count by the rig's extent."""
    cameras = len(rig.viewmats)
    if cameras < 2:
        return 0 * change
    centres = rig.centres - rig.centres.mean(0)
    extent = max(float(np.sqrt((centres**2).sum(1).mean())), 1e-6)
    # Of the world by (turn, shift, growth): a camera turns by -R turn, its centre moves by turn x centre + shift and
    # growth times itself.
    by_camera = np.zeros((cameras, 6, 6 if scaled else 7))
    by_camera[:, :3, :3] = -rig.viewmats[:, :3, :3]
    by_camera[:, 3:, :3] = -cross(centres)
    by_camera[:, 3:, 3:6] = np.eye(3)
    if not scaled:
        by_camera[:, 3:, 6] = centres
    motion = by_camera.reshape(6 * cameras, -1)
    weight = np.tile(np.repeat([extent, 1.0], 3), cameras)
    found = np.linalg.lstsq(weight[:, None] * motion, weight[:, None] * change, rcond=None)[0]
    return change - motion @ found
