"""Virtual depth sensors beside real ones: how cameras agree on one surface, how noisy it is, how raw depth errs.

Of a ring of time-of-flight cameras: points of one camera, seen from its neighbours, as the preflight's depth agreement
takes them (`recon.preflight.depths`), before and after each camera's surface is laid on the others' (`align`), which
takes most of a calibration error away; and the noise within a surface. Of structured light: raw depth against a
reference of the same frame, and what the model makes of that reference against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.preflight.depth_pose import WIDEST_PAIR, align
from simulacra.recon.preflight.depths import SAME_SURFACE, surface_points
from simulacra.recon.session import Session, SessionCamera
from simulacra.render.runtime.errors import InputError

# Side of the blocks that noise is measured in, pixels.
BLOCK = 11


@dataclass(frozen=True)
class DepthView:
    """A camera as it is believed to stand, and what it measures of a person."""

    camera: SessionCamera
    depth: Float[np.ndarray, "h w"]
    inside: Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Agreement:
    """Of one rig and frame, metres.

    Attributes:
        differences: signed, of points of all neighbouring pairs.
        medians: of the absolute ones, a pair each.
        shifts: what lays each camera's surface on the others', metres.
        turns: likewise, degrees.
        left: the median distance to the others' planes after that.
        before: the same, before it.
        noise: within a surface, a camera each.
    """

    differences: Float[np.ndarray, "n"]
    medians: Float[np.ndarray, "pairs"]
    shifts: Float[np.ndarray, "c"]
    turns: Float[np.ndarray, "c"]
    before: Float[np.ndarray, "c"]
    left: Float[np.ndarray, "c"]
    noise: Float[np.ndarray, "c"]


def real_views(session: Session, frame: int) -> list[DepthView]:
    """What the cameras of a session measured.

    Raises:
        InputError: a camera without depth or mask, or a lens in its pictures.
    """
    views = []
    for camera in session.cameras:
        measured, mask = session.depth(frame, camera.name), session.mask(frame, camera.name)
        if measured is None or mask is None or camera.lens is not None:
            raise InputError(
                "a camera of the rig cannot be compared",
                where=f"{session.root}, camera {camera.name}",
                expected="depth, a mask and pictures without distortion",
            )
        depth, valid = measured
        views.append(DepthView(camera, np.where(valid, depth, 0).astype(np.float32), mask > 0.5))
    return views


def agreement(views: Sequence[DepthView]) -> Agreement:
    """How the cameras of a ring agree on one person."""
    points = [surface_points(v.camera, v.depth, (v.depth > 0) & v.inside) for v in views]
    pairs = [
        _differences(points[a], views[b])
        for a in range(len(views))
        for b in range(len(views))
        if a != b and _are_neighbours(views[a].camera, views[b].camera)
    ]
    pairs = [pair for pair in pairs if len(pair) >= 50]
    aligned = [_align_view(k, views, points) for k in range(len(views))]
    found = np.array([a for a in aligned if a is not None])
    return Agreement(
        np.concatenate(pairs),
        np.array([np.median(np.abs(pair)) for pair in pairs]),
        found[:, 0],
        found[:, 1],
        found[:, 2],
        found[:, 3],
        np.array([surface_noise(v.depth, v.inside) for v in views]),
    )


def _are_neighbours(a: SessionCamera, b: SessionCamera) -> bool:
    return bool(np.degrees(np.arccos(np.clip(a.viewmat[2, :3] @ b.viewmat[2, :3], -1, 1))) < WIDEST_PAIR)


def _differences(points: Float[np.ndarray, "n 3"], view: DepthView) -> Float[np.ndarray, "_"]:
    """What a camera measures beyond another's points, where both see the same surface."""
    camera = view.camera
    local = points @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    local = local[local[:, 2] > 1e-6]
    pixels = local @ camera.K.T
    columns, rows = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(int).T
    seen = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    at = rows[seen], columns[seen]
    difference = view.depth[at] - local[seen, 2]
    return difference[(view.depth[at] > 0) & view.inside[at] & (np.abs(difference) < SAME_SURFACE)]


def _align_view(
    k: int, views: Sequence[DepthView], points: Sequence[Float[np.ndarray, "_ 3"]]
) -> tuple[float, float, float, float] | None:
    others = [
        points[j] for j in range(len(views)) if j != k and _are_neighbours(views[k].camera, views[j].camera)
    ]
    if not others:
        return None
    own = points[k][:: max(1, len(points[k]) // 1000)]
    found = align(views[k].camera, own, np.concatenate(others))
    if found is None:
        return None
    values, before, left = found
    return float(np.linalg.norm(values[3:6])), float(np.degrees(np.linalg.norm(values[:3]))), before, left


def surface_noise(depth: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> float:
    """Standard deviation (metres) of depth about a quadric in small blocks on the person: of the flattest quarter.

    In the others there is cloth, hair and edges more than noise.
    """
    rows, columns = (size // BLOCK for size in depth.shape)

    def blocks(values: np.ndarray) -> np.ndarray:
        part = values[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
        return part.transpose(0, 2, 1, 3).reshape(-1, BLOCK * BLOCK)

    whole = blocks((depth > 0) & inside).all(1)
    if whole.sum() < 20:
        return float("nan")
    y, x = (np.mgrid[:BLOCK, :BLOCK] - BLOCK // 2).reshape(2, -1)
    quadric = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1).astype(np.float64)
    known = blocks(depth)[whole].astype(np.float64)
    left = known - known @ np.linalg.pinv(quadric).T @ quadric.T
    return float(np.sqrt(np.quantile(np.square(left).sum(1), 0.25) / (BLOCK**2 - quadric.shape[1])))


def misplaced(
    camera: SessionCamera, turn_deg: float, shift_m: float, rng: np.random.Generator
) -> SessionCamera:
    """A camera as an erroneous calibration has it: turned and moved by normal errors along each axis."""
    turn, _ = cv2.Rodrigues(np.radians(turn_deg) * rng.standard_normal(3))
    error = np.eye(4)
    error[:3, :3], error[:3, 3] = turn, shift_m * rng.standard_normal(3)
    return replace(camera, viewmat=error @ camera.viewmat)
