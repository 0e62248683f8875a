"""Which held-out frames have poses that no trained frame has: the views of these judge `novel-pose`.

A pose is where the twelve limb joints are as seen from the body itself: about the middle of the hips, in the turn of
the root bone, so that walking about and turning round are no new pose. Two poses are as far apart as the root of the
mean square of these joints' distances. A held-out frame is novel where the nearest trained pose is further away than

- `LEAST_M`, 50 mm: what one arm, three of the twelve joints, comes to when it is 100 mm elsewhere, about its thickness;
- the distance under which 95 % of the trained frames have another trained frame: what is usual between neighbors of
  this capture is nothing new.

Both are of the trained frames alone, and poses are the fit's. Frames in which too few cameras saw the person are
neither trained poses nor novel ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from simulacra.recon.evaluate.joints import limb_joints
from simulacra.recon.evaluate.protocol import Protocol
from simulacra.recon.fit import BodyFit
from simulacra.recon.perception.joints import LIMB_JOINTS
from simulacra.render.body import BodyModel
from simulacra.render.rotation import axis_angle_to_matrix

LEAST_M = 0.05
USUAL = 0.95
_HIPS = [LIMB_JOINTS.index(name) for name in ("left_hip", "right_hip")]


@dataclass(frozen=True)
class Novelty:
    """How far held-out poses are from trained ones.

    Attributes:
        frames: held-out frames in which the person was seen, rising.
        distances_m: of each to the nearest trained pose.
        threshold_m: beyond which a pose is novel; None where fewer than two trained poses are known.
    """

    frames: tuple[int, ...]
    distances_m: tuple[float, ...]
    threshold_m: float | None

    @property
    def novel(self) -> tuple[int, ...]:
        """The frames beyond the threshold."""
        if self.threshold_m is None:
            return ()
        far = zip(self.frames, self.distances_m, strict=True)
        return tuple(frame for frame, distance in far if distance > self.threshold_m)

    def as_json(self) -> dict[str, object]:
        """What metrics.json says under `novelty`."""
        return {
            "threshold_mm": None if self.threshold_m is None else 1000 * self.threshold_m,
            "frames": [
                {"frame": frame, "nearest_trained_mm": 1000 * distance}
                for frame, distance in zip(self.frames, self.distances_m, strict=True)
            ],
        }


def pose_novelty(fit: BodyFit, body: BodyModel, protocol: Protocol) -> Novelty:
    """How far the protocol's held-out frames are in pose from its training frames."""
    rows = {int(frame): row for row, frame in enumerate(fit.frames)}
    places = own_places(fit, body)
    held = fit.held

    def known(frames: Sequence[int]) -> list[int]:
        return [frame for frame in frames if frame in rows and held[rows[frame]]]

    trained, out = known(protocol.training_frames), known(protocol.held_out_frames)
    return novelty(
        tuple(out), places[[rows[frame] for frame in out]], places[[rows[frame] for frame in trained]]
    )


def novelty(
    frames: tuple[int, ...], held_out: Float[np.ndarray, "h k 3"], trained: Float[np.ndarray, "t k 3"]
) -> Novelty:
    """By joints as seen from the body, metres; see the module.

    Args:
        frames: numbers of the held-out ones.
        held_out: their joints.
        trained: joints of the trained frames.
    """
    if len(trained) < 2 or not frames:
        return Novelty((), (), None)
    scale = np.sqrt(trained.shape[1])
    tree = cKDTree(trained.reshape(len(trained), -1) / scale)
    usual = tree.query(trained.reshape(len(trained), -1) / scale, k=2)[0][:, 1]
    nearest = tree.query(held_out.reshape(len(held_out), -1) / scale)[0]
    threshold = max(LEAST_M, float(np.quantile(usual, USUAL)))
    return Novelty(frames, tuple(float(each) for each in nearest), threshold)


def own_places(fit: BodyFit, body: BodyModel) -> Float[np.ndarray, "t 12 3"]:
    """The limb joints of every fitted frame about the middle of the hips and in the root bone's turn, metres."""
    _, joints = limb_joints(fit, body)
    turns = axis_angle_to_matrix(fit.pose.rotations[:, 0]).double().numpy()
    return np.einsum("tji,tkj->tki", turns, joints - joints[:, _HIPS].mean(1, keepdims=True))
