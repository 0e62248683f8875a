"""Makes the golden files: `python -m tests.render.export.golden.make_golden`. Never change one that was published.

rigged_v1.avatar: two bones, the second of which is a hand's breadth above the first; four Gaussians; one action that
lifts the third; two frames of motion, in the second of which the upper bone is turned by a quarter about +Z.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simulacra.render.export.rigged import Stored, pack_arrays

FOLDER = Path(__file__).parent
HALF_PI = float(np.pi / 2)


def header() -> dict[str, object]:
    """What is said besides the arrays."""
    return {
        "format": "avatar",
        "generator": "by hand",
        "rendering": {"mode": "classic", "eps2d": 0.1},
        "bones": ["root", "upper"],
        "actions": ["lift"],
        "fps": 25.0,
    }


def arrays() -> dict[str, Stored]:
    """The content, some of it in every type that there is."""
    means = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 3, 2]])
    identity = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    turned = np.array([[[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]]])
    return {
        "gaussians.means": Stored(means.astype("<u2"), [0.1, 0.1, 0.5], [0.0, 0.0, -1.0]),
        "gaussians.quats": Stored(np.array([[100, 0, 0, 0]] * 4, "|i1"), 0.01),
        "gaussians.log_scales": Stored(np.full((4, 3), -4.0, "<f4")),
        "gaussians.opacities": Stored(np.array([255, 255, 51, 0], "|u1"), 1 / 255),
        "gaussians.sh": Stored(np.arange(12).reshape(4, 1, 3).astype("<i2"), 0.1, [0.0, 0.5, 1.0]),
        "skin.bones": Stored(np.array([[0, 0], [1, 0], [1, 0], [1, 0]], "|u1")),
        "skin.weights": Stored(np.array([[4, 0], [4, 0], [4, 0], [2, 2]], "<u2"), 0.25),
        "rig.parents": Stored(np.array([-1, 0], "<i2")),
        "rig.heads": Stored(np.array([[0, 0, 0], [0, 0.1, 0]], "<f4")),
        "rig.bind": Stored(np.stack([identity, identity]).astype("<f4")),
        "binding.faces": Stored(np.array([7, 8, 9, 10], "<u4")),
        "binding.barycentrics": Stored(np.full((4, 3), 1 / 3, "<f4")),
        "actions.starts": Stored(np.array([0, 1], "<u4")),
        "actions.gaussians": Stored(np.array([2], "<u4")),
        "actions.offsets": Stored(np.array([[0, 1, 0]], "|i1"), 0.5),
        "motion.rotations": Stored(turned.astype("<i2"), HALF_PI),
        "motion.translation": Stored(np.array([[0, 0, 0], [1, 0, 0]], "<f4")),
        "motion.expression": Stored(np.array([[0], [100]], "|u1"), 0.01),
    }


if __name__ == "__main__":
    (FOLDER / "rigged_v1.avatar").write_bytes(pack_arrays(header(), arrays()))
