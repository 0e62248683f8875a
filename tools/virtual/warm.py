"""Everything of a virtual capture that is compiled, used once, as small as it goes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from .capture import record_session
from .config import VirtualCaptureConfig
from .motion import MotionConfig
from .rig import RigConfig
from .sensors.depth import Stereo, StructuredLight, TimeOfFlight, sense_depth

SIDE = 64


def warmup() -> None:
    """One small capture with all that moves, and each depth sensor."""
    settings = VirtualCaptureConfig(
        rig=RigConfig(count=1, width=SIDE, height_px=SIDE),
        motion=MotionConfig(name="walk"),
        shutter_ms=20.0,
        readout_ms=10.0,
        depth=TimeOfFlight(),
    )
    with tempfile.TemporaryDirectory() as folder:
        record_session(settings, Path(folder) / "session")
    depth = np.full((SIDE, SIDE), 1.0, np.float32)
    normals = np.zeros((SIDE, SIDE, 3), np.float32)
    K = np.array([[60.0, 0, SIDE / 2], [0, 60, SIDE / 2], [0, 0, 1]])
    for sensor in (StructuredLight(), Stereo()):
        sense_depth(depth, normals, 0.5 * depth, K, np.eye(4), sensor, 0)
