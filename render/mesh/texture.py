"""Textures: mip levels, how far down a pixel looks, and bilinear samples between two levels (trilinear).

Texture coordinates (u, v) have their origin at the image's lower left corner and reach 1 at the opposite one:
in a level of ``height x width`` texels, texel (row, column) has its centre at u = (column + 1/2) / width,
v = 1 - (row + 1/2) / height. Coordinates beyond 0..1 repeat the image (``wrap``) or its border (``clamp``).

A level is half the size of the one before, each texel the mean over the area that it covers (also at odd
sizes), down to 1 x 1, which is the mean of all. Level l looks at floor(l) and the next one, the latter with
the weight l - floor(l); below 0 is 0, beyond the last is the last.

Gradients reach the texture (through the levels down to the full image), the coordinates and the levels.
Across a texel's centre line the one to ``uvs`` jumps, as everywhere with bilinear samples; the one to
``levels`` is the difference of the two levels' samples. ``mip_levels`` itself is held constant: how wide a
pixel reaches hardly says how a texture should move, and second derivatives of the projection are noise.

Symbols: ``c`` cameras, ``h w`` the image's rows and columns, ``th tw`` the texture's, ``d`` channels, ``n``
texels of all levels, ``v`` vertices, ``t`` texture coordinates, ``f`` triangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh import texture_cpu
from simulacra.render.mesh.rasterize import Backend, choose_backend, to_cameras
from simulacra.render.mesh.record import MeshRendering
from simulacra.render.mesh.reference import cross, interpolate
from simulacra.render.mesh.texture_kernels import LEAST_SQUARE

Wrap = Literal["wrap", "clamp"]


@dataclass(frozen=True)
class Mipmaps:
    """A texture and its halved copies.

    Attributes:
        texels: row after row of the full image, then of the next level, and so on.
        sizes: rows and columns of each level.
    """

    texels: Float[Tensor, "n d"]
    sizes: tuple[tuple[int, int], ...]

    def level(self, index: int) -> Float[Tensor, "th tw d"]:
        """One level as an image."""
        counts = [height * width for height, width in self.sizes]
        first = sum(counts[:index])
        return self.texels[first : first + counts[index]].unflatten(0, self.sizes[index])


def build_mips(texture: Float[Tensor, "th tw d"]) -> Mipmaps:
    """All levels of a texture down to 1 x 1; differentiable, and worth keeping while the texture stays."""
    levels = [texture]
    while max(levels[-1].shape[:2]) > 1:
        levels.append(_halve(_halve(levels[-1], 0), 1))
    sizes = tuple((level.shape[0], level.shape[1]) for level in levels)
    return Mipmaps(torch.cat([level.flatten(0, 1) for level in levels]), sizes)


def _halve(image: Float[Tensor, "th tw d"], axis: int) -> Float[Tensor, "th2 tw2 d"]:
    """Mean over the area of each new texel along one axis. Of an odd number 2m + 1 of texels, new texel j
    covers (m - j) / m of texel 2j, all of the next and (j + 1) / m of the one after.
    """
    size = image.shape[axis]
    half = size // 2
    if size == 1:
        return image
    first, second = (
        image.narrow(axis, k, size - 1).index_select(axis, _even_texels(half, image)) for k in (0, 1)
    )
    if size % 2 == 0:
        return (first + second) / 2
    third = image.narrow(axis, 2, size - 2).index_select(axis, _even_texels(half, image))
    j = torch.arange(half, dtype=image.dtype, device=image.device).reshape(-1, *[1] * (2 - axis))
    return ((half - j) * first + half * second + (j + 1) * third) / size


def _even_texels(count: int, like: Tensor) -> Int[Tensor, " k"]:
    return 2 * torch.arange(count, device=like.device)


def sample_texture(
    texture: Float[Tensor, "th tw d"] | Mipmaps,
    uvs: Float[Tensor, "c h w 2"],
    *,
    levels: Float[Tensor, "c h w"] | None = None,
    mask: Bool[Tensor, "c h w"] | None = None,
    wrap: Wrap = "wrap",
    backend: Backend = "auto",
) -> Float[Tensor, "c h w d"]:
    """Colors of a texture at each pixel; differentiable in ``texture``, ``uvs`` and ``levels``.

    Args:
        texture: an image, or with its mip levels (``build_mips``).
        uvs: what ``interpolate`` gives for texture coordinates and their own faces.
        levels: how far down to look, ``mip_levels``; the full image if None.
        mask: pixels to sample, usually ``rendering.covered``; the others are zero. All if None.
        wrap: how coordinates beyond 0..1 are meant, on both axes.
        backend: as ``rasterize_mesh``; the reference where it has nothing of its own.

    Raises:
        ValueError: coordinates or levels that are not finite, an empty texture.
    """
    if not isinstance(texture, Mipmaps):
        texture = Mipmaps(texture.flatten(0, 1), ((texture.shape[0], texture.shape[1]),))
    if len(texture.texels) == 0:
        raise ValueError(f"a texture of {texture.sizes[0]} texels has no color")
    if levels is None:
        levels = torch.zeros_like(uvs[..., 0])
    if mask is None:
        mask = torch.ones_like(levels, dtype=torch.bool)
    for name, values in (("uvs", uvs), ("levels", levels)):
        if not torch.isfinite(values.detach().sum()) and not torch.isfinite(values.detach()).all():
            raise ValueError(f"{name} are not finite")
    backend = choose_backend(backend, uvs)
    if backend == "cpu":
        return texture_cpu.sample(texture.texels, texture.sizes, uvs, levels, mask, wrap == "wrap")
    colors = reference(texture, uvs, levels, wrap)
    return torch.where(mask[..., None], colors, torch.zeros_like(colors))


def reference(
    texture: Mipmaps, uvs: Float[Tensor, "*p 2"], levels: Float[Tensor, "*p"], wrap: Wrap
) -> Float[Tensor, "*p d"]:
    """Trilinear samples in torch, any float type, gradients by autograd: the oracle of the compiled kernel."""
    last = len(texture.sizes) - 1
    levels = levels.clamp(0, last)
    lower = levels.detach().floor().long()
    share = (levels - lower)[..., None]
    near = _bilinear(texture, uvs, lower, wrap)
    far = _bilinear(texture, uvs, (lower + 1).clamp(max=last), wrap)
    return near + share * (far - near)


def _bilinear(
    texture: Mipmaps, uvs: Float[Tensor, "*p 2"], level: Int[Tensor, "*p"], wrap: Wrap
) -> Float[Tensor, "*p d"]:
    sizes = torch.tensor(texture.sizes, device=uvs.device)
    counts = sizes.prod(1)
    first = (counts.cumsum(0) - counts)[level]
    height, width = sizes[level].unbind(-1)
    x, y = uvs[..., 0] * width - 0.5, (1 - uvs[..., 1]) * height - 0.5
    column, row = x.detach().floor(), y.detach().floor()
    right, down = (x - column)[..., None], (y - row)[..., None]

    def texel(dy: int, dx: int) -> Float[Tensor, "*p d"]:
        i, j = row.long() + dy, column.long() + dx
        if wrap == "wrap":
            i, j = i % height, j % width
        else:
            i, j = torch.minimum(i.clamp(min=0), height - 1), torch.minimum(j.clamp(min=0), width - 1)
        return texture.texels[first + i * width + j]

    upper = texel(0, 0) + right * (texel(0, 1) - texel(0, 0))
    lower = texel(1, 0) + right * (texel(1, 1) - texel(1, 0))
    return upper + down * (lower - upper)


def mip_levels(
    uvs: Float[Tensor, "t 2"],
    face_uvs: Int[Tensor, "f 3"],
    verts: Float[Tensor, "*b v 3"],
    faces: Int[Tensor, "f 3"],
    cameras: Cameras,
    rendering: MeshRendering,
    size: tuple[int, int],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "c h w"]:
    """How far down the mip levels each pixel should look; zero where there is no triangle. No gradient.

    It is log2 of the longer of the steps, in texels of the full image, that the hit point takes in the
    texture when the pixel moves by one to the right or down, as graphics cards have it. With E_i the edge
    functions of ``render.mesh.reference``, a_i their slopes over the image's x and b barycentrics,
    du/dx = sum_i a_i (u_i - u) / sum_i E_i, and sum_i E_i = D / depth.

    Args:
        uvs: texture coordinates.
        face_uvs: their rows for each triangle.
        verts: as drawn.
        faces: as drawn.
        cameras: as drawn.
        rendering: what ``rasterize_mesh`` gave for them.
        size: the texture's rows and columns.
        backend: as ``rasterize_mesh``; the reference where it has nothing of its own.

    Raises:
        ValueError: another number of meshes than of cameras.
    """
    local = to_cameras(verts, cameras).detach()
    backend = choose_backend(backend, local)
    if backend == "cpu":
        return texture_cpu.mip_levels(
            uvs.detach(), face_uvs, local, faces, cameras.Ks, rendering.face_index, size
        )
    return _mip_levels(uvs.detach(), face_uvs, local, faces, cameras.Ks, rendering, size)


def _mip_levels(
    uvs: Float[Tensor, "t 2"],
    face_uvs: Int[Tensor, "f 3"],
    local: Float[Tensor, "c v 3"],
    faces: Int[Tensor, "f 3"],
    Ks: Float[Tensor, "c 3 3"],
    rendering: MeshRendering,
    size: tuple[int, int],
) -> Float[Tensor, "c h w"]:
    index, covered = rendering.face_index.clamp(min=0).long(), rendering.covered
    if len(faces) == 0:
        return torch.zeros_like(rendering.depth)
    place = interpolate(uvs, face_uvs, rendering.face_index, rendering.barycentrics.detach())
    texels = uvs.new_tensor([size[1], size[0]])
    apart = (uvs[face_uvs[index]] - place[..., None, :]) * texels  # c h w 3 2
    corners = torch.stack([each[faces[rows]] for each, rows in zip(local, index)])
    normals = cross(corners.roll(-1, dims=-2), corners.roll(-2, dims=-2))
    slopes = normals[..., :2] / Ks[:, None, None, None, [0, 1], [0, 1]]  # c h w 3 2: over x, over y
    determinant = (corners[..., 0, :] * normals[..., 0, :]).sum(-1)
    steps = torch.einsum("chwik,chwil->chwkl", slopes, apart)
    steps = steps * (rendering.depth.detach() / torch.where(covered, determinant, 1))[..., None, None]
    longest = steps.square().sum(-1).amax(-1).clamp(min=LEAST_SQUARE)
    return torch.where(covered, 0.5 * longest.log2(), torch.zeros_like(longest))
