"""The texture itself: every texel from the photograph of its triangle, levelled, and holes filled.

In linear light throughout; the result is sRGB, as pictures are. Symbols: ``h w`` rows and columns of the texture, ``f``
triangles, ``n`` texels that lie on a triangle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from simulacra.recon.texture.labels import UNSEEN, choose_labels
from simulacra.recon.texture.levelling import add_corrections, fill_unseen, seam_corrections
from simulacra.recon.texture.sight import Photograph, sample, score_vertices
from simulacra.render.camera import Cameras
from simulacra.render.image import linear_to_srgb
from simulacra.render.mesh import face_normals, rasterize_mesh


@runtime_checkable
class Textured(Protocol):
    """A mesh with texture coordinates: a body, or one that hangs on it."""

    @property
    def faces(self) -> Int[Tensor, "f 3"]: ...

    @property
    def uvs(self) -> Float[Tensor, "t 2"]: ...

    @property
    def face_uvs(self) -> Int[Tensor, "f 3"]: ...


@dataclass(frozen=True)
class Texture:
    """A picture for a mesh's texture coordinates.

    Attributes:
        rgb: sRGB; the first row is v = 1.
        seen: triangles that a photograph shows; the others' colors are continued from them.
        seen_share: their part of the surface's area at rest, 0..1.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    seen: Bool[np.ndarray, " f"]
    seen_share: float


def bake_texture(
    mesh: Textured, rest: Float[Tensor, "v 3"], photographs: Sequence[Photograph], size: int
) -> Texture:
    """Paints a mesh's texture.

    Args:
        rest: its vertices at rest: where areas are measured, and near is near.
        photographs: of the person in any poses.
        size: rows and columns of the texture.
    """
    faces = mesh.faces.numpy()
    scores = np.stack([score_vertices(each, mesh.faces).numpy() for each in photographs])
    labels = choose_labels(scores, faces)
    colors = np.stack([sample(each, each.verts).double().numpy() for each in photographs])
    corrections = seam_corrections(colors, labels, faces)
    corners = _corner_colors(rest, colors, labels, corrections, faces)
    face, barycentrics = _texels(mesh, size)
    texels = np.einsum("nk,nkc->nc", barycentrics, corners[face.ravel()[face.ravel() >= 0]])
    _paint(texels, photographs, labels, corrections, mesh.faces, face, barycentrics)
    areas = face_normals(rest, mesh.faces).norm(dim=-1).numpy()
    seen = labels != UNSEEN
    return Texture(_picture(texels, face >= 0), seen, float(areas[seen].sum() / areas.sum()))


def _corner_colors(
    rest: Float[Tensor, "v 3"],
    colors: Float[np.ndarray, "p v 3"],
    labels: Int[np.ndarray, " f"],
    corrections: Float[np.ndarray, "f 3 3"],
    faces: Int[np.ndarray, "f 3"],
) -> Float[np.ndarray, "f 3 3"]:
    """A color for every corner of every triangle, the unseen ones' filled."""
    seen = labels != UNSEEN
    total, count = np.zeros((len(rest), 3)), np.zeros(len(rest))
    own = add_corrections(colors[labels[seen, None], faces[seen]], corrections[seen])
    np.add.at(total, faces[seen], own)
    np.add.at(count, faces[seen], 1)
    known = total / np.maximum(count, 1)[:, None]
    return fill_unseen(rest.double().numpy(), known, count > 0, faces)[faces]


def _texels(mesh: Textured, size: int) -> tuple[Int[np.ndarray, "h w"], Float[np.ndarray, "n 3"]]:
    """The triangle of each texel, -1 for none, and the place in it of those that have one, row after row.

    The texture is what a camera sees before which the coordinates lie as a sheet, at a distance of one.
    """
    sheet = torch.cat([mesh.uvs[:, :1], 1 - mesh.uvs[:, 1:], torch.ones(len(mesh.uvs), 1)], 1)
    K = torch.diag(torch.tensor([float(size), float(size), 1.0]))
    drawn = rasterize_mesh(sheet, mesh.face_uvs, Cameras(torch.eye(4)[None], K[None], size, size))
    covered = drawn.covered[0].numpy()
    face = np.where(covered, drawn.face_index[0].numpy(), -1)
    return face, drawn.barycentrics[0].numpy()[covered].astype(np.float64)


def _paint(
    texels: Float[np.ndarray, "n 3"],
    photographs: Sequence[Photograph],
    labels: Int[np.ndarray, " f"],
    corrections: Float[np.ndarray, "f 3 3"],
    faces: Int[Tensor, "f 3"],
    face: Int[np.ndarray, "h w"],
    barycentrics: Float[np.ndarray, "n 3"],
) -> None:
    """Writes the texels of seen triangles in place."""
    of = face.ravel()[face.ravel() >= 0]
    for index, photograph in enumerate(photographs):
        rows = np.flatnonzero(labels[of] == index)
        if not len(rows):
            continue
        corners = photograph.verts[faces[torch.from_numpy(of[rows])]]
        share = barycentrics[rows]
        points = (corners * torch.from_numpy(share).float()[..., None]).sum(1)
        added = np.einsum("nk,nkc->nc", share, corrections[of[rows]])
        texels[rows] = add_corrections(sample(photograph, points).double().numpy(), added)


def _picture(
    texels: Float[np.ndarray, "n 3"], covered: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The texels as a picture, the space between triangles filled with what is nearest, for viewers that blur."""
    linear = np.zeros((*covered.shape, 3))
    linear[covered] = texels
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    srgb = linear_to_srgb(linear[tuple(nearest)].clip(0, 1))
    return np.round(srgb * 255).astype(np.uint8)
