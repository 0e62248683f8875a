"""Silhouettes that move smoothly with the mesh: analytic antialiasing with gradients to the vertices.

After Laine et al., "Modular Primitives for High-Performance Differentiable Rendering" (SIGGRAPH Asia 2020),
section 3.6. Wherever two neighbouring pixels, side by side or one above the other, show different
triangles, look for an outline edge of the nearer surface that passes between their centres, at a distance
d (0..1) from the nearer pixel's centre. An edge is an outline if nobody lies across it, or a triangle that
is seen from its other side. Beyond the middle, d > 1/2, the nearer surface covers m = d - 1/2 of the
farther pixel; before it, the farther one covers m = 1/2 - d of the nearer:

    image[target] += m (image[source] - image[target])

with the image from before for all pairs. d depends on the edge's ends, and that is where the vertices'
gradient comes from. It says how colors change at outlines, which sampling at pixel centres cannot.

An edge that goes down more than across is one for pairs side by side, the others for pairs one above the
other. Each kind of pair alone sums to the area that an outline sweeps; both for all edges would give slanted
outlines, that is nearly all, twice their gradient.

The paper looks at the edges of the nearer pixel's own triangle only, and so misses outlines on meshes whose
triangles are as small as pixels. Here the line from centre to centre is followed from triangle to triangle
over the edges that are no outlines, up to ``STEPS`` of them. (Not where the two triangles meet in a vertex that
is on no outline edge: there the surface goes on.) Distances are measured on the edges in space,
not on their projections, so that triangles which cross the near plane take part; the cut that the near
plane itself makes is not smoothed.

What no pixel centre hits is not seen: a limb thinner than a pixel is smooth only where a centre hits it.

Symbols: ``c`` cameras, ``h w`` rows and columns, ``d`` channels, ``v`` vertices, ``f`` triangles, ``m``
pixel pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh import outline_kernels
from simulacra.render.mesh.outline_kernels import STEPS
from simulacra.render.mesh.rasterize import Backend, choose_backend, to_cameras
from simulacra.render.mesh.record import MeshRendering
from simulacra.render.mesh.reference import NEAR, cross, determinants
from simulacra.render.mesh.topology import face_neighbours


def antialias(
    image: Float[Tensor, "c h w d"],
    verts: Float[Tensor, "*b v 3"],
    faces: Int[Tensor, "f 3"],
    cameras: Cameras,
    rendering: MeshRendering,
    *,
    neighbours: Int[Tensor, "f 3"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "c h w d"]:
    """Blend pixels along the mesh's outlines; differentiable in ``image``, ``verts`` and the cameras' poses.

    For a soft silhouette pass ``rendering.covered`` as an image of one channel.

    Args:
        image: what was drawn with ``rendering``.
        verts: as drawn.
        faces: as drawn.
        cameras: as drawn.
        rendering: what ``rasterize_mesh`` gave for them.
        neighbours: ``face_neighbours(faces)``, to compute it once for many calls.
        backend: as ``rasterize_mesh``, but that ``pytorch3d`` has nothing of the kind: the reference is taken.

    Raises:
        ValueError: a backend that there is not, another number of meshes than of cameras.
    """
    backend = choose_backend(backend, image)
    if neighbours is None:
        neighbours = face_neighbours(faces)
    local = to_cameras(verts, cameras)
    if backend == "cpu":
        result: Tensor = _Antialias.apply(image, local, cameras.Ks, faces, neighbours, rendering)
        return result
    outlines = outline_edges(local, faces, neighbours)
    drawn = zip(outlines, rendering.face_index, rendering.depth)
    each = zip(image, local, cameras.Ks, drawn)
    return torch.stack([reference(i, v, K, *parts, faces, neighbours) for i, v, K, parts in each])


def outline_edges(
    local: Float[Tensor, "c v 3"], faces: Int[Tensor, "f 3"], neighbours: Int[Tensor, "f 3"]
) -> Bool[Tensor, "c f 3"]:
    """Edges (corner i to i + 1) that bound what a camera sees of their triangle."""
    corners = local.detach()[:, faces]
    normals = cross(corners.roll(-1, dims=2), corners.roll(-2, dims=2))
    away = determinants(corners, normals)[0] > 0
    across = away[:, neighbours.clamp(min=0)]
    return (neighbours < 0) | (across != away[..., None])


def reference(
    image: Float[Tensor, "h w d"],
    local: Float[Tensor, "v 3"],
    K: Float[Tensor, "3 3"],
    outlines: Bool[Tensor, "f 3"],
    face_index: Int[Tensor, "h w"],
    depth: Float[Tensor, "h w"],
    faces: Int[Tensor, "f 3"],
    neighbours: Int[Tensor, "f 3"],
) -> Float[Tensor, "h w d"]:
    """One camera in torch, any float type, gradients by autograd: the oracle of the compiled kernels."""
    height, width = face_index.shape
    flat = image.reshape(height * width, -1)
    result = flat
    index = face_index.reshape(-1).long()
    place = torch.arange(height * width, device=image.device).reshape(height, width)
    ends = torch.stack([faces, faces.roll(-1, dims=1)], -1)[outlines].reshape(-1).long()
    on_outline = torch.zeros(len(local), dtype=torch.bool, device=image.device).index_fill(0, ends, True)
    for axis, first, second in ((0, place[:, :-1], place[:, 1:]), (1, place[:-1], place[1:])):
        near, far = _different_pairs(first.reshape(-1), second.reshape(-1), index, depth.reshape(-1))
        corners, theirs = faces[index[near]], faces[index[far]]
        shared = (corners[:, :, None] == theirs[:, None]).any(2) & (index[far] >= 0)[:, None]
        joined = (shared & ~on_outline[corners]).any(1)
        near, far = near[~joined], far[~joined]
        found, edge = _follow(near, far, axis, width, local.detach(), K, outlines, index, faces, neighbours)
        near, far, edge = near[found], far[found], edge[found]
        mine = _steep(local.detach()[edge], K) == (axis == 0)
        near, far, edge = near[mine], far[mine], edge[mine]
        distance, _ = _crossing(near, far, axis, width, local[edge[:, 0]], local[edge[:, 1]], K)
        beyond = distance > 0.5
        target, source = torch.where(beyond, far, near), torch.where(beyond, near, far)
        amount = (distance - 0.5).abs()[:, None]
        result = result.index_add(0, target, amount * (flat[source] - flat[target]))
    return result.reshape(image.shape)


def _steep(edges: Float[Tensor, "m 2 3"], K: Float[Tensor, "3 3"]) -> Bool[Tensor, " m"]:
    """Whether an edge, as it is seen, goes down more than across: n . (x, y, 1) = 0 with n = a x b."""
    normals = cross(edges[:, 0], edges[:, 1]).abs()
    return normals[:, 0] * K[1, 1] >= normals[:, 1] * K[0, 0]


def _different_pairs(
    first: Int[Tensor, " m"], second: Int[Tensor, " m"], index: Int[Tensor, " p"], depth: Float[Tensor, " p"]
) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Pairs that show different triangles, as (nearer, farther); nothing is farther than any triangle."""
    z = torch.where(index >= 0, depth.detach(), torch.full_like(depth, float("inf")))
    different = index[first] != index[second]
    first, second = first[different], second[different]
    first_nearer = z[first] < z[second]
    return torch.where(first_nearer, first, second), torch.where(first_nearer, second, first)


def _follow(
    near: Int[Tensor, " m"],
    far: Int[Tensor, " m"],
    axis: int,
    width: int,
    local: Float[Tensor, "v 3"],
    K: Float[Tensor, "3 3"],
    outlines: Bool[Tensor, "f 3"],
    index: Int[Tensor, " p"],
    faces: Int[Tensor, "f 3"],
    neighbours: Int[Tensor, "f 3"],
) -> tuple[Bool[Tensor, " m"], Int[Tensor, "m 2"]]:
    """Whether the way from centre to centre leaves the nearer surface over an outline edge, and its ends."""
    face, active = index[near], torch.ones_like(near, dtype=torch.bool)
    found, ends = torch.zeros_like(active), torch.zeros(len(near), 2, dtype=torch.int64, device=near.device)
    entry = torch.full_like(ends, -1)
    for _ in range(STEPS):
        corners = faces[face].long()
        edges = torch.stack([corners, corners.roll(-1, dims=1)], -1)  # m 3 2
        a, b = local[edges[..., 0]], local[edges[..., 1]]
        distance, crosses = _crossing(near[:, None], far[:, None], axis, width, a, b, K)
        entered = (edges.sort(-1).values == entry[:, None]).all(-1)
        usable = crosses & ~entered & (distance >= 0) & (distance <= 1)
        left = torch.where(usable, distance, torch.full_like(distance, -1.0)).argmax(1)
        row = torch.arange(len(near), device=near.device)
        chosen = edges[row, left]
        active = active & usable.any(1)
        here = active & outlines[face, left]
        ends = torch.where(here[:, None], chosen, ends)
        found = found | here
        active = active & ~here
        if not active.any():
            break
        face = torch.where(active, neighbours[face, left], face)
        entry = torch.where(active[:, None], chosen.sort(-1).values, entry)
    return found, ends


def _crossing(
    near: Int[Tensor, "m *e"],
    far: Int[Tensor, "m *e"],
    axis: int,
    width: int,
    a: Float[Tensor, "m *n 3"],
    b: Float[Tensor, "m *n 3"],
    K: Float[Tensor, "3 3"],
) -> tuple[Float[Tensor, "m *n"], Bool[Tensor, "m *n"]]:
    """Distance from the nearer centre towards the farther, in pixels, to where an edge in space crosses the
    line through both, and whether it does so beyond the near plane.
    """
    centre = torch.stack([near % width, near // width], -1).to(a) + 0.5
    direction = torch.where(far > near, 1.0, -1.0).to(a)
    other = 1 - axis
    slope = (centre[..., other] - K[other, 2]) / K[other, other]
    ea, eb = a[..., other] - slope * a[..., 2], b[..., other] - slope * b[..., 2]
    crosses = (ea < 0) != (eb < 0)
    t = ea / torch.where(crosses, ea - eb, torch.ones_like(ea))
    point = a + t[..., None] * (b - a)
    usable = crosses & (point[..., 2] >= NEAR)
    z = torch.where(usable, point[..., 2], torch.ones_like(t))
    distance = (K[axis, axis] * point[..., axis] / z + K[axis, 2] - centre[..., axis]) * direction
    return distance, usable


class _Antialias(torch.autograd.Function):
    """The compiled twin of ``reference``: pairs are found once, forward and backward run over them in
    order.
    """

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        local: Tensor,
        Ks: Tensor,
        faces: Tensor,
        neighbours: Tensor,
        rendering: MeshRendering,
    ) -> Tensor:
        image = image.detach().contiguous()
        result = image.clone()
        narrow = faces.to(torch.int32).contiguous().numpy()
        across = neighbours.to(torch.int32).contiguous().numpy()
        index = rendering.face_index.to(torch.int32).contiguous()
        depth = rendering.depth.detach().contiguous()
        exact, intrinsics = local.detach().double().contiguous(), Ks.detach().double().contiguous()
        ctx.pairs = []
        for i in range(len(image)):
            arrays = exact[i].numpy(), intrinsics[i].numpy(), narrow, across, index[i].numpy()
            pairs = _find(*arrays, depth[i].numpy())
            outline_kernels.blend(*pairs[:2], image[i].flatten(0, 1).numpy(), result[i].flatten(0, 1).numpy())
            ctx.pairs.append(pairs)
        ctx.save_for_backward(image)
        ctx.local_shape, ctx.local_type = local.shape, local.dtype
        return result

    @staticmethod
    def backward(ctx: Any, grad_result: Tensor) -> tuple[Tensor | None, ...]:
        (image,) = ctx.saved_tensors
        grad_result = grad_result.contiguous()
        grad_image = grad_result.clone()
        grad_local = torch.zeros(ctx.local_shape, dtype=torch.float64)
        for i, (integers, amounts, slopes) in enumerate(ctx.pairs):
            outline_kernels.blend_backward(
                integers,
                amounts,
                slopes,
                image[i].flatten(0, 1).numpy(),
                grad_result[i].flatten(0, 1).numpy(),
                grad_image[i].flatten(0, 1).numpy(),
                grad_local[i].numpy(),
            )
        return grad_image, grad_local.to(ctx.local_type), None, None, None, None


def _find(
    local: np.ndarray,
    K: np.ndarray,
    faces: np.ndarray,
    neighbours: np.ndarray,
    index: np.ndarray,
    depth: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All blending pairs of one camera: (target, source, vertex a, vertex b), amount, slopes by the
    vertices' x, y and z.
    """
    outlines, on_outline = np.empty((len(faces), 3), np.bool_), np.empty(len(local), np.bool_)
    outline_kernels.mark_outlines(local, faces, neighbours, outlines, on_outline)
    marks = outlines, on_outline
    most = 2 * index.size
    # Pages never touched cost nothing.
    integers, floats = np.empty((most, 4), np.int32), np.empty((most, 7), np.float32)
    count = outline_kernels.find(local, K, faces, neighbours, *marks, index, depth, integers, floats)
    return integers[:count].copy(), floats[:count, 0].copy(), floats[:count, 1:].copy()
