"""The fitted body's joints beside a reference's.

A reference names the places that its own detector was trained to call a joint. Those of the common ones (COCO and
OpenPose's BODY_25) are what the body's `coco23` regressors give; the bones' heads are the anatomical centres, a few
centimetres deeper. The regressors are therefore compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from simulacra.recon.fit.record import BodyFit
from simulacra.recon.perception.joints import LIMB_JOINTS, canonical_joint_name, joint_distances, mpjpe
from simulacra.render.body import BodyModel


@dataclass(frozen=True)
class JointErrors:
    """Distances to a reference, millimetres.

    Attributes:
        mpjpe_mm: mean over joints and frames, nothing aligned.
        per_joint_mm: mean over frames.
        bias_mm: mean difference, ours minus the reference, in world axes.
    """

    names: tuple[str, ...]
    mpjpe_mm: float
    per_joint_mm: dict[str, float]
    bias_mm: dict[str, tuple[float, float, float]]


def limb_joints(fit: BodyFit, body: BodyModel) -> tuple[tuple[str, ...], Float[np.ndarray, "t 12 3"]]:
    """Names and places of the 12 limb joints in every fitted frame, world, metres."""
    names = body.keypoints["coco23"].names
    with torch.no_grad():
        points = body.keypoints_at("coco23", body.rest(fit.shape), fit.pose).double().numpy()
    return LIMB_JOINTS, points[:, [names.index(name) for name in LIMB_JOINTS]]


def joint_errors(
    fit: BodyFit,
    body: BodyModel,
    reference_names: Sequence[str],
    reference_frames: Sequence[int],
    reference: Float[np.ndarray, "t r 3"],
) -> JointErrors:
    """Distances of the 12 limb joints at the frames that both have.

    Args:
        reference: world, metres.

    Raises:
        ValueError: no frame or no joint in common.
    """
    rows = {int(frame): row for row, frame in enumerate(reference_frames)}
    shared = [frame for frame in fit.frames.tolist() if frame in rows]
    if not shared:
        raise ValueError("the fit and the reference have no frame in common")
    names, joints = limb_joints(fit, body)
    ours = joints[[fit.row(frame) for frame in shared]]
    theirs = reference[[rows[frame] for frame in shared]]
    common, distances = joint_distances(ours, names, theirs, reference_names)
    total = mpjpe(distances)
    if total is None:
        raise ValueError("the fit and the reference have no joint in common")
    return JointErrors(
        common,
        1000 * total,
        {name: float(1000 * np.nanmean(distances[:, i])) for i, name in enumerate(common)},
        _bias(common, names, ours, theirs, reference_names),
    )


def _bias(
    common: Sequence[str],
    names: Sequence[str],
    ours: np.ndarray,
    theirs: np.ndarray,
    reference_names: Sequence[str],
) -> dict[str, tuple[float, float, float]]:
    column = {canonical_joint_name(name): i for i, name in enumerate(reference_names)}
    found = {}
    for name in common:
        x, y, z = (
            1000 * np.nanmean(ours[:, list(names).index(name)] - theirs[:, column[name]], axis=0)
        ).tolist()
        found[name] = (x, y, z)
    return found
