"""Silhouettes that move smoothly with the mesh: analytic antialiasing with gradients to the vertices.

After Laine et al., "Modular Primitives for High-Performance Differentiable Rendering" (SIGGRAPH Asia 2020),
section 3.6. Wherever two neighbouring pixels, side by side or one above the other, show different
triangles, look for an outline edge of the nearer triangle that passes between their centres, at a distance
d (0..1) from the nearer pixel's centre. An edge is an outline if nobody lies across it, or a triangle that
is seen from its other side. Beyond the middle, d > 1/2, the nearer surface covers m = d - 1/2 of the
farther pixel; before it, the farther one covers m = 1/2 - d of the nearer:

    image[target] += m (image[source] - image[target])

with the image from before for all pairs. d depends on the edge's ends, and that is where the vertices'
gradient comes from. It says how colours change at outlines, which sampling at pixel centres cannot.

Symbols: ``c`` cameras, ``h w`` rows and columns, ``d`` channels, ``v`` vertices, ``f`` triangles, ``m``
pixel pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from render.camera import Cameras
from render.mesh import outline_kernels
from render.mesh.rasterize import Backend
from render.mesh.record import MeshRendering
from render.mesh.reference import NEAR
from render.mesh.topology import face_neighbours
from render.rotation import transform_points


def antialias(
    image: Float[Tensor, "c h w d"],
    verts: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    cameras: Cameras,
    rendering: MeshRendering,
    *,
    neighbours: Int[Tensor, "f 3"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "c h w d"]:
    """Blend pixels along the mesh's outlines; differentiable in ``image``, ``verts`` and the cameras' poses.

    For a soft silhouette pass ``rendering.covered`` as an image of one channel. Edges of triangles that
    cross the near plane are left as they are.

    Args:
        image: what was drawn with ``rendering``.
        verts, faces, cameras, rendering: as drawn.
        neighbours: ``face_neighbours(faces)``, to compute it once for many calls.
        backend: as ``rasterize_mesh``.
    """
    if backend == "auto":
        backend = "cpu" if image.dtype == torch.float32 and image.device.type == "cpu" else "reference"
    if neighbours is None:
        neighbours = face_neighbours(faces)
    local = transform_points(cameras.viewmats, verts.expand(len(cameras), *verts.shape))
    z = local[..., 2:].clamp(min=NEAR)
    screen = local[..., :2] / z * cameras.Ks[:, None, [0, 1], [0, 1]] + cameras.Ks[:, None, [0, 1], [2, 2]]
    if backend == "cpu":
        result: Tensor = _Antialias.apply(image, screen, local.detach(), faces, neighbours, rendering)
        return result
    outlines = outline_edges(local, faces, neighbours)
    index, depth = rendering.face_index, rendering.depth
    return torch.stack([reference(*each, faces) for each in zip(image, screen, outlines, index, depth)])


def outline_edges(
    local: Float[Tensor, "c v 3"], faces: Int[Tensor, "f 3"], neighbours: Int[Tensor, "f 3"]
) -> Bool[Tensor, "c f 3"]:
    """Edges (corner i to i + 1) that bound what a camera sees of their triangle; none of triangles at the
    near plane.
    """
    corners = local.detach()[:, faces]
    away = (corners[:, :, 0] * torch.linalg.cross(corners[:, :, 1], corners[:, :, 2])).sum(-1) > 0
    across = away[:, neighbours.clamp(min=0)]
    in_front = (corners[..., 2] > NEAR).all(-1)
    return ((neighbours < 0) | (across != away[..., None])) & in_front[..., None]


def reference(
    image: Float[Tensor, "h w d"],
    screen: Float[Tensor, "v 2"],
    outlines: Bool[Tensor, "f 3"],
    face_index: Int[Tensor, "h w"],
    depth: Float[Tensor, "h w"],
    faces: Int[Tensor, "f 3"],
) -> Float[Tensor, "h w d"]:
    """One camera in torch, any float type, gradients by autograd: the oracle of the compiled kernels."""
    height, width = face_index.shape
    flat = image.reshape(height * width, -1)
    result = flat
    place = torch.arange(height * width).reshape(height, width)
    for axis, first, second in ((0, place[:, :-1], place[:, 1:]), (1, place[:-1], place[1:])):
        near, far = _different_pairs(first.reshape(-1), second.reshape(-1), face_index, depth)
        distance, found = _crossing(
            near,
            far,
            axis,
            width,
            screen,
            outlines,
            faces[face_index.reshape(-1)[near]],
            face_index.reshape(-1)[near],
        )
        near, far, distance = near[found], far[found], distance[found]
        beyond = distance > 0.5
        target, source = torch.where(beyond, far, near), torch.where(beyond, near, far)
        amount = (distance - 0.5).abs()[:, None]
        result = result.index_add(0, target, amount * (flat[source] - flat[target]))
    return result.reshape(image.shape)


def _different_pairs(
    first: Int[Tensor, " m"],
    second: Int[Tensor, " m"],
    face_index: Int[Tensor, "h w"],
    depth: Float[Tensor, "h w"],
) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Pairs that show different triangles, as (nearer, farther); nothing is farther than any triangle."""
    index = face_index.reshape(-1)
    z = torch.where(index >= 0, depth.detach().reshape(-1), torch.full_like(depth, float("inf")).reshape(-1))
    different = index[first] != index[second]
    first, second = first[different], second[different]
    first_nearer = z[first] < z[second]
    return torch.where(first_nearer, first, second), torch.where(first_nearer, second, first)


def _crossing(
    near: Int[Tensor, " m"],
    far: Int[Tensor, " m"],
    axis: int,
    width: int,
    screen: Float[Tensor, "v 2"],
    outlines: Bool[Tensor, "f 3"],
    corners: Int[Tensor, "m 3"],
    face: Int[Tensor, " m"],
) -> tuple[Float[Tensor, " m"], Bool[Tensor, " m"]]:
    """Distance from the nearer centre towards the farther to the last outline edge between them, if there
    is one.
    """
    centre = torch.stack([near % width, near // width], -1).to(screen) + 0.5
    along, beside = centre[:, axis, None], centre[:, 1 - axis, None]
    direction = torch.where(far > near, 1.0, -1.0).to(screen)[:, None]
    a, b = screen[corners], screen[corners.roll(-1, dims=1)]
    da, db = a[..., 1 - axis] - beside, b[..., 1 - axis] - beside
    crosses = (da < 0) != (db < 0)
    t = da / torch.where(crosses, da - db, torch.ones_like(da))
    distance = (a[..., axis] + t * (b[..., axis] - a[..., axis]) - along) * direction
    usable = crosses & outlines[face] & (distance >= 0) & (distance <= 1)
    best = torch.where(usable, distance, torch.full_like(distance, -1.0)).argmax(1, keepdim=True)
    return distance.gather(1, best)[:, 0], usable.any(1)


class _Antialias(torch.autograd.Function):
    """The compiled twin of ``reference``: pairs are found once, forward and backward run over them in
    order.
    """

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        screen: Tensor,
        local: Tensor,
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
        places = screen.detach().contiguous()
        ctx.pairs = []
        for i in range(len(image)):
            outlines = np.empty((len(faces), 3), np.bool_)
            outline_kernels.mark_outlines(
                local[i].double().contiguous().numpy(), narrow, across, NEAR, outlines
            )
            pairs = _find(places[i].numpy(), narrow, outlines, index[i].numpy(), depth[i].numpy())
            outline_kernels.blend(*pairs[:2], image[i].flatten(0, 1).numpy(), result[i].flatten(0, 1).numpy())
            ctx.pairs.append(pairs)
        ctx.save_for_backward(image)
        ctx.screen_shape = screen.shape
        return result

    @staticmethod
    def backward(ctx: Any, grad_result: Tensor) -> tuple[Tensor | None, ...]:
        (image,) = ctx.saved_tensors
        grad_result = grad_result.contiguous()
        grad_image, grad_screen = grad_result.clone(), grad_result.new_zeros(ctx.screen_shape)
        for i, (integers, amounts, slopes) in enumerate(ctx.pairs):
            outline_kernels.blend_backward(
                integers,
                amounts,
                slopes,
                image[i].flatten(0, 1).numpy(),
                grad_result[i].flatten(0, 1).numpy(),
                grad_image[i].flatten(0, 1).numpy(),
                grad_screen[i].numpy(),
            )
        return grad_image, grad_screen, None, None, None, None


def _find(
    screen: np.ndarray, faces: np.ndarray, outlines: np.ndarray, index: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All blending pairs of one camera: (target, source, vertex a, vertex b), amount, slopes by the
    vertices' x and y.
    """
    most = 2 * index.size
    integers, floats = (
        np.empty((most, 4), np.int32),
        np.empty((most, 5), np.float32),
    )  # pages never touched cost nothing
    count = outline_kernels.find(screen, faces, outlines, index, depth, integers, floats)
    return integers[:count].copy(), floats[:count, 0].copy(), floats[:count, 1:].copy()
