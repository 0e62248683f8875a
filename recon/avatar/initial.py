"""The first Gaussians of an avatar: on the fused surface or on the body itself, bound to it, colored by photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.avatar.binding import nearest_faces, sample_body, spacing
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.settings import AvatarConfig
from simulacra.recon.avatar.views import MaskOf
from simulacra.recon.refine import Surface, color_points, surfels
from simulacra.recon.refine.coloring import ALONG
from simulacra.recon.session import Session
from simulacra.render.avatar import Avatar, Binding, bring_to_rest, rig_body, surface_points
from simulacra.render.body.model import BodyModel
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, sh_from_rgb
from simulacra.render.mesh import vertex_normals
from simulacra.render.rotation import quat_to_matrix
from simulacra.render.runtime.errors import CaptureError

# A lining Gaussian takes the color of the first of so many near cover points that look the same way.
LINING_CANDIDATES = 8
# Farther from a single camera's surface than this the body is bare, metres.
UNCOVERED_M = 0.02
# It takes the mean color of so many near points.
UNCOVERED_LIKE = 64
# It lies at least this deep beneath the cover, metres.
LEAST_DEPTH_M = 0.003
# Points scattered over the body lie less evenly than those of a grid: to close, they are larger by this.
SCATTERED_LARGER = 1.57


def avatar_on_surface(person: Person, surface: Surface, settings: AvatarConfig) -> Avatar:
    """Gaussians where the fused surface is, each hung on the body's nearest face.

    Raises:
        CaptureError: most of the surface is far from the body: the fit went elsewhere.
    """
    points, normals = torch.from_numpy(surface.points), torch.from_numpy(surface.normals)
    pose = person.pose_of(surface.frame, None)
    with torch.no_grad():
        verts = person.body.pose(person.body.rest(person.shape), pose).verts[0]
        nearest = nearest_faces(person.body, verts, points, normals)
        kept = nearest.distances < settings.most_standoff_mm / 1000
        if kept.float().mean() < 0.5:
            raise CaptureError(
                "the fitted body is not where the depth images see the person",
                where=f"frame {surface.frame}",
                found=f"{100 * float((~kept).float().mean()):.0f} % of the surface is further than "
                f"{settings.most_standoff_mm:.0f} mm from the body",
                remedy="look at the body overlays of the report; check calibration and depth scale",
            )
        colors, apart = (torch.from_numpy(field)[kept] for field in (surface.colors, surface.spacing))
        world = surfels(points[kept], normals[kept], colors, apart)
        binding = nearest.binding[kept]
        if settings.lining:
            below, inside = lining(person, verts, world, normals[kept], settings)
            world, binding = Gaussians.concatenate([world, below]), Binding.concatenate([binding, inside])
        if person.seen is not None and len(person.seen) == 1:
            rest, on_body = uncovered(person, verts, world, settings)
            world, binding = Gaussians.concatenate([world, rest]), Binding.concatenate([binding, on_body])
        rig = rig_body(person.body, person.shape, binding)
        means, quats = bring_to_rest(rig, pose, world.means, world.quats)
    return Avatar(person.shape, binding, world.replace(means=means, quats=quats))


def uncovered(
    person: Person, verts: Tensor, cover: Gaussians, settings: AvatarConfig
) -> tuple[Gaussians, Binding]:
    """Gaussians on the posed body where a single camera's surface is not: the other side of the person, what is out of
    the picture; in the colors of what was measured nearest.
    """
    binding = sample_body(person.body, verts, settings.count, settings.seed)
    points, own = body_points(person.body, verts, binding)
    apart = spacing(points)
    distance, nearest = cKDTree(cover.means.numpy()).query(points.numpy(), k=min(UNCOVERED_LIKE, len(cover)))
    bare = torch.from_numpy(distance[:, 0] > UNCOVERED_M)
    made = scattered_surfels(points[bare], own[bare], torch.full_like(points[bare], 0.5), apart[bare])
    made = made.replace(sh=cover.sh[torch.from_numpy(nearest)[bare]].mean(1))
    return made, binding[bare]


def lining(
    person: Person, verts: Tensor, cover: Gaussians, normals: Float[Tensor, "n 3"], settings: AvatarConfig
) -> tuple[Gaussians, Binding]:
    """Gaussians on the posed body where it lies beneath the cover, in the colors of what covers them."""
    binding = sample_body(person.body, verts, settings.lining, settings.seed)
    points, own = body_points(person.body, verts, binding)
    _, found = cKDTree(cover.means.numpy()).query(points.numpy(), k=LINING_CANDIDATES)
    near = torch.from_numpy(found)
    alike = (normals[near] * own[:, None]).sum(-1) > 0
    chosen = near.gather(1, alike.float().argmax(1, keepdim=True)).squeeze(1)
    depth = ((cover.means[chosen] - points) * normals[chosen]).sum(-1)
    beneath = alike.any(1) & (depth > LEAST_DEPTH_M) & (depth < settings.most_standoff_mm / 1000)
    apart = spacing(points)[beneath]
    made = scattered_surfels(points[beneath], own[beneath], torch.full_like(points[beneath], 0.5), apart)
    return made.replace(sh=cover.sh[chosen[beneath]]), binding[beneath]


def scattered_surfels(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    colors: Float[Tensor, "n 3"],
    apart: Float[Tensor, " n"],
) -> Gaussians:
    """Surfels for points that lie less evenly than a grid's, so far apart in the mean."""
    return surfels(points, normals, colors, apart * SCATTERED_LARGER)


def body_points(
    body: BodyModel, verts: Float[Tensor, "v 3"], binding: Binding
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Bound points on a posed body and the unit normals there."""
    corner_normals = vertex_normals(verts, body.faces)[body.faces[binding.faces]]
    normals = torch.nn.functional.normalize((corner_normals * binding.barycentrics[..., None]).sum(1), dim=-1)
    return surface_points(body, verts, binding), normals


def avatar_on_body(
    person: Person,
    session: Session,
    mask_of: MaskOf,
    frame: int,
    cameras: Sequence[str],
    settings: AvatarConfig,
) -> Avatar:
    """Gaussians on the body itself, colored by one frame."""
    pose = person.pose_of(frame, None)
    with torch.no_grad():
        verts = person.body.pose(person.body.rest(person.shape), pose).verts[0]
        binding = sample_body(person.body, verts, settings.count, settings.seed)
        points, normals = body_points(person.body, verts, binding)
        apart = spacing(points)
        views = {camera: session.cameras_as_tensors(camera) for camera in cameras}
        even = apart.median().expand(len(apart))
        colors = _take_colors(session, mask_of, frame, views, points, normals, even)
        world = scattered_surfels(points, normals, colors, apart)
        rig = rig_body(person.body, person.shape, binding)
        means, quats = bring_to_rest(rig, pose, world.means, world.quats)
    return Avatar(person.shape, binding, world.replace(means=means, quats=quats))


def _take_colors(
    session: Session,
    mask_of: MaskOf,
    frame: int,
    cameras: Mapping[str, Cameras],
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    apart: Float[Tensor, " n"],
) -> Float[Tensor, "n 3"]:
    """What the photographs of one frame show at surface points so far apart, by those cameras that have a mask."""
    seeing = [c for c in cameras if session.has(frame, c) and mask_of(frame, c) is not None]
    masks = (np.asarray(mask_of(frame, c)) for c in seeing)
    images = (session.image(frame, c) for c in seeing)
    return color_points(points, normals, apart, images, masks, [cameras[c] for c in seeing])[0]


def recolor(
    avatar: Avatar,
    posed: Gaussians,
    session: Session,
    mask_of: MaskOf,
    frame: int,
    cameras: Mapping[str, Cameras],
) -> Avatar:
    """The avatar with colors taken anew from one frame's photographs.

    Args:
        posed: its Gaussians in that frame, on the CPU.
        cameras: as they are now.
    """
    with torch.no_grad():
        # The drawn size says how far apart they were made.
        apart = avatar.gaussians.log_scales[:, 0].exp() / ALONG
        normals = quat_to_matrix(posed.quats)[:, :, 2]
        colors = _take_colors(session, mask_of, frame, cameras, posed.means, normals, apart)
    degree = round(avatar.gaussians.sh.shape[1] ** 0.5) - 1
    return avatar.replace(gaussians=avatar.gaussians.replace(sh=sh_from_rgb(colors, degree)))


def with_harmonics(avatar: Avatar, degree: int) -> Avatar:
    """The avatar whose Gaussians have spherical harmonics of a degree, the further ones zero."""
    sh = avatar.gaussians.sh
    more = sh.new_zeros(len(sh), (degree + 1) ** 2 - sh.shape[1], 3)
    return avatar.replace(gaussians=avatar.gaussians.replace(sh=torch.cat([sh, more], 1)))
