"""What a light far away sees of a mesh, and how much of it vertices see: shadow maps without perspective."""

from __future__ import annotations

import math
from typing import no_type_check

from simulacra.render.runtime.compiled import njit


@njit(nogil=True, cache=True)
@no_type_check
def seen_from(verts, faces, axes, center, scale, depth):
    """The nearest surface (largest place along the third axis) at the centres of a square drawing.

    Args:
        axes: rows right, up and towards the light.
        scale: pixels a metre.
        depth: filled with -1e30.
    """
    side = depth.shape[0]
    half = side / 2
    local = verts.copy()
    for i in range(len(verts)):
        x, y, z = verts[i, 0] - center[0], verts[i, 1] - center[1], verts[i, 2] - center[2]
        local[i, 0] = (axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z) * scale + half
        local[i, 1] = (axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z) * scale + half
        local[i, 2] = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay = local[a, 0], local[a, 1]
        bx, by = local[b, 0], local[b, 1]
        cx, cy = local[c, 0], local[c, 1]
        # Only pixels whose centres are within the triangle's bounds are asked.
        x0 = math.ceil(max(min(ax, bx, cx) - 0.5, 0.0))
        x1 = math.floor(min(max(ax, bx, cx) - 0.5, side - 1.0))
        if x1 < x0:
            continue
        y0 = math.ceil(max(min(ay, by, cy) - 0.5, 0.0))
        y1 = math.floor(min(max(ay, by, cy) - 0.5, side - 1.0))
        if y1 < y0:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                px, py = x + 0.5, y + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
                w = 1.0 - u - v
                if u >= 0.0 and v >= 0.0 and w >= 0.0:
                    z = u * local[a, 2] + v * local[b, 2] + w * local[c, 2]
                    if z > depth[y, x]:
                        depth[y, x] = z


@njit(nogil=True, cache=True)
@no_type_check
def receive(verts, normals, bias, axes, center, scale, depth, radiance, total):
    """Adds what every vertex gets from one direction: cosine times the share of the four drawn places around it that
    are not nearer to the light than it is by more than its bias.
    """
    side = depth.shape[0]
    half = side / 2
    for i in range(len(verts)):
        cosine = normals[i, 0] * axes[2, 0] + normals[i, 1] * axes[2, 1] + normals[i, 2] * axes[2, 2]
        if cosine <= 0.0:
            continue
        x, y, z = verts[i, 0] - center[0], verts[i, 1] - center[1], verts[i, 2] - center[2]
        px = (axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z) * scale + half - 0.5
        py = (axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z) * scale + half - 0.5
        own = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z + bias[i]
        ix, iy = math.floor(px), math.floor(py)
        fx, fy = px - ix, py - iy
        open_share = 0.0
        for corner in range(4):
            dx, dy = corner & 1, corner >> 1
            column, row = min(max(ix + dx, 0), side - 1), min(max(iy + dy, 0), side - 1)
            if depth[row, column] <= own:
                open_share += (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
        for k in range(3):
            total[i, k] += cosine * open_share * radiance[k]


@njit(nogil=True, cache=True)
@no_type_check
def hair_normals(verts, normals, first, last, middle):
    """Normals of hair as one soft body: away from its middle, a little as each ribbon faces. In place."""
    for i in range(first, last):
        x, y, z = verts[i, 0] - middle[0], max(verts[i, 1] - middle[1], 0.0), verts[i, 2] - middle[2]
        length = 0.75 / max(math.sqrt(x * x + y * y + z * z), 1e-9)
        side = -0.5 if normals[i, 0] * x + normals[i, 1] * y + normals[i, 2] * z < 0 else 0.5
        x, y, z = (
            x * length + side * normals[i, 0],
            y * length + side * normals[i, 1],
            z * length + side * normals[i, 2],
        )
        length = 1 / max(math.sqrt(x * x + y * y + z * z), 1e-9)
        normals[i, 0], normals[i, 1], normals[i, 2] = x * length, y * length, z * length


@njit(nogil=True, cache=True)
@no_type_check
def ribbon_tangents(verts, first, last, places, tangents):
    """The way each ribbon runs at its vertices, two side by side at each of its places."""
    for start in range(first, last, 2 * places):
        for k in range(places):
            a, b = start + 2 * max(k - 1, 0), start + 2 * min(k + 1, places - 1)
            x, y, z = verts[b, 0] - verts[a, 0], verts[b, 1] - verts[a, 1], verts[b, 2] - verts[a, 2]
            length = 1 / max(math.sqrt(x * x + y * y + z * z), 1e-9)
            for side in range(2):
                i = start + 2 * k + side
                tangents[i, 0], tangents[i, 1], tangents[i, 2] = x * length, y * length, z * length
