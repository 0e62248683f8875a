"""What fitting needs of a capture: its frames, and the cameras that may be used.

Symbols: ``c`` cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from simulacra.recon.multiview.detections import PinholeCameras
from simulacra.render.runtime.errors import CaptureError


@runtime_checkable
class FitCapture(Protocol):
    """What fitting needs of a session; `recon.session.Session` has it."""

    @property
    def frames(self) -> Any: ...

    def camera(self, name: str) -> Any: ...

    def has(self, frame_index: int, camera: str) -> bool: ...

    def depth(self, frame_index: int, camera: str) -> Any: ...


@dataclass(frozen=True)
class Views:
    """The cameras used.

    Attributes:
        names: in the order of every ``c`` axis.
        viewmats: world to camera.
        Ks: pinhole matrices, pixels.
        sizes: width and height.
    """

    names: tuple[str, ...]
    viewmats: Float[np.ndarray, "c 4 4"]
    Ks: Float[np.ndarray, "c 3 3"]
    sizes: Int[np.ndarray, "c 2"]

    @property
    def cameras(self) -> PinholeCameras:
        """Without names and sizes."""
        return PinholeCameras(self.viewmats, self.Ks)


def chosen_views(session: FitCapture, cameras: Sequence[str]) -> Views:
    """Calibration of the cameras that may be used.

    Raises:
        CaptureError: there is none.
    """
    if not cameras:
        raise CaptureError(
            "fitting a body needs a camera",
            expected="one or more that are not held out",
            remedy="hold out fewer cameras",
        )
    chosen = [session.camera(name) for name in cameras]
    return Views(
        tuple(cameras),
        np.stack([np.asarray(camera.viewmat, dtype=np.float64) for camera in chosen]),
        np.stack([np.asarray(camera.K, dtype=np.float64) for camera in chosen]),
        np.array([[camera.width, camera.height] for camera in chosen]),
    )
