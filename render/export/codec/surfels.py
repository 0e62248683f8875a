"""A Gaussian's form as six smooth numbers, and back, in the frame of the surface that it hangs on.

Trained Gaussians are flat. The thinnest axis is a normal N; the other two span a tangent plane:

    size        mean of the two larger log scales
    a, b        their difference d, as a vector of spin 2: d (cos 2t, sin 2t), t the angle of the longest axis
    flatness    size minus the smallest log scale
    p, q        N in a stereographic projection from the frame's far pole: 2 (N_x, N_y) / (1 + N_z)

where t is measured after the frame is tilted from its own third axis to N by the shortest way. A round Gaussian has
a = b = 0 whatever its t, half a turn of t is none, and N and -N are the same (N_z >= 0), so that neighbours that look
alike have numbers alike, which a quaternion has not.

Symbols: ``n`` Gaussians, ``f`` faces, ``v`` vertices. Frames have their axes in columns.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from simulacra.render.export.codec.surface import VERTEX_UNITS, Surface

Matrices = Float64[np.ndarray, "n 3 3"]
Forms = Float64[np.ndarray, "n 6"]


def face_frames(surface: Surface) -> Float64[np.ndarray, "f 3 3"]:
    """A frame of each face: third axis the smooth normal, first axis as much upwards as that allows."""
    verts = surface.verts / VERTEX_UNITS
    corners = verts[surface.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    at_verts = np.zeros_like(verts)
    for corner in range(3):
        np.add.at(at_verts, surface.faces[:, corner], normals)
    third = _unit(_unit(at_verts, [0.0, 0.0, 1.0])[surface.faces].sum(1), [0.0, 0.0, 1.0])
    upright = np.abs(third[:, 1:2]) < 0.9
    reference = np.where(upright, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    first = _unit(reference - (reference * third).sum(1, keepdims=True) * third, [1.0, 0.0, 0.0])
    return np.stack([first, np.cross(third, first), third], 2)


def flat_normals(surface: Surface) -> Float64[np.ndarray, "f 3"]:
    """The faces' own unit normals; upwards where a face has no area."""
    first, second = surface.edges
    return _unit(np.cross(first.astype(np.float64), second.astype(np.float64)), [0.0, 1.0, 0.0])


def forms_of(rotations: Matrices, log_scales: Float64[np.ndarray, "n 3"]) -> Forms:
    """Args:
    rotations: of the Gaussians in the frames of their faces.
    log_scales: along their axes.
    """
    ranked = np.argsort(-log_scales, axis=1, kind="stable")
    largest, middle, least = np.take_along_axis(log_scales, ranked, 1).T
    axes = np.take_along_axis(rotations, ranked[:, None, :], 2)
    normal = axes[:, :, 2] * np.where(axes[:, 2:, 2] < 0, -1.0, 1.0)
    along = np.einsum("nji,nj->ni", _tilts(normal), axes[:, :, 0])
    angle = 2 * np.arctan2(along[:, 1], along[:, 0])
    size, apart = (largest + middle) / 2, largest - middle
    flat = 2 * normal[:, :2] / (1 + normal[:, 2:])
    return np.stack(
        [size, apart * np.cos(angle), apart * np.sin(angle), size - least, flat[:, 0], flat[:, 1]], 1
    )


def of_forms(forms: Forms) -> tuple[Matrices, Float64[np.ndarray, "n 3"]]:
    """Rotations in the frames of the faces, the longest axis first, and log scales."""
    size, a, b, flatness, p, q = forms.T
    apart, angle = np.hypot(a, b), np.arctan2(b, a) / 2
    square = np.minimum((p**2 + q**2) / 4, 1.0)
    normal = _unit(np.stack([p, q, 1 - square], 1) / (1 + square)[:, None], [0.0, 0.0, 1.0])
    tilt, cosine, sine = _tilts(normal), np.cos(angle)[:, None], np.sin(angle)[:, None]
    first = tilt[:, :, 0] * cosine + tilt[:, :, 1] * sine
    second = tilt[:, :, 1] * cosine - tilt[:, :, 0] * sine
    return np.stack([first, second, normal], 2), np.stack(
        [size + apart / 2, size - apart / 2, size - flatness], 1
    )


def _tilts(normals: Float64[np.ndarray, "n 3"]) -> Matrices:
    """The shortest rotations that carry +Z to unit vectors with z >= 0."""
    x, y, z = normals.T
    k = 1 / (1 + z)
    columns = [np.stack([1 - k * x * x, -k * x * y, -x], 1), np.stack([-k * x * y, 1 - k * y * y, -y], 1)]
    return np.stack([*columns, normals], 2)


def _unit(vectors: np.ndarray, otherwise: list[float]) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > 1e-12, vectors / np.maximum(lengths, 1e-12), otherwise)
