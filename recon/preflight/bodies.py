"""The person's landmarks in all cameras at once, and where cameras together put them.

Nothing here knows a metre: a calibration may be in millimetres. Errors are measured against the height of the body in
the picture, and scenes are brought to the size of a person before they are triangulated.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.multiview.detections import Detections, PinholeCameras, Points2D
from simulacra.recon.multiview.sides import undo_swaps
from simulacra.recon.multiview.triangulate import TriangulationConfig, pair_proposals, triangulate
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.preflight.samples import SessionSamples
from simulacra.recon.session import Session, SessionCamera
from simulacra.recon.session.lens import Lens, undistort

# Landmarks that are measured with: the face's are crowded and seen wrong from behind, but for the nose and ears.
USED = (0, 7, 8, *range(11, 17), *range(23, 33))
# Height that a scene is brought to, metres.
NOMINAL = 1.7
# Landmarks that the network is less sure to see are guesses.
SEEN = 0.5
# Errors beyond this share of the body's height are all equally wrong.
LOST = 0.2
# An error that is believed, metres at nominal size: a detector's own, and a camera's that is a few degrees off.
OUTLIER = 0.12
# Segments and their share of the stature: Drillis and Contini, Body segment parameters (1966).
SEGMENTS = (
    (11, 13, 0.186), (12, 14, 0.186), (13, 15, 0.146), (14, 16, 0.146),
    (23, 25, 0.245), (24, 26, 0.245), (25, 27, 0.246), (26, 28, 0.246),
)  # fmt: skip
MIRROR = np.array(POSE33.mirror)


@dataclass(frozen=True)
class PersonViews:
    """Landmarks of one person in calibrated cameras.

    Attributes:
        cameras: in the order of every ``c`` axis.
        frames: numbers in the session.
        px: of the pinhole images, NaN where not seen.
        raw: as recorded, with the lens in.
        weight: 0 where not seen.
        height_px: of the body in the picture.
        viewmats: world to camera, in the scene's own unit.
        Ks: pinhole matrices, pixels.
        scale: world units in a metre, by the person; NaN where the cameras do not meet.
    """

    cameras: tuple[SessionCamera, ...]
    frames: tuple[int, ...]
    px: Points2D
    raw: Points2D
    weight: Float[np.ndarray, "t c k"]
    height_px: Float[np.ndarray, "t c"]
    viewmats: Float[np.ndarray, "c 4 4"]
    Ks: Float[np.ndarray, "c 3 3"]
    scale: float = float("nan")

    @property
    def detections(self) -> Detections:
        """What was seen, as it is triangulated."""
        return Detections(self.px, self.weight)

    @property
    def pinhole(self) -> PinholeCameras:
        """The cameras, as it is triangulated with them."""
        return PinholeCameras(self.viewmats, self.Ks)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(camera.name for camera in self.cameras)

    def of_frames(self, frames: Sequence[int]) -> PersonViews:
        """Only these frames."""
        kept = [self.frames.index(frame) for frame in frames if frame in self.frames]
        arrays = {n: getattr(self, n)[kept] for n in ("px", "raw", "weight", "height_px")}
        return replace(self, frames=tuple(self.frames[k] for k in kept), **arrays)

    def without(self, camera: int) -> PersonViews:
        """All cameras but one."""
        kept = [index for index in range(len(self.cameras)) if index != camera]
        arrays = {n: getattr(self, n)[:, kept] for n in ("px", "raw", "weight", "height_px")}
        cameras = tuple(self.cameras[k] for k in kept)
        return replace(self, cameras=cameras, viewmats=self.viewmats[kept], Ks=self.Ks[kept], **arrays)


def stack_views(session: Session, samples: SessionSamples) -> PersonViews:
    """What was seen as arrays, in the scene's own units; cameras in the session's order."""
    cameras = session.cameras
    frames = tuple(sorted({frame for seen in samples.cameras for frame in seen.bodies}))
    raw = np.full((len(frames), len(cameras), len(POSE33), 2), np.nan)
    weight = np.zeros(raw.shape[:3])
    height = np.full(raw.shape[:2], np.nan)
    for c, camera in enumerate(cameras):
        for frame, body in samples.camera(camera.name).bodies.items():
            t = frames.index(frame)
            raw[t, c], height[t, c] = body.px, body.height_px
            visible = np.where(body.visibility > SEEN, body.visibility, 0.0)
            weight[t, c, list(USED)] = visible[list(USED)] * body.score
            outside = (body.px < 0).any(-1) | (body.px[:, 0] > camera.width) | (body.px[:, 1] > camera.height)
            weight[t, c, outside] = 0.0
    px = np.stack(
        [undistort_pixels(raw[:, c], camera.K, camera.lens) for c, camera in enumerate(cameras)], axis=1
    )
    found = PersonViews(
        cameras, frames, px, raw, np.where(np.isfinite(px).all(-1), weight, 0.0), height,
        np.stack([camera.viewmat for camera in cameras]), np.stack([camera.K for camera in cameras]),
    )  # fmt: skip
    return replace(found, scale=person_scale(found))


def undistort_pixels(
    px: Float[np.ndarray, "t k 2"], K: Float[np.ndarray, "3 3"], lens: Lens | None
) -> Float[np.ndarray, "t k 2"]:
    """Recorded positions as the pinhole camera has them."""
    if lens is None or not np.isfinite(px).any():
        return px
    focal, centre = K[[0, 1], [0, 1]], K[:2, 2]
    result = np.full_like(px, np.nan)
    known = np.isfinite(px).all(-1)
    result[known] = undistort(lens, (px[known] - centre) / focal) * focal + centre
    return result


def person_scale(views: PersonViews) -> float:
    """World units in a metre, such that the person is of nominal height; NaN where no two views meet.

    Every pair of cameras puts landmarks somewhere; with the height in the picture that is a height in space. The
    median over all pairs stands a minority of wrong cameras.
    """
    if len(views.cameras) < 2 or not (views.weight > 0).any():
        return float("nan")
    rays = views.pinhole.rays(np.nan_to_num(views.px))
    points = pair_proposals(rays, views.weight, views.pinhole, 0.05)
    local = np.einsum("cj,tpkj->tpck", views.viewmats[:, 2, :3], points) + views.viewmats[:, 2, 3][:, None]
    heights = local * (views.height_px / views.Ks[:, 1, 1])[:, None, :, None]
    heights = heights[np.isfinite(heights) & (local > 0)]
    return float(np.median(heights)) / NOMINAL if heights.size else float("nan")


def at_nominal_size(views: PersonViews) -> PersonViews:
    """The same with the world scaled so that the person is of nominal height."""
    if not (np.isfinite(views.scale) and views.scale > 0):
        return views
    viewmats = views.viewmats.copy()
    viewmats[:, :3, 3] /= views.scale
    return replace(views, viewmats=viewmats)


@dataclass(frozen=True)
class BodyAgreement:
    """How well the cameras put the body at one place.

    Attributes:
        views: with sides put right, at nominal size.
        points: of all cameras.
        errors: of each camera's landmarks to the points of all others, share of the body's height; NaN where unknown.
        others: the points of all other cameras, for each camera; with two cameras, of both.
        exchanged: share of each camera's frames and parts of the body whose sides were put right.
    """

    views: PersonViews
    points: Float[np.ndarray, "t k 3"]
    errors: Float[np.ndarray, "t c k"]
    others: Float[np.ndarray, "c t k 3"]
    exchanged: Float[np.ndarray, "c"]

    def of_cameras(self, typical: Callable[[np.ndarray], float] = np.nanmedian) -> dict[str, float]:
        """Each camera's error, by default the median; of a camera that shares nothing with the others none."""
        return {
            name: float(typical(self.errors[:, c]))
            for c, name in enumerate(self.views.names)
            if np.isfinite(self.errors[:, c]).sum() >= 8
        }


def robust_mean(errors: np.ndarray) -> float:
    """Mean of errors cut off where they are lost."""
    finite = errors[np.isfinite(errors)]
    return float(np.minimum(finite, LOST).mean()) if finite.size else LOST


def measure_agreement(views: PersonViews, resolve_sides: bool = True) -> BodyAgreement:
    """Triangulates, and each camera's landmarks against all others'."""
    nominal = at_nominal_size(views)
    exchanged = np.zeros(len(views.cameras))
    if resolve_sides and len(views.cameras) > 2 and len(views.frames):
        mended = undo_swaps(nominal.detections, nominal.pinhole)
        nominal = replace(nominal, px=mended.detections.pixels, weight=mended.detections.confidence)
        exchanged = mended.swapped.mean((0, 2))
    everyone = _triangulate(nominal)
    count = len(views.cameras)
    others = np.stack(
        [_triangulate(nominal.without(c)) if count > 2 else everyone for c in range(count)]
    ) if count else np.zeros((0, *everyone.shape))  # fmt: skip
    errors = np.stack(
        [camera_errors(nominal, c, others[c], sides=count > 2) for c in range(count)], axis=1
    ) if count else np.zeros((len(views.frames), 0, len(POSE33)))  # fmt: skip
    return BodyAgreement(nominal, everyone, errors, others, exchanged)


def rough_errors(views: PersonViews) -> Float[np.ndarray, "t c k"]:
    """As the errors of `agree`, but to the points of all cameras, one's own among them: a fifth of the work."""
    nominal = at_nominal_size(views)
    points = _triangulate(nominal)
    return np.stack([camera_errors(nominal, c, points) for c in range(len(views.cameras))], axis=1)


def _triangulate(views: PersonViews) -> Float[np.ndarray, "t k 3"]:
    if len(views.cameras) < 2 or not len(views.frames):
        return np.full((len(views.frames), len(POSE33), 3), np.nan)
    settings = TriangulationConfig(outlier_m=OUTLIER)
    return triangulate(views.detections, views.pinhole, settings).points


def camera_errors(
    views: PersonViews,
    camera: int,
    points: Float[np.ndarray, "t k 3"],
    *,
    px: Float[np.ndarray, "t k 2"] | None = None,
    viewmat: Float[np.ndarray, "4 4"] | None = None,
    K: Float[np.ndarray, "3 3"] | None = None,
    sides: bool = True,
    mirrored: bool = False,
) -> Float[np.ndarray, "t k"]:
    """Distance of a camera's landmarks to projected points, share of the body's height; NaN where unknown.

    Args:
        px: in the place of the camera's own landmarks.
        viewmat: in the place of its pose.
        K: in the place of its intrinsics.
        sides: whether left and right may be exchanged in a frame where that fits better.
        mirrored: whether they must be exchanged.
    """
    px = views.px[:, camera] if px is None else px
    projected, depth = project(
        points, views.viewmats[camera] if viewmat is None else viewmat, views.Ks[camera] if K is None else K
    )
    height = views.height_px[:, camera, None]

    def errors(order: np.ndarray) -> Float[np.ndarray, "t k"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = np.linalg.norm(projected - px[:, order], axis=-1) / height
        distance = np.where(depth > 0, distance, LOST)
        known = np.isfinite(points).all(-1) & (views.weight[:, camera][:, order] > 0)
        return np.where(known, np.minimum(np.nan_to_num(distance, nan=LOST), 1.0), np.nan)

    straight = errors(MIRROR if mirrored else np.arange(len(POSE33)))
    if not sides or mirrored:
        return straight
    crossed = errors(MIRROR)
    both = np.isfinite(straight) & np.isfinite(crossed)
    gain = np.where(both, np.minimum(straight, LOST) - np.minimum(crossed, LOST), 0.0).sum(-1)
    # Exchanged sides cost as much as one landmark that is lost.
    return np.where((gain > LOST)[:, None], crossed, straight)


def project(
    points: Float[np.ndarray, "t k 3"], viewmat: Float[np.ndarray, "4 4"], K: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "t k 2"], Float[np.ndarray, "t k"]]:
    """Pixels and depths."""
    local = points @ viewmat[:3, :3].T + viewmat[:3, 3]
    depth = local[..., 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        image = local[..., :2] / depth[..., None] * K[[0, 1], [0, 1]] + K[:2, 2]
    return image, depth


def pair_errors(views: PersonViews) -> Float[np.ndarray, "c c"]:
    """How far the two rays of a landmark pass each other, share of the body's height: median, NaN where unknown."""
    count = len(views.cameras)
    result = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(i + 1, count):
            found = _epipolar_errors(views, i, j)
            if np.isfinite(found).sum() >= 8:
                result[i, j] = result[j, i] = float(np.nanmedian(found))
    return result


def _epipolar_errors(views: PersonViews, i: int, j: int) -> Float[np.ndarray, "t k"]:
    """Distance of a landmark in j from the epipolar line of the same one in i, share of the body's height in j."""
    T = views.viewmats[j] @ np.linalg.inv(views.viewmats[i])
    x, y, z = T[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    F = np.linalg.inv(views.Ks[j]).T @ cross @ T[:3, :3] @ np.linalg.inv(views.Ks[i])
    px = np.nan_to_num(views.px)
    lines = np.concatenate([px[:, i], np.ones_like(px[:, i, :, :1])], -1) @ F.T
    distance = np.abs((lines[..., :2] * px[:, j]).sum(-1) + lines[..., 2])
    distance /= np.maximum(np.linalg.norm(lines[..., :2], axis=-1), 1e-12)
    both: Bool[np.ndarray, "t k"] = (views.weight[:, i] > 0) & (views.weight[:, j] > 0)
    return np.where(both, distance / views.height_px[:, j, None], np.nan)


def stature(points: Float[np.ndarray, "t k 3"]) -> float:
    """Height of the person by the lengths of its limbs, in the units of the points; NaN where too few are known."""
    lengths = np.array(
        [np.linalg.norm(points[:, a] - points[:, b], axis=-1) / share for a, b, share in SEGMENTS]
    )
    finite = lengths[np.isfinite(lengths)]
    return float(np.median(finite)) if finite.size >= 2 else float("nan")


def upright_axis(points: Float[np.ndarray, "t k 3"]) -> Float[np.ndarray, "3"] | None:
    """From the hips to the shoulders, unit, the mean over the frames; None where they are not known."""
    middle = points[:, [11, 12]].mean(1) - points[:, [23, 24]].mean(1)
    middle = middle[np.isfinite(middle).all(-1)]
    if not len(middle):
        return None
    axis = (middle / np.linalg.norm(middle, axis=-1, keepdims=True)).mean(0)
    length = float(np.linalg.norm(axis))
    return axis / length if length > 0.3 else None
