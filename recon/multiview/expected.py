"""How well cameras measure a point, before any picture is looked at: noise of landmarks carried through triangulation.

As `recon.multiview.triangulate` weighs them, residuals are metres across the line of sight. With the depth of a view
held fixed they are linear in the point, so that the information of independent views adds up (Hartley and Zisserman,
Multiple View Geometry, 2004, section 5.2). A depth camera adds what it says along its line of sight.

Symbols: ``c`` cameras, ``n`` points.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.multiview.detections import PinholeCameras

# What no view says anything of is still within a room, metres.
ROOM_M = 10.0
# A point nearer to a camera's plane than this is not seen, metres.
NEAREST_M = 0.05


def expected_covariances(
    points: Float[np.ndarray, "n 3"],
    cameras: PinholeCameras,
    noise_m: Float[np.ndarray, "n c"],
    along_m: Float[np.ndarray, " c"],
    seen: Bool[np.ndarray, "n c"],
) -> Float[np.ndarray, "n 3 3"]:
    """Covariances of points triangulated from independent views, square metres.

    Args:
        points: world, metres.
        noise_m: standard deviation of each detection across its line of sight, metres.
        along_m: standard deviation of a camera's own depth of a joint, metres; infinite without a depth camera.
        seen: which cameras see which points.
    """
    local = cameras.local(points[None])[0].transpose(1, 0, 2)
    rotations = cameras.viewmats[None, :, :3, :3]
    depth = np.where(seen, local[..., 2], 1.0)
    rays = local[..., :2] / depth[..., None]
    across = rotations[:, :, :2] - rays[..., None] * rotations[:, :, 2:]
    weights = np.where(seen, noise_m, np.inf) ** -2.0
    information = np.einsum("nc,ncij,ncil->njl", weights, across, across)
    axes = cameras.viewmats[:, 2, :3]
    weights = np.where(seen, along_m, np.inf) ** -2.0
    information += np.einsum("nc,cj,cl->njl", weights, axes, axes)
    return np.linalg.inv(information + np.eye(3) / ROOM_M**2)


def in_view(
    points: Float[np.ndarray, "n 3"], cameras: PinholeCameras, sizes: Float[np.ndarray, "c 2"]
) -> tuple[Bool[np.ndarray, "n c"], Float[np.ndarray, "n c"]]:
    """Which points fall into which pinhole pictures (width and height, pixels), and their depths, metres."""
    local = cameras.local(points[None])[0].transpose(1, 0, 2)
    depth = local[..., 2]
    image = np.einsum("cij,ncj->nci", cameras.Ks, local)
    pixels = image[..., :2] / np.where(depth > NEAREST_M, depth, np.inf)[..., None]
    return (depth > NEAREST_M) & (pixels >= 0).all(-1) & (pixels <= sizes).all(-1), depth


def meeting_point(
    centres: Float[np.ndarray, "c 3"],
    directions: Float[np.ndarray, "c 3"],
    distances: Float[np.ndarray, " c"],
    along: float,
    across: float = 0.05,
) -> Float[np.ndarray, "3"]:
    """Where lines of sight meet, with a rough idea of how far along each: defined for parallel and opposite ones too.

    Args:
        directions: unit.
        distances: expected along each line, metres.
        along: standard deviation along a line, as a part of the distance.
        across: likewise across it.
    """
    outer = directions[:, :, None] * directions[:, None]
    information = (np.eye(3) - outer) / across**2 + outer / along**2
    information /= distances[:, None, None] ** 2
    expected = centres + distances[:, None] * directions
    moment = np.einsum("cij,cj->i", information, expected)
    return np.linalg.solve(information.sum(0), moment)
