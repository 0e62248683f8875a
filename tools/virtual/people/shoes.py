"""Shoes: a sole and an upper around the convex outline of the foot, so that nobody sees toes.

Both are horizontal rings, one above the other. A ring is the outline of the foot's convex hull at its height, rounded,
as given by the support function h of the directions: the point whose outward normal is n is h n + h' t.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage, sparse
from scipy.spatial import cKDTree

from simulacra.render.body import BodyModel, RestBody

from .layers import Layer, joined
from .measures import SIDES, Measures, vertex_parts

AROUND = 64
DIRECTIONS = 180
SOLE_ROWS = (0.0, 0.12, 0.55, 0.88, 1.0)  # shares of the sole's height
UPPER_ROWS = 18
NEAR = 8


def make_shoes(
    body: BodyModel, rest: RestBody, marks: Measures, material: str, thickness: float, height: float
) -> Layer:
    """A pair of shoes.

    Args:
        thickness: of the upper, metres.
        height: of its rim over the ankle joint: 0 below it, 1 a hand above.
    """
    pair = [_shoe(body, rest, marks, material, thickness, height, side) for side in (0, 1)]
    return joined(*pair)


def sole_height(marks: Measures) -> float:
    """Metres; the feet stand inside."""
    return 0.024 * marks.scale


def rim_height(marks: Measures, height: float) -> float:
    """Where the shoe ends on the leg, metres."""
    ankle = float(np.mean([leg[2, 1] for leg in marks.legs]))
    return ankle + (0.008 + 0.1 * height) * marks.scale


def _shoe(
    body: BodyModel,
    rest: RestBody,
    marks: Measures,
    material: str,
    thickness: float,
    height: float,
    side: int,
) -> Layer:
    name = SIDES[side]
    part = vertex_parts(body)
    verts = rest.verts.numpy().astype(np.float64)
    top = rim_height(marks, height)
    chosen = np.isin(part, (f"foot_{name}", f"shin_{name}")) & (verts[:, 1] < top + 0.03)
    foot = verts[chosen]
    low = foot[foot[:, 1] < 0.05 * marks.scale][:, [0, 2]]
    middle = (low.max(0) + low.min(0)) / 2
    # The foot's length runs along the largest spread, forward.
    _, _, axes = np.linalg.svd(low - low.mean(0), full_matrices=False)
    forward = axes[0] * np.sign(axes[0][1])
    side_way = np.array([forward[1], -forward[0]])
    local = np.stack(
        [(foot[:, [0, 2]] - middle) @ forward, foot[:, 1], (foot[:, [0, 2]] - middle) @ side_way], 1
    )
    rings = _rings(local, marks, thickness, top)
    points = rings.reshape(-1, 3)
    world = np.stack(
        [
            middle[0] + points[:, 0] * forward[0] + points[:, 2] * side_way[0],
            points[:, 1],
            middle[1] + points[:, 0] * forward[1] + points[:, 2] * side_way[1],
        ],
        1,
    )
    length = float(np.ptp(local[:, 0]))
    origin = np.stack(
        [points[:, 0] / length + 0.5, points[:, 1] / marks.scale, points[:, 2] / marks.scale], 1
    )
    traits = np.zeros((len(world), 2), np.float32)
    row = np.repeat(np.arange(len(rings)), AROUND)
    last_of_sole = 1 + len(SOLE_ROWS)
    traits[:, 0] = (row >= last_of_sole).astype(np.float32)
    traits[:, 1] = np.clip((top + 0.002 - points[:, 1]) / 0.1, 0, 1)
    return Layer(
        "shoes",
        torch.from_numpy(world.astype(np.float32)),
        torch.from_numpy(_ring_faces(len(rings))),
        _carry_by_foot(world, foot, np.nonzero(chosen)[0], len(verts)),
        material,
        torch.from_numpy(origin.astype(np.float32)),
        torch.from_numpy(traits),
    )


def _carry_by_foot(
    points: Float[np.ndarray, "n 3"], foot: Float[np.ndarray, "m 3"], rows: Int[np.ndarray, " m"], count: int
) -> sparse.csr_matrix:
    """Every point as a mean of its nearest vertices of the foot, which are these rows of ``count``."""
    distance, near = cKDTree(foot).query(points, k=NEAR)
    share = 1 / (distance + 0.01)
    share /= share.sum(1, keepdims=True)
    starts = np.arange(0, share.size + 1, NEAR)
    return sparse.csr_matrix(
        (share.ravel().astype(np.float32), rows[near].ravel(), starts), (len(points), count)
    )


def _ring_faces(rings: int) -> np.ndarray:
    """Between rings that go round from heel to heel, and a fan that closes the first, under the sole."""
    index = np.arange(rings * AROUND).reshape(rings, AROUND)
    a, b = index[:-1], np.roll(index[:-1], -1, 1)
    c, d = index[1:], np.roll(index[1:], -1, 1)
    # Turned round at the end: rings run clockwise seen from above.
    faces = [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    k = np.arange(1, AROUND // 2)
    other = AROUND - k
    faces.append(np.stack([index[0, k - 1], index[0, k], index[0, other % AROUND]], 1))
    faces.append(np.stack([index[0, k], index[0, other - 1], index[0, other % AROUND]], 1))
    return np.concatenate(faces)[:, ::-1].copy()


def _rings(
    local: Float[np.ndarray, "m 3"], marks: Measures, thickness: float, top: float
) -> Float[np.ndarray, "r a 3"]:
    """From the middle of the sole's underside out, up its wall, in to the upper, up that, and in at the rim."""
    s = marks.scale
    sole = sole_height(marks)
    flat = _outline(local, -0.01, thickness + 0.003 * s)
    inner = _outline(local, sole * 0.6, thickness)
    rings = [np.insert(0.93 * flat, 1, 0.001, 1)]
    for share in SOLE_ROWS:
        bulge = 1 - 0.02 * abs(share - 0.55) - 0.015 * (share == 0.0)
        rings.append(np.insert(flat * bulge, 1, sole * share, 1))
        # The toe is lifted off the floor a little, as soles are.
        rings[-1][:, 1] += 0.006 * s * np.clip(rings[-1][:, 0] / (0.13 * s) - 0.45, 0, 1) * (1 - share)
    rings.append(np.insert(inner, 1, sole, 1))
    grid = np.linspace(sole, top + 0.02, 24)
    outlines = np.stack([_outline(local, y - 0.010 * s, thickness) for y in grid])
    outlines = ndimage.gaussian_filter1d(outlines, 0.9, axis=0, mode="nearest")
    front = np.clip(inner[:, 0] / np.abs(inner[:, 0]).max(), -1, 1)
    for k in range(1, UPPER_ROWS + 1):
        share = k / UPPER_ROWS
        rim = top + 0.014 * s * np.abs(front) - 0.006 * s * (1 - np.abs(front))
        y = sole + (rim - sole) * share
        at = (y - grid[0]) / (grid[1] - grid[0])
        ring = np.stack(
            [
                ndimage.map_coordinates(outlines[..., i], [at, np.arange(AROUND)], order=1, mode="nearest")
                for i in (0, 1)
            ],
            1,
        )
        rings.append(np.insert(ring, 1, y, 1))
    crest = rings[-1]
    middle = crest.mean(0)
    for inward, down in ((0.96, 0.002), (0.90, 0.0), (0.86, -0.02)):
        rings.append(middle + (crest - middle) * [inward, 1, inward] + [0, down * s, 0])
    return np.stack(rings)


def _outline(local: Float[np.ndarray, "m 3"], above: float, margin: float) -> Float[np.ndarray, "a 2"]:
    """The rounded convex outline of what of the foot lies above a height, ``AROUND`` places from the heel round."""
    points = local[local[:, 1] >= min(above, local[:, 1].max() - 0.02)][:, [0, 2]]
    center = (points.max(0) + points.min(0)) / 2
    angle = np.pi + np.arange(DIRECTIONS) / DIRECTIONS * 2 * np.pi  # from the heel
    normal = np.stack([np.cos(angle), np.sin(angle)], 1)
    support = ((points - center) @ normal.T).max(0) + margin
    support = ndimage.gaussian_filter1d(support, 5.0, mode="wrap")
    slope = (np.roll(support, -1) - np.roll(support, 1)) / (2 * (angle[1] - angle[0]))
    tangent = np.stack([-normal[:, 1], normal[:, 0]], 1)
    outline = center + support[:, None] * normal + slope[:, None] * tangent
    # Evenly along its length.
    closed = np.concatenate([outline, outline[:1]])
    way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.arange(AROUND) / AROUND * way[-1]
    return np.stack([np.interp(at, way, closed[:, i]) for i in (0, 1)], 1)
