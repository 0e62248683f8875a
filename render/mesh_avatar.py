"""A drivable person as a closed, textured mesh: the light representation beside Gaussians (`render.avatar`).

Symbols: ``n`` vertices, ``f`` triangles, ``c`` cameras, ``h w`` rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.avatar import Avatar, BodyRig
from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyPose, BodyShape
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, sh_from_rgb
from simulacra.render.mesh import (
    antialias,
    face_neighbours,
    face_normals,
    interpolate,
    mip_levels,
    rasterize_mesh,
    sample_texture,
    vertex_normals,
)
from simulacra.render.paint import Paint, Pixels
from simulacra.render.rotation import quat_facing, quat_to_matrix
from simulacra.render.skinned_mesh import SkinnedMesh, pose_oriented

# A Gaussian in a vertex' place is this part of its share of the surface wide, and this flat.
ALONG, THROUGH, OPACITY_LOGIT = 0.75, 0.15, 3.0


@dataclass(frozen=True)
class MeshAvatar:
    """A person's shape and appearance; `pose` gives it a pose.

    Attributes:
        shape: of the body.
        mesh: at rest.
        paint: its colors.
        seen: how many cameras of the capture saw where each vertex hangs on the body. None where nobody knows.
        seen_share: in which share of the training views each vertex was seen, 0..1; what none saw (0) is a guess. None
            where nobody knows.
    """

    shape: BodyShape
    mesh: SkinnedMesh
    paint: Paint
    seen: Int[Tensor, "n"] | None = None
    seen_share: Float[Tensor, "n"] | None = None

    def replace(self, **changes: Any) -> MeshAvatar:
        """The same avatar with some fields exchanged."""
        return replace(self, **changes)

    def rig(self, body: BodyModel) -> BodyRig:
        """What posing needs, computed once."""
        return self.mesh.rig(body, self.shape)

    @cached_property
    def neighbours(self) -> Int[Tensor, "f 3"]:
        """The triangles across each one's edges."""
        return face_neighbours(self.mesh.faces)

    def pose(self, rig: BodyRig, pose: BodyPose) -> MeshFigure:
        """The mesh in the world, in a pose of one frame. Differentiable in vertices and paint."""
        verts, turns = pose_oriented(self.mesh.verts, rig, pose)
        return MeshFigure(self, verts, turns)


@dataclass(frozen=True)
class MeshDrawing:
    """A drawn mesh, over no background; see `render.figure.Rendered`."""

    rgb_premul: Float[Tensor, "c h w 3"]
    alpha: Float[Tensor, "c h w"]
    depth: Float[Tensor, "c h w"]


@dataclass(frozen=True)
class MeshFigure:
    """A mesh avatar in one pose.

    Attributes:
        verts: world, metres.
        turns: how each vertex is turned from its rest, wxyz.
    """

    avatar: MeshAvatar
    verts: Float[Tensor, "n 3"]
    turns: Float[Tensor, "n 4"]

    @property
    def points(self) -> Float[Tensor, "n 3"]:
        """The vertices."""
        return self.verts.detach()

    def draw(self, cameras: Cameras) -> MeshDrawing:
        """Outlines are antialiased, and differentiable in the vertices and the cameras' poses."""
        mesh, paint = self.avatar.mesh, self.avatar.paint
        drawn = rasterize_mesh(self.verts, mesh.faces, cameras)
        uvs = interpolate(mesh.uvs, mesh.face_uvs, drawn)
        levels = mip_levels(mesh.uvs, mesh.face_uvs, self.verts, mesh.faces, cameras, drawn, paint.size)
        towards = None
        if paint.directional:
            towards = interpolate(self._directions(cameras), mesh.faces, drawn)
        covered = drawn.covered
        rgb = paint.shade(Pixels(uvs, levels, covered, towards))
        layers = torch.cat([rgb, covered[..., None].to(rgb.dtype), drawn.depth[..., None]], -1)
        smooth = antialias(layers, self.verts, mesh.faces, cameras, drawn, neighbours=self.avatar.neighbours)
        return MeshDrawing(smooth[..., :3], smooth[..., 3].clamp(0, 1), smooth[..., 4])

    def _directions(self, cameras: Cameras) -> Float[Tensor, "c n 4"]:
        """To each camera in the axes of the rest, and how frontal; no gradient."""
        verts = self.verts.detach()
        sight = torch.nn.functional.normalize(cameras.centers().detach()[:, None] - verts, dim=-1)
        frontal = (sight * vertex_normals(verts, self.avatar.mesh.faces)).sum(-1, keepdim=True)
        back = quat_to_matrix(self.turns.detach()).transpose(-1, -2)
        return torch.cat([(back @ sight[..., None])[..., 0], frontal], -1)


def mesh_gaussians(avatar: MeshAvatar) -> Avatar:
    """The mesh as flat Gaussians, one at each vertex as large as its share of the surface: for whoever draws nothing
    else. Colors that depend on the direction lose that.
    """
    mesh = avatar.mesh
    with torch.no_grad():
        normals = vertex_normals(mesh.verts, mesh.faces)
        area = face_normals(mesh.verts, mesh.faces).norm(dim=-1) / 6
        share = torch.zeros(len(mesh)).index_add(0, mesh.faces.flatten(), area.repeat_interleave(3))
        width = ALONG * share.clamp(min=1e-10).sqrt()
        scales = torch.stack([width, width, THROUGH * width], 1)
        row = torch.empty(len(mesh), dtype=torch.long)
        row[mesh.faces.flatten()] = mesh.face_uvs.flatten()
        texture = avatar.paint.tensors()["texture"]
        rgb = sample_texture(texture, mesh.uvs[row][None, None], wrap="clamp")[0, 0]
        gaussians = Gaussians(
            mesh.verts,
            quat_facing(normals),
            scales.log(),
            mesh.verts.new_full((len(mesh),), OPACITY_LOGIT),
            sh_from_rgb(rgb),
        )
    return Avatar(avatar.shape, mesh.binding, gaussians, avatar.seen, avatar.seen_share)
