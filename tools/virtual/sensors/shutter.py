"""Shutters: what moves while the picture is taken is smeared, and rows that are read later see it further on."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.rotation import transform_points

from .shutter_kernels import TILE, blur, motion_of_tiles

# No smear is sampled at more places.
MOST_SAMPLES = 48
# Fixed points of row -> time -> place; each makes the error smaller by (pixels a frame x readout / image height).
ROW_STEPS = 4
NOTHING = np.zeros((0, 0), np.float32)
# What the kernel takes at once.
CHANNELS = 4
# Less than this is no motion, pixels.
LEAST = 0.5


def motion_blurred(
    rgb_linear: Float[np.ndarray, "h w k"],
    motion_px: Float[np.ndarray, "h w 2"],
    open_share: float,
    depth: Float[np.ndarray, "h w"] | None = None,
) -> Float[np.ndarray, "h w k"]:
    """A picture in linear light smeared along its motion, the given moment the middle of the exposure.

    Args:
        rgb_linear: up to four channels: coverage may be the fourth, over black, with the background put in after.
        motion_px: how far what a pixel shows moves in a frame interval, columns and rows.
        open_share: the part of the frame interval for which the shutter is open.
        depth: 0 is the background. Decides what is in front; without it, what moves faster is.
    """
    motion = np.ascontiguousarray(motion_px, np.float32) * np.float32(open_share)
    height, width, channels = rgb_linear.shape
    in_tiles = np.empty((-(-height // TILE), -(-width // TILE), 6), np.float32)
    motion_of_tiles(motion, in_tiles)
    length = np.linalg.norm(in_tiles[..., :2], axis=-1)
    longest = float(length.max(initial=0.0))
    out = np.array(rgb_linear, np.float32)
    if longest < LEAST:
        return out
    reach = int(np.ceil(0.5 * longest / TILE))
    # Only about what moves: as far as it is smeared, and as far again as is looked for what was there.
    tiles = _bound_moving(length >= LEAST, 2 * reach)
    part = tuple(slice(TILE * t.start, TILE * t.stop) for t in tiles)
    image = np.zeros((*out[part].shape[:2], CHANNELS), np.float32)
    image[..., :channels] = out[part]
    distance = NOTHING if depth is None else np.ascontiguousarray(depth[part], np.float32)
    blurred = image.copy()
    near, rows = np.ascontiguousarray(in_tiles[tiles]), tiles[0].stop - tiles[0].start
    blur(image, np.ascontiguousarray(motion[part]), distance, near, reach, MOST_SAMPLES, 0, rows, blurred)
    out[part] = blurred[..., :channels]
    return out


def _bound_moving(moving: Bool[np.ndarray, "r c"], margin: int) -> tuple[slice, slice]:
    """Rows and columns of tiles that move, and a margin."""
    bounds = []
    for axis in (1, 0):
        found = np.flatnonzero(moving.any(axis))
        bounds.append(
            slice(max(0, int(found[0]) - margin), min(moving.shape[1 - axis], int(found[-1]) + margin + 1))
        )
    return bounds[0], bounds[1]


def rolled(
    verts: Float[Tensor, "v 3"], velocity: Float[Tensor, "v 3"], camera: Cameras, readout: float
) -> Float[Tensor, "v 3"]:
    """Points where a camera sees them that reads its rows one after the other, the middle row at the given moment.

    Args:
        velocity: metres in a frame interval.
        camera: a batch of one.
        readout: the part of the frame interval from the first row's reading to the last one's.
    """
    if readout == 0:
        return verts
    viewmat, K = camera.viewmats[0], camera.Ks[0]
    local = transform_points(viewmat, verts)
    local_velocity = velocity @ viewmat[:3, :3].T
    time = torch.zeros_like(local[:, :1])
    for _ in range(ROW_STEPS):
        at = local + time * local_velocity
        row = K[1, 1] * at[:, 1:2] / at[:, 2:].clamp(min=1e-3) + K[1, 2]
        # Beyond the picture nothing is read; the time only has to go on smoothly a little.
        time = readout * (row / camera.height - 0.5).clamp(-1, 1)
    return verts + time * velocity
