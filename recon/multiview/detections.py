"""What several cameras saw of one person, and the cameras: the records that this package works on.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``g`` groups of them. Pixels are (x, y) of pinhole pictures, the
first pixel's centre at (0.5, 0.5); viewmats are world to camera; lengths are metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from simulacra.recon.observe.landmarks import POSE33, LandmarkLayout

Points2D = Float[np.ndarray, "t c k 2"]
Confidence = Float[np.ndarray, "t c k"]


@dataclass(frozen=True)
class PinholeCameras:
    """Calibrated cameras as arrays of double precision; pictures may differ in size, which nothing here asks for.

    Attributes:
        viewmats: world to camera.
        Ks: pinhole matrices, pixels.
    """

    viewmats: Float[np.ndarray, "c 4 4"]
    Ks: Float[np.ndarray, "c 3 3"]

    def __len__(self) -> int:
        """How many cameras there are."""
        return len(self.viewmats)

    def subset(self, cameras: Int[np.ndarray, " d"]) -> PinholeCameras:
        """Some of the cameras."""
        return PinholeCameras(self.viewmats[cameras], self.Ks[cameras])

    @property
    def centres(self) -> Float[np.ndarray, "c 3"]:
        """Where the cameras are, metres."""
        return -np.einsum("cji,cj->ci", self.viewmats[:, :3, :3], self.viewmats[:, :3, 3])

    def turned(self, turns: Float[np.ndarray, "c 3"]) -> PinholeCameras:
        """Turned about their centres by axis-angles in their own frames, radians."""
        viewmats = self.viewmats.copy()
        viewmats[:, :3] = Rotation.from_rotvec(turns).as_matrix() @ self.viewmats[:, :3]
        return replace(self, viewmats=viewmats)

    def rays(self, pixels: Points2D) -> Points2D:
        """Pixels as x/z, y/z in each camera's frame."""
        return normalised_rays(pixels, self.Ks)

    def local(self, points: Float[np.ndarray, "t k 3"]) -> Float[np.ndarray, "t c k 3"]:
        """World points in each camera's frame, metres."""
        turned = np.einsum("cij,tkj->tcki", self.viewmats[:, :3, :3], points)
        return turned + self.viewmats[None, :, None, :3, 3]


@dataclass(frozen=True)
class Detections:
    """Landmarks of one person in all cameras and frames.

    Attributes:
        pixels: NaN where there is none.
        confidence: 0..1, the weight of each.
        layout: which landmarks these are.
    """

    pixels: Points2D
    confidence: Confidence
    layout: LandmarkLayout = POSE33

    def of_frames(self, frames: slice | Int[np.ndarray, " u"]) -> Detections:
        """Some of the frames, by their place."""
        return replace(self, pixels=self.pixels[frames], confidence=self.confidence[frames])

    def of_cameras(self, cameras: Int[np.ndarray, " d"]) -> Detections:
        """Some of the cameras, by their number."""
        return replace(self, pixels=self.pixels[:, cameras], confidence=self.confidence[:, cameras])

    def weights(self, min_confidence: float = 0.0) -> Confidence:
        """Confidence, 0 where there is no detection or one that is less sure than ``min_confidence``."""
        there = np.isfinite(self.pixels).all(-1) & (self.confidence >= min_confidence)
        return np.where(there, np.nan_to_num(self.confidence), 0.0)

    def exchanged(self, swapped: Bool[np.ndarray, "t c g"]) -> Detections:
        """Left and right of the marked groups exchanged."""
        mirror = np.array(self.layout.mirror)
        order = np.broadcast_to(np.arange(len(mirror)), self.confidence.shape).copy()
        for number, group in enumerate(self.layout.groups):
            members = np.array(group)
            order[:, :, members] = np.where(swapped[:, :, number, None], mirror[members], members)
        pixels = np.take_along_axis(self.pixels, order[..., None], 2)
        return replace(self, pixels=pixels, confidence=np.take_along_axis(self.confidence, order, 2))


def normalised_rays(pixels: Points2D, Ks: Float[np.ndarray, "c 3 3"]) -> Points2D:
    """Detections as x/z, y/z in each camera's frame."""
    inverse = np.linalg.inv(Ks)
    rays = np.einsum("cij,tckj->tcki", inverse[:, :, :2], pixels) + inverse[None, :, None, :, 2]
    return rays[..., :2] / rays[..., 2:]
