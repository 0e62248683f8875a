"""No skin outside the person's masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.fit.body_space import BodyState
from simulacra.recon.fit.evidence import Evidence, Round, independent_share
from simulacra.recon.fit.residuals import PointCost, Selection, to_cameras

# Pose landmarks that must be seen for a mask to say something about a part: what a table hides is not outside
# the person.
_WITNESSES: dict[str, tuple[int, ...]] = {
    "torso": (11, 12, 23, 24), "neck": (11, 12), "face": (0,), "lips": (0,), "scalp": (0,),
    "ear_l": (0,), "ear_r": (0,),
    "upper_arm_l": (11, 13), "upper_arm_r": (12, 14), "lower_arm_l": (13, 15), "lower_arm_r": (14, 16),
    "hand_l": (15,), "hand_r": (16,), "thigh_l": (23, 25), "thigh_r": (24, 26),
    "shin_l": (25, 27), "shin_r": (26, 28), "foot_l": (27, 31), "foot_r": (28, 32),
}  # fmt: skip
# All vertices of a view together count as so many independent ones, however many are posed.
_INDEPENDENT_VERTICES = 250
_LEVEL_SIGMAS = 5


@dataclass(frozen=True)
class MaskCost(PointCost):
    """Vertices that project outside the person, by how far; levels off at five times the scale.

    Attributes:
        viewmats: world to camera.
        distance: images of the distance to the person, in focal lengths.
        scale: rays to -1..1 over the distance image, as ``scale * ray + shift``.
        shift: the other part of that.
        weight: of each vertex in each view.
        columns: of the vertices among those posed.
        outside_m: standard deviation, transverse metres.
    """

    viewmats: Float[Tensor, "c 4 4"]
    distance: Float[Tensor, "t c s s"]
    scale: Float[Tensor, "c 2"]
    shift: Float[Tensor, "c 2"]
    weight: Float[Tensor, "t c m"]
    columns: Int[Tensor, " m"]
    outside_m: float

    @property
    def selection(self) -> Selection:
        return Selection("verts", self.columns)

    @property
    def weights(self) -> Float[Tensor, "t m c"]:
        return _LEVEL_SIGMAS**2 * self.weight.mT

    def residuals(self, points: Float[Tensor, "t m 3"]) -> Float[Tensor, "t m c 1"]:
        local = to_cameras(self.viewmats, points)
        depth = local[..., 2].clamp(min=0.1)
        unit = local[..., :2] / depth[..., None] * self.scale + self.shift
        # Focal lengths times depth are metres across the viewing direction. Beyond the picture nothing is known.
        distance = _sample(self.distance, unit) * depth * (unit.abs() < 1).all(-1)
        return distance[..., None] / (_LEVEL_SIGMAS * self.outside_m)


def _sample(images: Float[Tensor, "t c s s"], unit: Float[Tensor, "t m c 2"]) -> Float[Tensor, "t m c"]:
    """Images at places of -1..1 from edge to edge, bilinearly between the middles of their pixels; beyond the
    outermost middles as there.

    `torch.nn.functional.grid_sample` has no forward-mode derivative.
    """
    side = images.shape[-1]
    place = (0.5 * (unit + 1) * side - 0.5).clamp(0, side - 1)
    low = place.detach().floor().clamp(0, side - 2)
    part = place - low
    x, y = low.long().unbind(-1)
    frames = torch.arange(len(images))[:, None, None]
    first = (frames * images.shape[1] + torch.arange(images.shape[1])) * side * side + y * side + x
    flat = images.flatten()
    top = flat[first] + part[..., 0] * (flat[first + 1] - flat[first])
    bottom = flat[first + side] + part[..., 0] * (flat[first + side + 1] - flat[first + side])
    return top + part[..., 1] * (bottom - top)


def make_mask_cost(evidence: Evidence, this: Round, state: BodyState) -> MaskCost | None:
    """The distance images with each chosen vertex's say in every view; None without masks."""
    body, views, silhouettes = evidence.body, evidence.views, evidence.silhouettes
    if not this.surface or silhouettes is None:
        return None
    once = independent_share(evidence.tracks.seconds)
    size = torch.from_numpy(views.sizes).float()
    Ks = torch.from_numpy(views.Ks).float()
    seen = torch.from_numpy(evidence.tracks.seen.astype(np.float32))
    labels = body.part_labels[evidence.vertices]
    weight = torch.zeros(*seen.shape[:2], len(labels))
    for part, witnesses in _WITNESSES.items():
        mine = labels == body.part_names.index(part)
        weight[:, :, mine] = (seen[:, :, list(witnesses)].amin(-1, keepdim=True) > 0.3).float()
    return MaskCost(
        torch.from_numpy(views.viewmats).float(),
        silhouettes.outside,
        2 * torch.stack([Ks[:, 0, 0], Ks[:, 1, 1]], -1) / size,
        2 * Ks[:, :2, 2] / size - 1,
        weight * silhouettes.known[..., None] * (once * _INDEPENDENT_VERTICES / len(labels)),
        state.columns(evidence.vertices),
        evidence.config.weights.outside_m,
    )
