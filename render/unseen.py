"""What no camera saw of an avatar, shown as the guess that it is, in gray, or not at all.

Symbols: ``n`` Gaussians or vertices, ``f`` triangles, ``th tw`` rows and columns of a texture, ``c`` cameras, ``h w``
of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.avatar import Avatar
from simulacra.render.gaussians import sh_from_rgb
from simulacra.render.mesh import sample_texture
from simulacra.render.mesh_avatar import MeshAvatar
from simulacra.render.paint import Paint, Pixels

Unseen = Literal["keep", "neutral", "drop"]
"""As it was filled; gray; or left out."""

GRAY = 0.5


def never_seen(avatar: Avatar | MeshAvatar) -> Bool[Tensor, "n"] | None:
    """Which Gaussians or vertices no training view saw; of avatars of earlier versions, which hang where no camera saw
    the body; None where nobody knows.
    """
    if avatar.seen_share is not None:
        return avatar.seen_share == 0
    return None if avatar.seen is None else avatar.seen == 0


def show_unseen(avatar: Avatar, unseen: Unseen) -> Avatar:
    """The avatar with its unseen Gaussians as asked for; where nothing is known of them, as it is.

    Its rig is to be made anew where Gaussians were left out (`rig_body`).
    """
    hidden = never_seen(avatar)
    if unseen == "keep" or hidden is None or not bool(hidden.any()):
        return avatar
    gaussians = avatar.gaussians
    if unseen == "neutral":
        gray = sh_from_rgb(gaussians.sh.new_full((1, 3), GRAY))
        sh = gaussians.sh.clone()
        sh[hidden] = 0
        sh[hidden, :1] = gray
        return avatar.replace(gaussians=gaussians.replace(sh=sh))
    kept = ~hidden
    of_each = {"seen": avatar.seen, "seen_share": avatar.seen_share}
    chosen = {name: None if value is None else value[kept] for name, value in of_each.items()}
    return avatar.replace(binding=avatar.binding[kept], gaussians=gaussians[kept], **chosen)


def seen_triangles(avatar: MeshAvatar) -> Bool[Tensor, "f"] | None:
    """Triangles whose three vertices were seen; None where nobody knows."""
    hidden = never_seen(avatar)
    return None if hidden is None else ~hidden[avatar.mesh.faces].any(1)


def show_unseen_mesh(avatar: MeshAvatar, unseen: Unseen) -> MeshAvatar:
    """The mesh with its unseen triangles gray or left out; its vertices stay, and so does its rig."""
    known = seen_triangles(avatar)
    if unseen == "keep" or known is None or bool(known.all()):
        return avatar
    mesh = avatar.mesh
    if unseen == "neutral":
        gray = gray_texels(mesh.uvs, mesh.face_uvs, known, avatar.paint.size)
        return avatar.replace(paint=GrayedPaint(avatar.paint, gray.float()[..., None]))
    return avatar.replace(mesh=mesh.replace(faces=mesh.faces[known], face_uvs=mesh.face_uvs[known]))


def gray_texels(
    uvs: Float[Tensor, "t 2"], face_uvs: Int[Tensor, "f 3"], known: Bool[Tensor, "f"], size: tuple[int, int]
) -> Bool[Tensor, "th tw"]:
    """Texels of triangles that are not known, but for those that one which is known touches too."""
    return _texels(uvs[face_uvs[~known]], size) & ~_texels(uvs[face_uvs[known]], size)


def _texels(triangles: Float[Tensor, "g 3 2"], size: tuple[int, int]) -> Bool[Tensor, "th tw"]:
    rows, columns = size
    corners = triangles.detach().cpu().double().numpy()
    # Texel (0, 0) has its centre at half a texel; the first row is v = 1.
    places = np.stack([corners[..., 0] * columns - 0.5, (1 - corners[..., 1]) * rows - 0.5], -1)
    touched = np.zeros(size, np.uint8)
    for triangle in np.round(places).astype(np.int32):
        cv2.fillConvexPoly(touched, triangle, 1)
    return torch.from_numpy(touched > 0)


@dataclass(frozen=True)
class GrayedPaint:
    """A paint that is gray in some places; made to be shown, not to be kept in a file.

    Attributes:
        paint: as it was.
        gray: 1 where it is gray, 0 elsewhere, for each texel.
    """

    paint: Paint
    gray: Float[Tensor, "th tw 1"]

    @property
    def size(self) -> tuple[int, int]:
        return self.paint.size

    @property
    def directional(self) -> bool:
        return self.paint.directional

    def tensors(self) -> dict[str, Tensor]:
        """Those of the paint, its picture grayed."""
        named = self.paint.tensors()
        return named | {"texture": torch.where(self.gray > 0, GRAY, named["texture"])}

    def shade(self, pixels: Pixels) -> Float[Tensor, "c h w 3"]:
        share = sample_texture(self.gray, pixels.uvs, mask=pixels.covered, wrap="clamp")
        return self.paint.shade(pixels) * (1 - share) + GRAY * share
