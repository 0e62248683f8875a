"""The unknowns of a calibration: cameras with their lenses, and what they see.

Cameras are OpenCV's: x right, y down, z ahead; pixel (0, 0)'s centre is at (0.5, 0.5); lens coefficients k1 k2 p1 p2
k3. A *body* is what all cameras see at one moment: a board that is placed somewhere, or a single free point (a body
whose one point is its origin).

Symbols: ``c`` cameras, ``n`` observations (one corner in one picture), ``b`` bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.detections import PinholeCameras

INTRINSICS = ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
# What may be estimated of a camera, by the number of lens coefficients: radial ones first, for every lens has them.
LENSES: dict[int, tuple[str, ...]] = {
    0: (), 1: ("k1",), 2: ("k1", "k2"), 4: ("k1", "k2", "p1", "p2"), 5: ("k1", "k2", "p1", "p2", "k3"),
}  # fmt: skip
_NEAREST = 1e-3


@dataclass(frozen=True)
class CameraRig:
    """Cameras.

    Attributes:
        intrinsics: fx fy cx cy (pixels) k1 k2 p1 p2 k3 of each.
        viewmats: world to camera, metres.
    """

    intrinsics: Float[np.ndarray, "c 9"]
    viewmats: Float[np.ndarray, "c 4 4"]

    @property
    def Ks(self) -> Float[np.ndarray, "c 3 3"]:
        """Pinhole matrices, pixels."""
        K = np.zeros((len(self.intrinsics), 3, 3))
        K[:, 0, 0], K[:, 1, 1] = self.intrinsics[:, 0], self.intrinsics[:, 1]
        K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = self.intrinsics[:, 2], self.intrinsics[:, 3], 1.0
        return K

    @property
    def pinhole(self) -> PinholeCameras:
        """Without lenses."""
        return PinholeCameras(self.viewmats, self.Ks)

    @property
    def centres(self) -> Float[np.ndarray, "c 3"]:
        """Where the cameras are, metres."""
        return self.pinhole.centres


@dataclass(frozen=True)
class Sightings:
    """Points of bodies seen in pictures.

    Attributes:
        camera: of each observation.
        body: of each observation.
        places: the point in its body's frame, metres.
        pixels: where it was seen.
        sigma: how far that may be off, pixels.
        drift: how far the point moves in the picture in one standard deviation of its camera's clock, pixels: cameras
            that expose at other times than they say see a moving board elsewhere, all of it together. 0 for what
            stands still.
        share: how much of an observation of its own each is, up to 1: what errs alike shares one. All 1 if None.
        group: of each observation; bodies of one group err alike too, and count as one when errors are told from their
            gradients. Each body for itself if None.
    """

    camera: Int[np.ndarray, " n"]
    body: Int[np.ndarray, " n"]
    places: Float[np.ndarray, "n 3"]
    pixels: Float[np.ndarray, "n 2"]
    sigma: Float[np.ndarray, " n"]
    drift: Float[np.ndarray, "n 2"]
    share: Float[np.ndarray, " n"] | None = None
    group: Int[np.ndarray, " n"] | None = None

    def only(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> Sightings:
        """Some of them; cameras and bodies keep their numbers."""
        return Sightings(
            self.camera[chosen],
            self.body[chosen],
            self.places[chosen],
            self.pixels[chosen],
            self.sigma[chosen],
            self.drift[chosen],
            None if self.share is None else self.share[chosen],
            None if self.group is None else self.group[chosen],
        )


@dataclass(frozen=True)
class Projected:
    """Pixels of observations and how they change.

    Attributes:
        pixels: of the points.
        by_point: with the point in the camera's frame, pixels a metre.
        by_intrinsics: with fx fy cx cy k1 k2 p1 p2 k3.
        local: the points in the cameras' frames, metres.
        rotated: bodies' points turned into the world's axes, before the bodies' offsets are added, metres.
    """

    pixels: Float[np.ndarray, "n 2"]
    by_point: Float[np.ndarray, "n 2 3"]
    by_intrinsics: Float[np.ndarray, "n 2 9"]
    local: Float[np.ndarray, "n 3"]
    rotated: Float[np.ndarray, "n 3"]


def project_bodies(rig: CameraRig, bodies: Float[np.ndarray, "b 4 4"], sightings: Sightings) -> Projected:
    """Where the rig sees the points of the bodies (body to world).

    Points behind a camera, or on its plane, are held a millimetre before it: their residuals are then huge, and finite.
    """
    poses = bodies[sightings.body]
    rotated = np.einsum("nij,nj->ni", poses[:, :3, :3], sightings.places)
    views = rig.viewmats[sightings.camera]
    local = np.einsum("nij,nj->ni", views[:, :3, :3], rotated + poses[:, :3, 3]) + views[:, :3, 3]
    local[:, 2] = np.maximum(local[:, 2], _NEAREST)
    pixels, by_point = np.empty((len(local), 2)), np.empty((len(local), 2, 3))
    by_intrinsics = np.empty((len(local), 2, 9))
    for camera in np.unique(sightings.camera):
        chosen = sightings.camera == camera
        pixels[chosen], by_point[chosen], by_intrinsics[chosen] = project_points(
            local[chosen], rig.intrinsics[camera]
        )
    return Projected(pixels, by_point, by_intrinsics, local, rotated)


def project_points(
    local: Float[np.ndarray, "n 3"], intrinsics: Float[np.ndarray, " 9"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2 3"], Float[np.ndarray, "n 2 9"]]:
    """OpenCV's lens: pixels of points in the camera's frame, with their derivatives by point and by intrinsics.

    x' = x (1 + k1 r² + k2 r⁴ + k3 r⁶) + 2 p1 x y + p2 (r² + 2 x²), y' likewise, on the plane z = 1.
    """
    fx, fy, cx, cy, k1, k2, p1, p2, k3 = intrinsics
    z = local[:, 2]
    x, y = local[:, 0] / z, local[:, 1] / z
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))  # d radial / d x = slope * x
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    ux = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    uy = slope * x * y + 2 * p1 * x + 2 * p2 * y
    vy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    by_point = np.empty((len(x), 2, 3))
    by_point[:, 0] = fx * np.stack([ux, uy, -(ux * x + uy * y)], -1) / z[:, None]
    by_point[:, 1] = fy * np.stack([uy, vy, -(uy * x + vy * y)], -1) / z[:, None]
    zero, one = np.zeros_like(x), np.ones_like(x)
    by_lens_u = [x * r2, x * r2**2, 2 * x * y, r2 + 2 * x * x, x * r2**3]
    by_lens_v = [y * r2, y * r2**2, r2 + 2 * y * y, 2 * x * y, y * r2**3]
    by_intrinsics = np.stack(
        [
            np.stack([u, zero, one, zero, *(fx * each for each in by_lens_u)], -1),
            np.stack([zero, v, zero, one, *(fy * each for each in by_lens_v)], -1),
        ],
        1,
    )
    return np.stack([fx * u + cx, fy * v + cy], -1), by_point, by_intrinsics


def cross(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Matrices of the cross products with vectors, from the left."""
    matrix = np.zeros((len(vectors), 3, 3))
    matrix[:, [2, 0, 1], [1, 2, 0]] = vectors
    matrix[:, [1, 2, 0], [2, 0, 1]] = -vectors
    return matrix


def rigid_motion(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "4 4"]:
    """The rigid motion (never a scale) under which points lie on others as well as they can (Kabsch 1976)."""
    rotation, _ = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))
    T = np.eye(4)
    T[:3, :3] = rotation.as_matrix()
    T[:3, 3] = target.mean(0) - T[:3, :3] @ source.mean(0)
    return T


def body_pose(
    places: Float[np.ndarray, "k 3"], pixels: Float[np.ndarray, "k 2"], intrinsics: Float[np.ndarray, " 9"]
) -> Float[np.ndarray, "4 4"] | None:
    """Body to camera from one view of a flat board (IPPE: Collins and Bartoli 2014, refined), or None."""
    fx, fy, cx, cy = intrinsics[:4]
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    try:
        found, turns, offsets, errors = cv2.solvePnPGeneric(
            places, pixels[:, None], K, intrinsics[4:], flags=cv2.SOLVEPNP_IPPE
        )
    except cv2.error:  # corners that no plane explains
        return None
    if not found:
        return None
    best = int(np.ravel(errors).argmin())
    turn, offset = cv2.solvePnPRefineLM(
        places, pixels[:, None], K, intrinsics[4:], turns[best], offsets[best]
    )
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(turn)[0], offset.ravel()
    return pose if np.isfinite(pose).all() and pose[2, 3] > 0 else None
