"""Pictures of what a preflight saw: masks, landmarks, where the other cameras put them, epipolar lines, depth."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from simulacra.recon.preflight import Inspection
from simulacra.recon.preflight.bodies import USED, PersonViews, project
from simulacra.recon.preflight.samples import Still
from simulacra.recon.session import Session, SessionCamera
from simulacra.recon.session.lens import distort

OUTLINE, SEEN, PUT, LINE = (80, 220, 120), (255, 220, 60), (255, 80, 220), (90, 200, 255)
# Landmarks whose epipolar lines are drawn: nose, shoulders, wrists, ankles.
LINED = (0, 11, 12, 15, 16, 27, 28)
QUALITY = 85

Picture = UInt8[np.ndarray, "h w 3"]


def camera_picture(session: Session, seen: Inspection, name: str, partner: str | None) -> Picture | None:
    """A still of a camera with everything drawn into it; None where none could be read.

    Args:
        partner: the other camera of the pair whose epipolar lines are drawn; none if None.
    """
    stills = seen.samples.camera(name).stills
    if not stills:
        return None
    still = next((s for s in stills[len(stills) // 2 :] if s.body is not None), stills[len(stills) // 2])
    picture = still.picture.copy()
    if still.silhouette is not None:
        edges, _ = cv2.findContours(
            (still.silhouette > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, edges, -1, OUTLINE, 1, cv2.LINE_AA)
    camera = session.camera(name)
    scale = picture.shape[1] / camera.width
    if seen.consistency is not None and still.frame in seen.consistency.stills.views.frames:
        _draw_consistency(picture, seen, still, camera, partner, scale)
    if still.body is not None:
        for k in USED:
            if still.body.visibility[k] > 0.5:
                _dot(picture, still.body.px[k] * scale, SEEN, filled=True)
    return picture


def _draw_consistency(
    picture: Picture,
    seen: Inspection,
    still: Still,
    camera: SessionCamera,
    partner: str | None,
    scale: float,
) -> None:
    assert seen.consistency is not None
    views = seen.consistency.stills.views
    t, c = views.frames.index(still.frame), views.names.index(camera.name)
    if partner is not None:
        for start, end in _lines(views, t, c, views.names.index(partner)):
            points = np.round(np.stack([start, end]) * scale).astype(int)
            cv2.line(picture, tuple(map(int, points[0])), tuple(map(int, points[1])), LINE, 1, cv2.LINE_AA)
    put, depth = project(seen.consistency.stills.others[c][t], views.viewmats[c], views.Ks[c])
    for k in USED:
        if np.isfinite(put[k]).all() and depth[k] > 0:
            _dot(picture, with_lens(put[k], camera) * scale, PUT, filled=False)


def _lines(views: PersonViews, t: int, c: int, other: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rays of the other camera's landmarks as this one sees them: from half to twice the body's distance."""
    found = []
    viewmat = views.viewmats[other]
    centre = -viewmat[:3, :3].T @ viewmat[:3, 3]
    middle = np.array([0.0, 0.0, 0.0])
    for k in LINED:
        if not views.weight[t, other, k] > 0:
            continue
        ray = np.append(
            (views.px[t, other, k] - views.Ks[other, :2, 2]) / views.Ks[other, [0, 1], [0, 1]], 1.0
        )
        ray = viewmat[:3, :3].T @ ray
        reach = max(1.0, float(np.linalg.norm(centre - middle)))
        points = centre + np.linspace(0.3, 2.0, 60)[:, None] * reach * ray
        px, depth = project(points[None], views.viewmats[c], views.Ks[c])
        camera = views.cameras[c]
        size = np.array([camera.width, camera.height])
        inside = (depth[0] > 0) & (px[0] > 0).all(-1) & (px[0] < size).all(-1)
        if inside.sum() >= 2:
            ends = px[0][inside][[0, -1]]
            found.append((with_lens(ends[0], camera), with_lens(ends[1], camera)))
    return found


def with_lens(px: Float[np.ndarray, "2"], camera: SessionCamera) -> Float[np.ndarray, "2"]:
    """A position of the pinhole image in the recorded one."""
    if camera.lens is None:
        return px
    focal, centre = camera.K[[0, 1], [0, 1]], camera.K[:2, 2]
    return distort(camera.lens, ((px - centre) / focal)[None])[0] * focal + centre


def _dot(picture: Picture, at: Float[np.ndarray, "2"], color: tuple[int, int, int], filled: bool) -> None:
    if not np.isfinite(at).all() or np.abs(at).max() > 1e5:
        return
    place = (round(float(at[0])), round(float(at[1])))
    cv2.circle(picture, place, 2 if filled else 5, color, -1 if filled else 1, cv2.LINE_AA)


def depth_picture(session: Session, frame: int, name: str, longest: int = 480) -> Picture | None:
    """Depth in colors, near ones warm; None without depth.

    Raises:
        InputError: it cannot be read.
    """
    measured = session.depth(frame, name) if session.has(frame, name) else None
    if measured is None or not measured[1].any():
        return None
    depth, valid = measured
    low, high = np.quantile(depth[valid], [0.02, 0.98])
    grey = np.clip((high - depth) / max(high - low, 1e-6), 0, 1)
    colors = cv2.applyColorMap(np.round(225 * grey + 30).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    picture = np.where(valid[..., None], colors, 0).astype(np.uint8)
    scale = min(1.0, longest / max(picture.shape[:2]))
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)


def as_data(picture: Picture) -> str:
    """A JPEG in a data URI."""
    encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    return "data:image/jpeg;base64," + base64.b64encode(encoded[1].tobytes()).decode("ascii")
