"""Where a session's own cameras see a point that was planted in the world of the source."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from simulacra.recon.session import Session
from simulacra.recon.session.lens import distort


def pixel_of(session: Session, camera: str, point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2"]:
    """The pixel of a point of the source's world, in its units; the first pixel's centre is (0.5, 0.5)."""
    T_world_source = np.array(session.about["T_world_source"])
    one = next(found for found in session.cameras if found.name == camera)
    seen = (one.viewmat @ T_world_source @ np.append(point, 1.0))[:3]
    assert seen[2] > 0, "the point is behind the camera"
    image = seen[:2] / seen[2]
    if one.lens is not None:
        image = distort(one.lens, image[None])[0]
    return image * one.K[[0, 1], [0, 1]] + one.K[:2, 2]
