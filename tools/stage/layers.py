"""Surfaces that a virtual person is made of, and how they are cut, refined and offset from the body.

A layer is a triangle mesh at rest, carried by the body's bones. Symbols: ``n`` vertices, ``f`` triangles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from render.body import BodyModel
from render.mesh import vertex_normals
from render.skinning import Influences

# The share of the way from a flat midpoint to the tangent planes of its ends (Boubekeur and Alexa, "Phong
# tessellation", 2008, recommend three quarters).
ROUNDING = 0.75
ROUNDS = 5  # of smoothing and pushing out again


@dataclass(frozen=True)
class Layer:
    """One surface of a person.

    Attributes:
        verts: at rest, metres. weights: of each vertex for every bone, sparse rows that sum to 1.
        material: what it looks like: a key of the person's materials.
        origin: of each vertex on the body: what colours and patterns are functions of, metres. It differs from
            ``verts`` by the layer's thickness and folds only, and does not change with them.
    """

    name: str
    verts: Float[Tensor, "n 3"]
    faces: Int[Tensor, "f 3"]
    weights: sparse.csr_matrix
    material: str
    origin: Float[Tensor, "n 3"]

    def influences(self) -> Influences:
        """The bones that carry each vertex."""
        return Influences.of_dense(torch.from_numpy(self.weights.toarray()))


def body_layer(body: BodyModel, verts: Float[Tensor, "v 3"], name: str, chosen: Bool[Tensor, "f"]) -> Layer:
    """The chosen faces of the body itself."""
    weights = sparse.csr_matrix(body.dense_weights.numpy())
    return compact(Layer(name, verts, body.faces[chosen], weights, name, verts))


def compact(layer: Layer) -> Layer:
    """Without vertices that no face uses."""
    used = torch.unique(layer.faces)
    place = torch.full((len(layer.verts),), -1, dtype=torch.long)
    place[used] = torch.arange(len(used))
    return replace(
        layer,
        verts=layer.verts[used],
        faces=place[layer.faces],
        weights=layer.weights[used.numpy()],
        origin=layer.origin[used],
    )


def cut(layer: Layer, keep: Bool[Tensor, "f"]) -> Layer:
    """Only some faces."""
    return compact(replace(layer, faces=layer.faces[keep]))


def refine(layer: Layer, times: int = 1) -> Layer:
    """Every triangle into four, the new vertices on the curved surface that the normals suggest."""
    for _ in range(times):
        normals = vertex_normals(layer.verts, layer.faces)
        edges = torch.cat([layer.faces[:, [0, 1]], layer.faces[:, [1, 2]], layer.faces[:, [2, 0]]])
        unique, where = torch.unique(edges.sort(1).values, dim=0, return_inverse=True)
        a, b = unique.unbind(1)
        count = len(layer.verts)
        ab, bc, ca = (where.view(3, -1) + count).unbind(0)
        v0, v1, v2 = layer.faces.unbind(1)
        faces = torch.cat(
            [torch.stack(t, 1) for t in ((v0, ab, ca), (ab, v1, bc), (ca, bc, v2), (ab, bc, ca))]
        )
        flat = (layer.verts[a] + layer.verts[b]) / 2
        on_planes = sum(
            flat - ((flat - layer.verts[end]) * normals[end]).sum(-1, keepdim=True) * normals[end]
            for end in (a, b)
        )
        middle = flat + ROUNDING * (on_planes / 2 - flat)
        halves = (layer.weights[a.numpy()] + layer.weights[b.numpy()]) / 2
        layer = replace(
            layer,
            verts=torch.cat([layer.verts, middle]),
            faces=faces,
            weights=sparse.vstack([layer.weights, halves]).tocsr().astype(np.float32),
            origin=torch.cat([layer.origin, (layer.origin[a] + layer.origin[b]) / 2]),
        )
    return layer


def averaging(layer: Layer) -> sparse.csr_matrix:
    """The matrix that replaces every vertex by the mean of its neighbours; on a border, of its two along the border."""
    faces = layer.faces.numpy()
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = len(layer.verts)
    ones = np.ones(len(edges), np.float32)
    directed = sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
    around = directed + directed.T
    border = around.copy()
    border.data = (border.data == 1).astype(np.float32)
    border.eliminate_zeros()
    on_border = np.asarray(border.sum(1)).ravel() > 0
    around.data[:] = 1
    rows = sparse.diags(on_border.astype(np.float32)) @ border
    rows = rows + sparse.diags((~on_border).astype(np.float32)) @ around
    total = np.maximum(np.asarray(rows.sum(1)).ravel(), 1e-9)
    return (sparse.diags((1 / total).astype(np.float32)) @ rows).tocsr()


def smoothed(
    layer: Layer, values: Float[np.ndarray, "n d"], times: int, strength: float = 0.5
) -> Float[np.ndarray, "n d"]:
    """Values at vertices, each moved towards the mean of its neighbours again and again."""
    mean = averaging(layer)
    for _ in range(times):
        values = values + strength * (mean @ values - values)
    return values


def inflated(layer: Layer, thickness: Float[np.ndarray, " n"], drape: int) -> Layer:
    """A shell around the layer: details smaller than cloth would follow are smoothed away (``drape`` rounds), and
    nowhere does it come closer to the surface than the thickness (metres, per vertex).
    """
    verts = layer.verts.numpy()
    normals = vertex_normals(layer.verts, layer.faces).numpy()
    calm = smoothed(layer, normals, 8)
    calm /= np.maximum(np.linalg.norm(calm, axis=1, keepdims=True), 1e-9)
    shell = verts + thickness[:, None] * calm
    for _ in range(ROUNDS):
        shell = smoothed(layer, shell, drape // ROUNDS)
        # Cloth spans hollows and is held off by bumps: what lacks in thickness is pushed out, and the push spread.
        lack = np.maximum(thickness - ((shell - verts) * calm).sum(1), 0)[:, None]
        shell = shell + np.maximum(smoothed(layer, lack, 3), 0.6 * lack) * calm
    return replace(layer, verts=torch.from_numpy(shell.astype(np.float32)))
