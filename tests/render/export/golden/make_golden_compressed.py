"""Makes compressed_v1.avatar: `python -m tests.render.export.golden.make_golden_compressed`. It is published.

A sheet of 4 x 4 squares of 2 cm, two triangles each, at 1 m height, on two bones; on it 40 Gaussians, more of them on
later faces; one action that lifts a corner.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from simulacra.render.avatar import Binding
from simulacra.render.export.codec.profiles import PROFILES
from simulacra.render.export.codec.surface import VERTEX_UNITS, Surface
from simulacra.render.export.compressed import Body, pack_parts
from simulacra.render.export.rigged import Stored
from simulacra.render.gaussians import Gaussians

FOLDER = Path(__file__).parent
SIDE, COUNT = 4, 40
FACES = np.sort(np.arange(COUNT) ** 2 * 32 // COUNT**2)
# On which faces the Gaussians are found, in the order of the file.
FACES_READ = np.array(
    [
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        1,
        1,
        2,
        2,
        2,
        3,
        3,
        8,
        8,
        9,
        10,
        11,
        5,
        5,
        4,
        6,
        7,
        13,
        12,
        14,
        15,
        16,
        18,
        19,
        24,
        25,
        27,
        21,
        20,
        23,
        28,
        30,
    ]
)


def surface() -> Surface:
    """The sheet."""
    at = np.arange(SIDE + 1) * 82  # 2^-12 m: 2 cm
    x, y = np.meshgrid(at, at + VERTEX_UNITS)
    verts = np.stack([x.ravel(), y.ravel(), (x.ravel() // 5)], 1)
    corner = (np.arange(SIDE)[:, None] * (SIDE + 1) + np.arange(SIDE)).ravel()
    quads = np.stack([corner, corner + 1, corner + SIDE + 2, corner + SIDE + 1], 1)
    return Surface(verts, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3))


def binding() -> Binding:
    """Where they hang."""
    at = np.stack([(np.arange(COUNT) * k % 7 + 1) / 8 for k in (1, 2, 3)], 1)
    return Binding(torch.from_numpy(FACES), torch.from_numpy(at / at.sum(1, keepdims=True)).float())


def gaussians() -> Gaussians:
    """At rest, a millimetre over the sheet."""
    sheet, hung, number = surface(), binding(), torch.arange(COUNT)
    corners = torch.from_numpy(sheet.verts / VERTEX_UNITS)[torch.from_numpy(sheet.faces)[hung.faces]].float()
    means = (corners * hung.barycentrics[..., None]).sum(1) + torch.tensor([0.0, 0.0, 0.001])
    turned = torch.stack([torch.ones(COUNT), number % 3 / 9, number % 4 / 9, number % 5 / 9], 1)
    return Gaussians(
        means,
        turned / turned.norm(dim=1, keepdim=True),
        torch.tensor([-4.6, -5.0, -6.5]).repeat(COUNT, 1) + number[:, None] % 5 / 20,
        2 - number % 4 / 2.0,
        torch.stack([number % 7 / 7, number / COUNT, 1 - number / COUNT], 1)[:, None] - 0.5,
    )


def body() -> Body:
    """Two bones; the lower squares hang on the first, the upper on the second."""
    sheet, lift = surface(), np.zeros((1, 1, 3))
    lift[0, 0, 2] = 0.01
    upper = (sheet.verts[:, 1] - VERTEX_UNITS) / (82 * SIDE)
    weights = np.stack([1 - upper, upper], 1)
    return Body(np.tile([0, 1], (len(weights), 1)), weights, np.array([len(weights) - 1]), lift)


def packed() -> bytes:
    """The bytes of the file."""
    header = {
        "format": "avatar",
        "generator": "by hand",
        "rendering": {"mode": "classic", "eps2d": 0.1},
        "bones": ["root", "upper"],
        "actions": ["lift"],
        "fps": 25.0,
    }
    identity = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    bones = {
        "rig.parents": Stored(np.array([-1, 0], "<i2")),
        "rig.heads": Stored(np.array([[0, 1, 0], [0, 1.04, 0]], "<f4")),
        "rig.bind": Stored(np.stack([identity, identity]).astype("<f4")),
    }
    return pack_parts(
        header, surface(), binding(), gaussians(), PROFILES["medium"], 3, np.zeros(11), body(), bones
    )


if __name__ == "__main__":
    (FOLDER / "compressed_v1.avatar").write_bytes(packed())
