"""Landmarks against the rays of their detections, as transverse metres, |(x, y) - ray z| (see `recon.multiview`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.config import WeightConfig
from simulacra.recon.fit.evidence import Evidence, Round
from simulacra.recon.fit.residuals import PointCost, Selection, to_cameras
from simulacra.recon.fit.tracks import FACE, HANDS, POSE

# How much less sure than the clearest landmarks the others are: a detector's hip is a place in the belly, its knuckles
# of a whole-body view are guesses.
_RELATIVE_SIGMA = {
    **dict.fromkeys((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 1.0),
    **dict.fromkeys((11, 12), 1.6),
    **dict.fromkeys((13, 14, 15, 16), 1.0),
    **dict.fromkeys((17, 18, 19, 20, 21, 22), 2.2),
    **dict.fromkeys((23, 24), 2.5),
    **dict.fromkeys((25, 26), 1.3),
    **dict.fromkeys((27, 28), 1.1),
    **dict.fromkeys((29, 30, 31, 32), 1.6),
}
# Measured on twelve virtual people in seven outfits: hips 26 mm up and down, knees 14, all others 4 to 12.
_HIDDEN_BY_CLOTHES, _HIDDEN_FACTOR = (23, 24), 2.0
# Landmarks of one network's one crop err together: a hand's count half, a face's a tenth.
_HAND_SHARE, _FACE_SHARE = 0.5, 0.1
_NEAREST_M = 0.1


@dataclass(frozen=True)
class LandmarkCost(PointCost):
    """Robust transverse distances of landmarks to the rays of their detections.

    Attributes:
        viewmats: world to camera.
        rays: x/z, y/z in the camera's frame.
        precision: one over the standard deviation, 1/metres; 0 where nothing was detected.
        scale: where the cost begins to level off, metres.
        maps: the keypoint maps whose landmarks these are, one after the other.
        distance: of the person from a single camera in each frame, metres, for which transverse metres are reckoned:
            nothing else keeps a body from being small and near. None of several cameras.
    """

    viewmats: Float[Tensor, "c 4 4"]
    rays: Float[Tensor, "t c k 2"]
    precision: Float[Tensor, "t c k"]
    scale: Float[Tensor, " k"]
    maps: tuple[str, ...]
    distance: Float[Tensor, " t"] | None = None

    @property
    def selection(self) -> Selection:
        return Selection("landmarks", torch.arange(len(self.scale)), maps=self.maps)

    @property
    def weights(self) -> Float[Tensor, "t k c"]:
        # precision^2 r^2 near zero, precision^2 scale^2 far away
        return (self.precision**2 * self.scale**2).mT

    def residuals(self, points: Float[Tensor, "t k 3"]) -> Float[Tensor, "t k c 2"]:
        local = to_cameras(self.viewmats, points)
        residual = (local[..., :2] - self.rays.transpose(1, 2) * local[..., 2:]) / self.scale[:, None, None]
        if self.distance is None:
            return residual
        return residual * (self.distance[:, None, None, None] / local[..., 2:].clamp(min=_NEAREST_M))


def make_landmark_cost(evidence: Evidence, this: Round, _: BodyState) -> LandmarkCost:
    """The landmarks that the round asks for."""
    tracks, weights = evidence.tracks, evidence.config.weights
    valid = torch.cat([evidence.body.keypoints[name].valid for name in this.maps]).float()
    count = len(valid)
    share, scales = torch.ones(count), torch.full((count,), this.landmark_scale_m or weights.keypoint_scale_m)
    share[HANDS], share[FACE] = _HAND_SHARE, _FACE_SHARE
    if this.landmark_scale_m is None:
        scales[FACE] *= 0.5
    sure = torch.from_numpy(tracks.weights[:, :, :count].astype(np.float32)) * valid * share
    return LandmarkCost(
        torch.from_numpy(evidence.views.viewmats).float(),
        torch.from_numpy(tracks.rays[:, :, :count].astype(np.float32)),
        sure.sqrt() / relative_sigma(count, weights),
        scales,
        this.maps,
        _distance(evidence) if len(evidence.views.names) == 1 else None,
    )


def offset_sigma(weights: WeightConfig) -> Float[Tensor, " 33"]:
    """Standard deviations of the pose landmarks' constant offsets, metres: the same in all views of a person, whose
    clothes hide where the hips are.
    """
    found = torch.full((POSE.stop,), weights.bias_m)
    found[list(_HIDDEN_BY_CLOTHES)] *= _HIDDEN_FACTOR
    return found


def _distance(evidence: Evidence) -> Float[Tensor, " t"]:
    """The median over the lifted landmarks; where nothing is seen that of all frames."""
    z = evidence.views.cameras.local(evidence.tracks.points)[:, 0, :, 2]
    known = np.isfinite(z).any(1)
    found = np.full(len(z), np.nanmedian(z))
    found[known] = np.nanmedian(z[known], axis=1)
    return torch.from_numpy(found).float()


def relative_sigma(count: int, weights: WeightConfig) -> Float[Tensor, " k"]:
    """Standard deviations of the first ``count`` of the pose, hand and face landmarks, metres."""
    pose = torch.tensor([_RELATIVE_SIGMA[k] for k in range(POSE.stop)]) * weights.keypoint_m
    hands = torch.full((HANDS.stop - HANDS.start,), weights.hand_m)
    face = torch.full((FACE.stop - FACE.start,), weights.face_m)
    return torch.cat([pose, hands, face])[:count]
