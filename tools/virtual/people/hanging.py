"""Cloth beyond the body's surface: sheets that hang from a border, hems with thickness, collars.

Every such piece goes on from a closed border of a layer, row by row. Symbols: ``k`` vertices of the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage, sparse
from scipy.spatial import cKDTree

from simulacra.render.mesh import vertex_normals

from .layers import Layer, cut

BINS = 96  # directions around
NEIGHBOURS = 32


def extended(
    layer: Layer,
    loop: Int[np.ndarray, " k"],
    rows: Sequence[Float[np.ndarray, "k 3"]],
    lining: Sequence[float],
    carriers: Sequence[sparse.csr_matrix] | None = None,
    flipped: bool = False,
) -> Layer:
    """The layer with rows of vertices added beyond a border, each joined to the one before.

    Args:
        lining: of each row, 1 where it is the inside of the cloth.
        carriers: of each row; those of the border by default.
        flipped: the outside of the new part is what would be its inside; it shares no vertices with the border.
    """
    if flipped:
        # Vertices of its own at the border: a shared one would have one normal for both sides.
        rows, lining = [layer.verts.numpy()[loop], *rows], [lining[0], *lining]
    count, k = len(layer.verts), len(loop)
    own = layer.carrier[loop]
    verts = np.concatenate(rows).astype(np.float32)
    origin = np.concatenate([layer.origin.numpy()[loop] + row - layer.verts.numpy()[loop] for row in rows])
    traits = np.zeros((len(verts), 2), np.float32)
    traits[:, 1] = np.repeat(np.asarray(lining, np.float32), k)
    ring = count + np.arange(len(verts)).reshape(len(rows), k)
    if not flipped:
        ring = np.concatenate([loop[None], ring])
    a, b = ring[:-1], np.roll(ring[:-1], -1, 1)
    a2, b2 = ring[1:], np.roll(ring[1:], -1, 1)
    faces = np.concatenate(
        [np.stack([b, a, a2], -1).reshape(-1, 3), np.stack([b, a2, b2], -1).reshape(-1, 3)]
    )
    if flipped:
        faces = faces[:, ::-1].copy()
    return replace(
        layer,
        verts=torch.cat([layer.verts, torch.from_numpy(verts)]),
        faces=torch.cat([layer.faces, torch.from_numpy(faces)]),
        carrier=sparse.vstack([layer.carrier, *(carriers or [own] * len(rows))]).tocsr().astype(np.float32),
        origin=torch.cat([layer.origin, torch.from_numpy(origin.astype(np.float32))]),
        traits=torch.cat([layer.traits, torch.from_numpy(traits)]),
    )


def hemmed(layer: Layer, loop: Int[np.ndarray, " k"], thickness: float, depth: float) -> Layer:
    """The border turned inwards: cloth has a thickness there, and an inside."""
    normals = vertex_normals(layer.verts, layer.faces).numpy()
    verts = layer.verts.numpy()
    normal = _smooth_loop(normals[loop], 8)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    tangent = np.roll(verts[loop], -1, 0) - np.roll(verts[loop], 1, 0)
    # The mesh lies to the left of the way round.
    back = np.cross(normal, _smooth_loop(tangent, 8))
    back /= np.maximum(np.linalg.norm(back, axis=1, keepdims=True), 1e-9)
    edge = verts[loop] - 0.5 * thickness * normal - 0.3 * thickness * back
    under = verts[loop] - thickness * normal
    rows = [edge, under, under + depth * back]
    return extended(layer, loop, rows, [0.3, 1.0, 1.0])


def _smooth_loop(values: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        values = (np.roll(values, 1, 0) + 2 * values + np.roll(values, -1, 0)) / 4
    return values


def hanging(
    layer: Layer,
    loop: Int[np.ndarray, " k"],
    hem: float,
    flare: float,
    body: Float[np.ndarray, "v 3"],
    clearance: float,
    carry: sparse.csr_matrix,
) -> Layer:
    """A sheet that falls from a level border to the height ``hem``, kept off what is inside.

    Args:
        loop: a border around the trunk, at one height.
        flare: metres that it widens on a metre down.
        body: vertices of trunk and legs.
        clearance: metres that it keeps from them.
        carry: rows of ``Layer.carrier`` of those vertices.
    """
    top = layer.verts.numpy()[loop].astype(np.float64)
    level = float(top[:, 1].mean())
    steps = max(2, int(np.ceil((level - hem) / 0.011)))
    heights = np.linspace(level, hem, steps + 1)[1:]
    center = top[:, [0, 2]].mean(0)
    offset = top[:, [0, 2]] - center
    angle, radius = np.arctan2(offset[:, 0], offset[:, 1]), np.linalg.norm(offset, axis=1)
    rows, before = [], level
    for height in heights:
        near = body[(body[:, 1] > height - 0.02) & (body[:, 1] < before + 0.02)]
        radius = radius + flare * (before - height)
        if len(near):
            # Half of the way at each row: cloth over a hip is round, not a shelf.
            wanted = _radius_around(near[:, [0, 2]] - center, angle, clearance)
            radius = np.maximum(radius, radius + 0.5 * (wanted - radius))
        before = height
        around = offset / np.linalg.norm(offset, axis=1, keepdims=True)
        rows.append(
            np.stack(
                [
                    center[0] + radius * around[:, 0],
                    np.full(len(loop), height),
                    center[1] + radius * around[:, 1],
                ],
                1,
            )
        )
    return extended(layer, loop, rows, [0.0] * len(rows), _carry_rows(layer, loop, rows, level, body, carry))


def _radius_around(
    points: Float[np.ndarray, "n 2"], angle: Float[np.ndarray, " k"], clearance: float
) -> Float[np.ndarray, " k"]:
    """How far from the middle, at the angles, a sheet around points of the floor plan keeps."""
    turn = (np.arange(BINS) + 0.5) / BINS * 2 * np.pi - np.pi
    directions = np.stack([np.sin(turn), np.cos(turn)], 1)
    support = (points @ directions.T).max(0) + clearance
    support = ndimage.gaussian_filter1d(support, 2.0, mode="wrap")
    place = (angle + np.pi) / (2 * np.pi) * BINS - 0.5
    wanted: np.ndarray = ndimage.map_coordinates(support, [place], order=1, mode="grid-wrap")
    return wanted


def _carry_rows(
    layer: Layer,
    loop: np.ndarray,
    rows: Sequence[np.ndarray],
    level: float,
    body: np.ndarray,
    carry: sparse.csr_matrix,
) -> list[sparse.csr_matrix]:
    """The border's own near it, then the mean of a wide neighbourhood, so that no seam runs between the legs."""
    points = np.concatenate(rows)
    chosen = np.arange(0, len(body), 9)
    distance, near = cKDTree(body[chosen]).query(points, k=NEIGHBOURS)
    share = np.exp(-((distance / (distance[:, :1] + 0.13)) ** 2))
    share /= share.sum(1, keepdims=True)
    columns = chosen[near]
    wide = sparse.csr_matrix(
        (share.ravel(), columns.ravel(), np.arange(0, share.size + 1, NEIGHBOURS)), (len(points), len(body))
    )
    k, count = len(loop), len(points)
    # Weights that jump from one place to the next would tear the sheet when legs part.
    index = np.arange(count)
    row, column = np.divmod(index, k)
    spread = range(-8, 9, 2)
    near_by = np.concatenate([row * k + (column + step) % k for step in spread])
    calm = sparse.csr_matrix(
        (np.full(len(near_by), 1 / len(spread)), (np.tile(index, len(spread)), near_by)), (count, count)
    )
    wide = (calm @ (calm @ wide)).tocsr()
    fall = np.clip((level - points[:, 1]) / 0.12, 0, 1)
    own = sparse.vstack([layer.carrier[loop]] * len(rows))
    mixed = (sparse.diags(fall) @ (wide @ carry) + sparse.diags(1 - fall) @ own).tocsr().astype(np.float32)
    return [mixed[i * k : (i + 1) * k] for i in range(len(rows))]


def collared(
    layer: Layer, loop: Int[np.ndarray, " k"], height: float, fold: float, center: Float[np.ndarray, "3"]
) -> Layer:
    """A collar on the neckline: it stands up by ``height`` and, for ``fold`` > 0, falls outwards again, metres.

    The fold is open in front and has two points there, as on a shirt.
    """
    start = layer.verts.numpy()[loop].astype(np.float64)
    flat = start[:, [0, 2]] - center[[0, 2]]
    out = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    out3 = np.stack([out[:, 0], np.zeros(len(loop)), out[:, 1]], 1)
    up = np.array([0.0, 1.0, 0.12])
    azimuth = np.abs(np.arctan2(out[:, 0], out[:, 1]))
    front = np.clip(1 - azimuth / 1.1, 0, 1)[:, None]
    tall = height * (1 - 0.35 * front)
    rows = [start + share * tall * up - 0.15 * share * tall * out3 for share in (0.25, 0.5, 0.75, 1.0)]
    crest = rows[-1]
    if fold == 0:
        rows += [crest - 0.003 * out3, crest - 0.003 * out3 - 0.8 * tall * up]
        return extended(layer, loop, rows, [0.0] * 4 + [0.5, 1.0])
    standing = extended(layer, loop, rows, [0.0] * 4)
    gap = np.clip((azimuth - 0.10) / 0.12, 0.0, 1)[:, None]
    reach = fold * (1 + 0.45 * np.clip(1 - (azimuth[:, None] - 0.25) / 0.5, 0, 1)) * gap
    rows = [
        crest
        + (0.004 + 0.55 * share * reach) * out3
        - share * reach * np.array([0, 0.85, 0])
        + np.array([0, 0.003 * (1 - share), 0])
        for share in (0.1, 0.35, 0.65, 1.0)
    ]
    # What was the inside of the band is the outside of what falls over it.
    ring = np.arange(len(standing.verts) - len(loop), len(standing.verts))
    whole = extended(standing, ring, rows, [0.0] * 4, flipped=True)
    column = (whole.faces - len(standing.verts)) % len(loop)
    added = torch.arange(len(whole.faces)) >= len(standing.faces)
    apart = torch.from_numpy(azimuth < 0.16)[column].any(1)
    return cut(whole, ~(added & apart))


def level_ring(layer: Layer, loop: Int[np.ndarray, " k"], height: float, reach: float = 0.03) -> Layer:
    """The layer with a border around the trunk moved to one height, and what is above it drawn along, up to ``reach``
    metres over it.
    """
    verts = layer.verts.numpy().astype(np.float64)
    ring = verts[loop]
    center = ring.mean(0)

    def turn(points: np.ndarray) -> np.ndarray:
        return np.arctan2(points[:, 0] - center[0], points[:, 2] - center[2])

    low = verts[:, 1] < height + reach
    border = np.interp(turn(verts[low]), *_sort_pairs(turn(ring), ring[:, 1]), period=2 * np.pi)
    share = (height + reach - verts[low, 1]) / np.maximum(height + reach - border, 0.2 * reach)
    verts[low, 1] = height + reach * (1 - share)
    verts[loop, 1] = height
    return replace(layer, verts=torch.from_numpy(verts.astype(np.float32)))


def _sort_pairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(x, kind="stable")
    return x[order], y[order]
