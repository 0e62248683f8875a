"""Hair: thousands of flat ribbons that grow from the scalp, fall, and lie on the head and shoulders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import cKDTree

from render.body import BodyModel
from render.mesh import vertex_normals

from .layers import Layer
from .noise import fractal_noise

SEGMENTS = 10


@dataclass(frozen=True)
class HairStyle:
    """How somebody's hair is worn.

    Attributes:
        length_mm: of a strand; 0 is a shaven head. count: ribbons. width_mm: of one, at its root.
        lift_mm: how far the outermost lie above the scalp. curl: how much strands wander, 0 to 1.
        part: where the hair parts, -1 (right) to 1 (left) of the middle. seed: of everything random.
    """

    length_mm: float = 120.0
    count: int = 6500
    width_mm: float = 3.2
    lift_mm: float = 14.0
    curl: float = 0.25
    part: float = 0.3
    seed: int = 0


def make_hair(body: BodyModel, skin: Layer, scalp: np.ndarray, style: HairStyle) -> Layer | None:
    """Ribbons of a style; None for a shaven head.

    Args:
        skin: all of the body at rest. scalp: which of its faces hair grows on.
    """
    if style.length_mm <= 0:
        return None
    rng = np.random.default_rng(style.seed)
    verts = skin.verts.numpy().astype(np.float64)
    normals = vertex_normals(skin.verts, skin.faces).numpy().astype(np.float64)
    roots, out = _roots(verts, normals, skin.faces.numpy()[scalp], style.count, rng)
    strands = _grow(roots, out, verts, normals, style, rng)
    return _ribbons(body, strands, verts, normals, style, rng)


def _roots(
    verts: np.ndarray, normals: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    corners = verts[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(faces), count, p=area / area.sum())
    root = np.sqrt(rng.random((count, 1)))
    other = rng.random((count, 1))
    share = np.concatenate([1 - root, root * (1 - other), root * other], 1)
    at = (corners[chosen] * share[..., None]).sum(1)
    out = (normals[faces[chosen]] * share[..., None]).sum(1)
    return at, out / np.linalg.norm(out, axis=1, keepdims=True)


def _grow(
    roots: np.ndarray,
    out: np.ndarray,
    verts: np.ndarray,
    normals: np.ndarray,
    style: HairStyle,
    rng: np.random.Generator,
) -> np.ndarray:
    """Points along every strand, ``s SEGMENTS+1 3``: combed away from the parting, then falling, kept off the skin."""
    head = verts[:, 1] > roots[:, 1].min() - 0.35
    tree, skin, normal = cKDTree(verts[head]), verts[head], normals[head]
    middle = roots.mean(0)
    combed = roots - middle
    combed[:, 0] -= 0.03 * style.part
    combed = np.stack(
        [
            np.sign(combed[:, 0]) * (0.6 + 8 * np.abs(combed[:, 0])),
            -0.6 + 0 * combed[:, 0],
            -0.25 - 4 * np.maximum(combed[:, 2], 0),
        ],
        1,
    )
    length = 0.001 * style.length_mm * (0.75 + 0.5 * rng.random(len(roots)))
    # Strands over the forehead are cut or combed aside; nobody's face is a curtain.
    front = np.clip((roots[:, 2] - middle[2]) / 0.08, 0, 1) * (np.abs(roots[:, 0] - middle[0]) < 0.055)
    length = length * (1 - front * np.clip(1 - 0.09 / np.maximum(length, 1e-6), 0, 0.85))
    step = (length / SEGMENTS)[:, None]
    clear = 0.001 * style.lift_mm * rng.random((len(roots), 1)) ** 1.5 + 0.002
    direction = out + 0.35 * combed / np.linalg.norm(combed, axis=1, keepdims=True)
    points = [roots - 0.002 * out]
    for k in range(SEGMENTS):
        share = k / SEGMENTS
        wander = np.stack(
            [
                fractal_noise((points[-1] + 10 * j).astype(np.float32), style.seed + j, 2, 0.035)
                for j in range(3)
            ],
            1,
        )
        pull = combed / np.linalg.norm(combed, axis=1, keepdims=True) * (1 - share) + np.array(
            [0, -1.0, 0]
        ) * (0.35 + share)
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        direction = 0.62 * direction + 0.38 * pull + 0.6 * style.curl * wander
        after = points[-1] + step * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        for _ in range(2):
            _, near = tree.query(after)
            gap = ((after - skin[near]) * normal[near]).sum(1, keepdims=True)
            after = after + np.maximum(clear - gap, 0) * normal[near]
        direction = after - points[-1]
        points.append(after)
    return np.stack(points, 1)


def _ribbons(
    body: BodyModel,
    strands: np.ndarray,
    verts: np.ndarray,
    normals: np.ndarray,
    style: HairStyle,
    rng: np.random.Generator,
) -> Layer:
    """Two triangles a segment, flat on the head and thinner towards the tip, carried by the head."""
    count, places, _ = strands.shape
    _, near = cKDTree(verts).query(strands.reshape(-1, 3))
    along = np.gradient(strands, axis=1)
    side = np.cross(along, normals[near].reshape(count, places, 3))
    side /= np.maximum(np.linalg.norm(side, axis=2, keepdims=True), 1e-9)
    taper = np.linspace(1, 0.25, places)[None, :, None] * (0.6 + 0.8 * rng.random((count, 1, 1)))
    half = 0.0005 * style.width_mm * taper * side
    points = np.stack([strands - half, strands + half], 2).reshape(-1, 3).astype(np.float32)
    index = np.arange(count * places * 2).reshape(count, places, 2)
    a, b, c, d = index[:, :-1, 0], index[:, :-1, 1], index[:, 1:, 0], index[:, 1:, 1]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)], 0).reshape(-1, 3)
    head = body.bone_names.index("head")
    rows = np.arange(len(points))
    weights = sparse.csr_matrix(
        (np.ones(len(points), np.float32), (rows, np.full(len(points), head))),
        (len(points), len(body.bone_names)),
    )
    # Origin: which strand, and how far along it: what a hair's colour is a function of.
    strand = np.repeat(rng.random(count), places * 2)
    share = np.broadcast_to(np.linspace(0, 1, places)[None, :, None], (count, places, 2)).reshape(-1)
    edge = np.broadcast_to(np.array([-1.0, 1.0]), (count, places, 2)).reshape(-1)
    origin = np.stack([strand, share, edge], 1).astype(np.float32)
    return Layer(
        "hair", torch.from_numpy(points), torch.from_numpy(faces), weights, "hair", torch.from_numpy(origin)
    )
