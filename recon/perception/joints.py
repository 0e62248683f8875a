"""Distances of joints in the world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

# The 12 limb joints on which MPJPE is reported, by the pose network's names. Head and trunk points are left
# out because detectors and marker sets put them at different places of the body.
LIMB_JOINTS = (
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


def canonical_joint_name(name: str) -> str:
    """``RHip``, ``R_Hip``, ``right hip`` and ``right_hip`` are one joint: ``right_hip``."""
    text = name.strip().replace(" ", "_").replace("-", "_")
    if len(text) > 1 and text[0] in "LR" and text[1].isupper():
        text = text[0] + "_" + text[1:]
    side, _, rest = text.partition("_")
    sides = {"l": "left", "r": "right", "left": "left", "right": "right"}
    return f"{sides[side.lower()]}_{rest.lower()}" if rest and side.lower() in sides else text.lower()


def joint_distances(
    joints: Float[np.ndarray, "t k 3"],
    names: Sequence[str],
    reference: Float[np.ndarray, "t r 3"],
    reference_names: Sequence[str],
    chosen: Sequence[str] = LIMB_JOINTS,
) -> tuple[tuple[str, ...], Float[np.ndarray, "t j"]]:
    """Euclidean distances in metres of the chosen joints that both sides have, with their names.

    Both are in the same world and at the same times: nothing is aligned, scaled or shifted, unlike the
    root-aligned and Procrustes variants of MPJPE in the single-view literature. NaN marks a joint that is
    unknown in a frame; its distance is NaN.
    """
    ours = {canonical_joint_name(name): index for index, name in enumerate(names)}
    theirs = {canonical_joint_name(name): index for index, name in enumerate(reference_names)}
    shared = tuple(name for name in chosen if name in ours and name in theirs)
    left = joints[:, [ours[name] for name in shared]].astype(np.float64)
    right = reference[:, [theirs[name] for name in shared]].astype(np.float64)
    return shared, np.linalg.norm(left - right, axis=-1)


def mpjpe(distances: Float[np.ndarray, "t j"]) -> float | None:
    """Mean per-joint position error: the mean over frames and joints whose distance is known; None if none
    is.

    Ionescu et al., Human3.6M, PAMI 2014, without their root alignment (multi-view results are in world axes).
    """
    known = np.isfinite(distances)
    return float(distances[known].mean()) if known.any() else None
