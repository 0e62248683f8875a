"""Surfaces that a virtual person is made of, and how they are cut, refined and offset from the body.

A layer is a triangle mesh at rest, carried by the body: every vertex is a weighted mean of body vertices, and what
moves those (bones, expressions) moves it. Symbols: ``n`` vertices, ``f`` triangles, ``v`` vertices of the body.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from simulacra.render.body import BodyModel
from simulacra.render.mesh import vertex_normals

from . import layer_kernels as kernels

# The share of the way from a flat midpoint to the tangent planes of its ends (Boubekeur and Alexa, "Phong
# tessellation", 2008, recommend three quarters).
ROUNDING = 0.75
ROUNDS = 4  # of smoothing and pushing out again


def _no_traits() -> Float[Tensor, "0 2"]:
    return torch.zeros(0, 2)


@dataclass(frozen=True)
class Layer:
    """One surface of a person.

    Attributes:
        verts: at rest, metres.
        carrier: each vertex as a mean of body vertices, sparse rows that sum to 1.
        material: what it looks like: a key of the person's materials.
        origin: of each vertex: the place that colors and patterns are functions of, metres. On skin and cloth it
            is the place on the resting body, which thickness and folds do not change; of hair and shoes see there.
        traits: two numbers of each vertex that its material reads. Skin: the share of it that hair hides, and shade
            from the cloth over it. Cloth: metres from the nearest hem, and 1 on the lining.
    """

    name: str
    verts: Float[Tensor, "n 3"]
    faces: Int[Tensor, "f 3"]
    carrier: sparse.csr_matrix
    material: str
    origin: Float[Tensor, "n 3"]
    traits: Float[Tensor, "n 2"] = field(default_factory=_no_traits)

    def __post_init__(self) -> None:
        if len(self.traits) != len(self.verts):
            object.__setattr__(self, "traits", torch.zeros(len(self.verts), 2))


def body_layer(body: BodyModel, verts: Float[Tensor, "v 3"], name: str, chosen: Bool[Tensor, "f"]) -> Layer:
    """The chosen faces of the body itself."""
    carrier = sparse.csr_matrix(sparse.identity(len(verts), np.float32, "csr"))
    return compact(Layer(name, verts, body.faces[chosen], carrier, name, verts))


def compact(layer: Layer) -> Layer:
    """Without vertices that no face uses."""
    place = np.full(len(layer.verts), -1, np.int64)
    if kernels.used_first(layer.faces.numpy(), place) == len(place):
        return layer
    used = torch.from_numpy(np.nonzero(place >= 0)[0])
    return replace(
        layer,
        verts=layer.verts[used],
        faces=torch.from_numpy(kernels.renumbered(layer.faces.numpy(), place)),
        carrier=layer.carrier[used.numpy()],
        origin=layer.origin[used],
        traits=layer.traits[used],
    )


def cut(layer: Layer, keep: Bool[Tensor, "f"]) -> Layer:
    """Only some faces."""
    return compact(replace(layer, faces=layer.faces[keep]))


def joined(first: Layer, second: Layer) -> Layer:
    """Two layers as one; nothing is welded."""
    return replace(
        first,
        verts=torch.cat([first.verts, second.verts]),
        faces=torch.cat([first.faces, second.faces + len(first.verts)]),
        carrier=sparse.vstack([first.carrier, second.carrier]).tocsr(),
        origin=torch.cat([first.origin, second.origin]),
        traits=torch.cat([first.traits, second.traits]),
    )


def _edges_of(faces: Int[Tensor, "f 3"], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """All edges once, as ends a < b, and which of them each face's three (corner i to i + 1) are."""
    a, b, which = kernels.edges(faces.numpy(), count)
    return torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(which)


def _add_points(layer: Layer, a: Tensor, b: Tensor, share: Tensor, verts: Tensor) -> Layer:
    """The layer with vertices between a and b added at ``verts``."""
    w = share[:, None]
    left, right = sparse.diags((1 - share).numpy()), sparse.diags(share.numpy())
    between = left @ layer.carrier[a.numpy()] + right @ layer.carrier[b.numpy()]
    return replace(
        layer,
        verts=torch.cat([layer.verts, verts]),
        carrier=sparse.vstack([layer.carrier, between]).tocsr().astype(np.float32),
        origin=torch.cat([layer.origin, (1 - w) * layer.origin[a] + w * layer.origin[b]]),
        traits=torch.cat([layer.traits, (1 - w) * layer.traits[a] + w * layer.traits[b]]),
    )


def refine(layer: Layer, longest: float = 0.0, times: int = 1) -> Layer:
    """Edges longer than ``longest`` metres halved, the new vertices on the curved surface that the normals suggest.

    A face is cut into four, three or two, as three, two or one of its edges are halved: no gaps open.
    """
    for _ in range(times):
        count = len(layer.verts)
        a, b, which = _edges_of(layer.faces, count)
        long = (layer.verts[a] - layer.verts[b]).norm(dim=1) > longest
        if not long.any():
            break
        normals = vertex_normals(layer.verts, layer.faces)
        number = torch.full((len(a),), -1, dtype=torch.long)
        number[long] = count + torch.arange(int(long.sum()))
        faces = torch.from_numpy(kernels.divided(layer.faces.numpy(), which.numpy(), number.numpy()))
        a, b = a[long], b[long]
        middle = torch.from_numpy(
            kernels.rounded_middles(layer.verts.numpy(), normals.numpy(), a.numpy(), b.numpy(), ROUNDING)
        )
        layer = replace(_add_points(layer, a, b, torch.full((len(a),), 0.5), middle), faces=faces)
    return layer


def clip(layer: Layer, inside: Float[Tensor, " n"], snap: float = 0.0015) -> Layer:
    """The part where a function of the vertices is positive, cut along the line where it is zero.

    Args:
        snap: vertices whose value is nearer to zero count as on the line: no slivers are cut off beside them.
    """
    place = torch.where(inside.abs() < snap, 0.0, inside)
    a, b, which = _edges_of(layer.faces, len(layer.verts))
    crossed = place[a] * place[b] < 0
    number = torch.full((len(a),), -1, dtype=torch.long)
    number[crossed] = len(layer.verts) + torch.arange(int(crossed.sum()))
    a, b = a[crossed], b[crossed]
    share = place[a] / (place[a] - place[b])
    verts = layer.verts[a] + share[:, None] * (layer.verts[b] - layer.verts[a])
    faces = torch.from_numpy(
        kernels.clipped(layer.faces.numpy(), which.numpy(), number.numpy(), place.numpy())
    )
    return compact(replace(_add_points(layer, a, b, share, verts), faces=faces))


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
    mean: sparse.csr_matrix, values: Float[np.ndarray, "n d"], times: int, strength: float = 0.5
) -> Float[np.ndarray, "n d"]:
    """Values at vertices, each moved towards the mean of its neighbours (``averaging``) again and again."""
    for _ in range(times):
        values = values + strength * (mean @ values - values)
    return values


def inflated(layer: Layer, thickness: Float[np.ndarray, " n"], drape: int) -> Layer:
    """A shell around the layer: details smaller than cloth would follow are smoothed away (``drape`` rounds), and
    nowhere does it come closer to the surface than the thickness (metres, per vertex).
    """
    mean = averaging(layer)
    verts = layer.verts.numpy()
    calm = smoothed(mean, vertex_normals(layer.verts, layer.faces).numpy(), 8)
    calm /= np.maximum(np.linalg.norm(calm, axis=1, keepdims=True), 1e-9)
    thickness = thickness.astype(np.float32)
    shell = verts + thickness[:, None] * calm
    for _ in range(ROUNDS):
        shell = smoothed(mean, shell, drape // ROUNDS)
        # Cloth spans hollows and is held off by bumps: what lacks in thickness is pushed out, and the push spread.
        lack = np.maximum(thickness - ((shell - verts) * calm).sum(1), 0)[:, None]
        shell = shell + np.maximum(smoothed(mean, lack, 3), 0.6 * lack) * calm
    return replace(layer, verts=torch.from_numpy(shell.astype(np.float32)))


def border_loops(faces: Int[Tensor, "f 3"]) -> list[Int[np.ndarray, " k"]]:
    """The borders of a mesh as closed rings of vertices, the mesh to the left of the way round seen from outside."""
    count = int(faces.max()) + 1 if len(faces) else 0
    low, _, which = kernels.edges(faces.numpy(), count)
    following = np.full(count, -1, np.int64)
    kernels.border_steps(faces.numpy(), low, which, following)
    starts = np.nonzero(following >= 0)[0]
    after = dict(zip(starts.tolist(), following[starts].tolist()))
    loops = []
    while after:
        start = next(iter(after))
        ring = [start]
        while (step := after.pop(ring[-1], None)) is not None and step != start:
            ring.append(step)
        if len(ring) > 2:
            loops.append(np.array(ring))
    return loops
