"""How the fitted body's surface moves in a camera's picture from one frame to the next: exact, as it is drawn.

Every pixel of the later frame shows a place of a triangle; where that place was in the earlier frame follows from the
earlier vertices. It was seen there if the body drawn then has that depth at that pixel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.perception.flicker import Motion
from simulacra.render.camera import Cameras
from simulacra.render.mesh import interpolate, rasterize_mesh

# A place counts as seen where the nearest surface is at most this much before it, metres: less than an arm is thick,
# more than a pixel's step of depth on a surface that is seen at a slant.
SEEN_M = 0.02

# The motion of the surface in a camera's picture: camera, earlier and later frame, width and height in pixels.
MotionOf = Callable[[str, int, int, int, int], Motion]


def surface_motion(
    earlier: Float[Tensor, "v 3"],
    later: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    cameras: tuple[Cameras, Cameras],
) -> Motion:
    """Where what the later picture shows was in the earlier one.

    Args:
        earlier: vertices in the world, metres.
        later: likewise.
        faces: triangles of both.
        cameras: a single one each, of one picture's size, at the earlier and at the later moment.
    """
    before, now = cameras
    shown = rasterize_mesh(later.float(), faces, now)
    places = interpolate(earlier.float(), faces, shown)[0]
    height, width = places.shape[:2]
    pixels, depth = before.project(places.reshape(-1, 3))
    flat = pixels[0].reshape(height, width, 2).cpu().numpy().astype(np.float64)
    far = depth[0].reshape(height, width).cpu().numpy()
    then = rasterize_mesh(earlier.float(), faces, before).depth[0].cpu().numpy()
    known = shown.covered[0].cpu().numpy() & (far > 0)
    flat = np.where(known[..., None], flat, 0.5)
    column, row = (np.floor(flat[..., axis]).astype(np.int64) for axis in (0, 1))
    known &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = then[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    known &= (nearest > 0) & (far < nearest + SEEN_M)
    return Motion(flat, known)
