"""The PLY of 3D Gaussian splatting as arrays, in nerfstudio's world."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# From +Y up, as simulacra writes with `--axes y-up`, to nerfstudio's +Z up.
TURN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], np.float32)


def read_splats(path: Path) -> dict[str, np.ndarray]:
    """means n 3, quats wxyz n 4, scales n 3 in metres, opacities n in 0..1, colors n 3 in 0..1 (degree 0 only).

    Raises:
        ValueError: it is not a binary PLY of floats.
    """
    head, end, body = path.read_bytes().partition(b"\nend_header\n")
    lines = head.decode("ascii").splitlines()
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    if not end or "format binary_little_endian 1.0" not in lines or len(names) < 14:
        raise ValueError(f"{path} is not a PLY of Gaussians")
    table = np.frombuffer(body, "<f4").reshape(-1, len(names))

    def columns(*wanted: str) -> np.ndarray:
        return table[:, [names.index(name) for name in wanted]]

    return {
        "means": columns("x", "y", "z") @ TURN.T,
        "quats": turned(columns("rot_0", "rot_1", "rot_2", "rot_3")),
        "scales": np.exp(columns("scale_0", "scale_1", "scale_2")),
        "opacities": 1 / (1 + np.exp(-columns("opacity")[:, 0])),
        "colors": np.clip(0.5 + 0.28209479177387814 * columns("f_dc_0", "f_dc_1", "f_dc_2"), 0, 1),
    }


def turned(quats: np.ndarray) -> np.ndarray:
    """Rotations after a quarter turn about X, the product of (cos 45, sin 45, 0, 0) with each: wxyz."""
    w, x, y, z = quats.T
    half = np.float32(np.sqrt(0.5))
    return half * np.stack([w - x, x + w, y - z, z + y], axis=1)
