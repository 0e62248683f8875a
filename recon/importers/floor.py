"""Where measured depth shows a floor: which of several directions is up.

A floor is a plane that nothing lies below and all cameras are over. Walls and ceilings are such planes too, so that
depth alone does not say which way is up; of directions that are as likely by the cameras it chooses one, if a plane
lies under the cameras along that one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.footage import Footage
from simulacra.recon.multiview.up import UpCandidate, UpVote
from simulacra.recon.session import SessionCamera
from simulacra.render.image import read_uint16

MOST_CAMERAS, POINTS, PLANES, SEED = 6, 4000, 300, 0
# Metres about a plane that are it, and below it where only stray points are.
THICK, BELOW = 0.025, 0.06
# Parts of all points: a floor has as many, and as few stray ones lie below it. Metres of its extent both ways, and of
# cameras over it.
FEWEST, STRAY, EXTENT, LOWEST_CAMERA = 0.03, 0.01, 0.5, 0.2
# Degrees between the floor and the level of a direction that may be up.
NEAR = 25.0
# A plane under the cameras along two directions: the better one must have so many times the other's points.
CLEARER = 4.0
ERROR_DEG, DOUBT = 2.0, 0.01


def floor_vote(
    cameras: Sequence[SessionCamera], footage: Footage, candidates: Sequence[UpCandidate]
) -> UpVote | None:
    """Which of several directions has a floor; None where none has, two have, or there is no depth.

    Args:
        cameras: in metres, with `depth_scale` where depth is part of the footage.
        footage: what was recorded.
        candidates: directions that may be up.
    """
    seen = [camera for camera in cameras if _depth_of(footage, camera.name) is not None]
    if not seen:
        return None
    some = np.unique(np.linspace(0, len(seen) - 1, MOST_CAMERAS).round().astype(int))
    clouds = [_points(seen[i], footage) for i in some]
    if sum(map(len, clouds)) < 100:
        return None
    points = np.concatenate(clouds)
    eyes = np.array([-camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3] for camera in cameras])
    found = sorted(
        (floor for one in candidates if (floor := find_floor(points, eyes, one.direction)) is not None),
        key=lambda floor: -floor[1],
    )
    if not found or (len(found) > 1 and found[0][1] < CLEARER * found[1][1]):
        return None
    return UpVote("the floor in depth", found[0][0], ERROR_DEG, DOUBT)


def find_floor(
    points: Float[np.ndarray, "n 3"], eyes: Float[np.ndarray, "c 3"], up: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "3"], float] | None:
    """The normal of the largest plane under everything, up about, and the share of points in it; None without one."""
    random = np.random.default_rng(SEED)
    # Planes through three points of the lowest part, where a floor is if there is one.
    height = points @ up
    low = points[height <= np.quantile(height, 0.3)]
    corners = low[random.integers(0, len(low), (PLANES, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sizes = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(sizes, 1e-12)[:, None]
    normals *= np.where(normals @ up < 0, -1.0, 1.0)[:, None]
    level = (sizes > 1e-6) & (normals @ up > np.cos(np.radians(NEAR)))
    best: tuple[Float[np.ndarray, "3"], float] | None = None
    for normal, corner in zip(normals[level], corners[level, 0]):
        over = (points - corner) @ normal
        share = float((np.abs(over) < THICK).mean())
        beneath = float((over < -BELOW).mean())
        if share < FEWEST or beneath > STRAY or ((eyes - corner) @ normal).min() < LOWEST_CAMERA:
            continue
        if best is None or share > best[1]:
            best = (normal, share) if _is_wide(points[np.abs(over) < THICK]) else best
    return best


def _is_wide(plane: Float[np.ndarray, "m 3"]) -> bool:
    """Whether points of a plane spread both ways: soles and edges do not."""
    spread = np.linalg.svd(plane - plane.mean(0), compute_uv=False) / np.sqrt(len(plane))
    # A uniform strip of a width has this standard deviation times the root of 12.
    return bool(spread[1] * np.sqrt(12) > EXTENT)


def _depth_of(footage: Footage, camera: str) -> Path | None:
    """A depth image from the middle of the recording."""
    names = [f"depth/{camera}/{frame.index:06d}.png" for frame in footage.frames if camera in frame.sources]
    there = [name for name in names if name in footage.files]
    return footage.files[there[len(there) // 2]] if there else None


def _points(camera: SessionCamera, footage: Footage) -> Float[np.ndarray, "n 3"]:
    """Some measured points in the cameras' world, metres; of a lens only the pinhole, which is enough for a floor."""
    path = _depth_of(footage, camera.name)
    if path is None or not camera.depth_scale:
        return np.zeros((0, 3))
    stored = read_uint16(path)
    rows, columns = np.nonzero(stored)
    kept = np.linspace(0, len(rows) - 1, min(len(rows), POINTS)).astype(int)
    rows, columns = rows[kept], columns[kept]
    z = stored[rows, columns] / camera.depth_scale
    # Depth may be on a coarser grid of the same view.
    at = np.stack(
        [(columns + 0.5) * camera.width / stored.shape[1], (rows + 0.5) * camera.height / stored.shape[0]], -1
    )
    rays = np.concatenate([(at - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]], np.ones((len(at), 1))], axis=1)
    local = rays * z[:, None] - camera.viewmat[:3, 3]
    return local @ camera.viewmat[:3, :3]
