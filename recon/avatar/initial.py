"""Makes an avatar: Gaussians on the fused surface or on the body itself, bound, and trained in all frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.avatar.binding import nearest_faces, sample_body, spacing
from simulacra.recon.avatar.optimise import Place, moved_camera
from simulacra.recon.avatar.settings import AvatarConfig, Densification, LearningRates
from simulacra.recon.avatar.training import Recipe, Training
from simulacra.recon.avatar.views import MaskOf
from simulacra.recon.refine import SH_C0, Surface, color_points, surfels
from simulacra.recon.session import Session
from simulacra.render.avatar import Avatar, Binding, Rig, bring_to_rest, drive, rig_body, surface_points
from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyPose, BodyShape
from simulacra.render.gaussians import Gaussians
from simulacra.render.mesh import vertex_normals
from simulacra.render.rotation import quat_to_matrix
from simulacra.render.runtime.errors import CaptureError

# A lining Gaussian takes the color of the first of so many near cover points that look the same way.
LINING_CANDIDATES = 8
# It lies at least this deep beneath the cover, metres.
LEAST_DEPTH_M = 0.003
# Points scattered over the body lie less evenly than those of a grid: to close, they are larger by this (log).
SCATTERED_LARGER = 0.45

# The pose in a frame, or in the frame as one camera recorded it, whose clock may differ.
PoseOf = Callable[[int, str | None], BodyPose]


@dataclass(frozen=True)
class Person:
    """What is known of the person before it has an appearance: body, shape, and the pose in each frame."""

    body: BodyModel
    shape: BodyShape
    pose_of: PoseOf


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
        world = surfels(points[kept], normals[kept], torch.from_numpy(surface.colors)[kept], surface.spacing)
        binding = nearest.binding[kept]
        if settings.lining:
            below, inside = lining(person, verts, world, normals[kept], settings)
            world, binding = Gaussians.concatenate([world, below]), Binding.concatenate([binding, inside])
        rig = rig_body(person.body, person.shape, binding)
        means, quats = bring_to_rest(rig, pose, world.means, world.quats)
    return Avatar(person.shape, binding, world.replace(means=means, quats=quats))


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
    made = surfels(points[beneath], own[beneath], torch.full_like(points[beneath], 0.5), 1.0)
    made = made.replace(
        sh=cover.sh[chosen[beneath]], log_scales=made.log_scales + apart.log()[:, None] + SCATTERED_LARGER
    )
    return made, binding[beneath]


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
) -> tuple[Avatar, float]:
    """Gaussians on the body itself, colored by one frame, and how far apart they are in metres."""
    pose = person.pose_of(frame, None)
    with torch.no_grad():
        verts = person.body.pose(person.body.rest(person.shape), pose).verts[0]
        binding = sample_body(person.body, verts, settings.count, settings.seed)
        points = surface_points(person.body, verts, binding)
        corner_normals = vertex_normals(verts, person.body.faces)[person.body.faces[binding.faces]]
        normals = torch.nn.functional.normalize(
            (corner_normals * binding.barycentrics[..., None]).sum(1), dim=-1
        )
        apart = spacing(points)
        colors = _body_colors(session, mask_of, frame, cameras, points, normals, float(apart.median()))
        world = surfels(points, normals, colors, 1.0)
        world = world.replace(log_scales=world.log_scales + apart.log()[:, None] + SCATTERED_LARGER)
        rig = rig_body(person.body, person.shape, binding)
        means, quats = bring_to_rest(rig, pose, world.means, world.quats)
    return Avatar(person.shape, binding, world.replace(means=means, quats=quats)), float(apart.median())


def _body_colors(
    session: Session,
    mask_of: MaskOf,
    frame: int,
    cameras: Sequence[str],
    points: Tensor,
    normals: Tensor,
    apart: float,
) -> Float[Tensor, "n 3"]:
    seeing = [c for c in cameras if session.has(frame, c) and mask_of(frame, c) is not None]
    masks = [np.asarray(mask_of(frame, c)) for c in seeing]
    images = [session.image(frame, c) for c in seeing]
    views = [session.cameras_as_tensors(c) for c in seeing]
    return color_points(points, normals, apart, images, masks, views)[0]


def placement(person: Person, binding: Binding) -> Place:
    """How the rest Gaussians that descend from a binding's are drawn in a view."""
    whole = rig_body(person.body, person.shape, binding)
    kept: dict[int, tuple[Tensor, Rig, Avatar]] = {}

    def place(gaussians: Gaussians, origins: Int[Tensor, "n"], view: tuple[int, str]) -> Gaussians:
        if 0 not in kept or kept[0][0] is not origins:
            chosen = binding[origins]
            rig = replace(rig_body(person.body, person.shape, chosen), rest=whole.rest)
            kept[0] = (origins, rig, Avatar(person.shape, chosen, gaussians))
        _, rig, avatar = kept[0]
        return drive(avatar.replace(gaussians=gaussians), rig, person.pose_of(*view))

    return place


def avatar_recipe(settings: AvatarConfig) -> Recipe:
    """How an avatar is trained, its cameras standing still."""
    return Recipe(
        steps=settings.steps,
        seed=settings.seed,
        checkpoint_every=settings.checkpoint_every,
        weights=settings.weights,
        rates=settings.rates,
        densify=settings.densify,
        largest=settings.largest_mm / 1000,
        random_background=True,
        match_colors=True,
        refine_cameras=False,
    )


def alignment_recipe(settings: AvatarConfig) -> Recipe:
    """A training for the cameras' sake: the surface hardly moves, so that they have to."""
    still = LearningRates(
        means=1e-5, quats=1e-4, log_scales=1e-3, sh=5e-3, camera_poses=settings.rates.camera_poses
    )
    return replace(
        avatar_recipe(settings),
        steps=settings.align_steps,
        rates=still,
        densify=Densification(),
        refine_cameras=True,
    )


def recolored(
    person: Person,
    avatar: Avatar,
    spacing_m: float,
    session: Session,
    mask_of: MaskOf,
    frame: int,
    cameras: Sequence[str],
    aligned: Training,
) -> Avatar:
    """The avatar with colors taken anew from one frame's photographs, by the corrected cameras."""
    with torch.no_grad():
        posed = drive(
            avatar, rig_body(person.body, person.shape, avatar.binding), person.pose_of(frame, None)
        )
        normals = quat_to_matrix(posed.quats)[:, :, 2]
        seeing = [
            (i, c) for i, c in enumerate(cameras) if session.has(frame, c) and mask_of(frame, c) is not None
        ]
        views = [
            moved_camera(
                session.cameras_as_tensors(c),
                aligned.tensors["turns"][i],
                aligned.tensors["moves"][i],
                aligned.middle,
            )
            for i, c in seeing
        ]
        images, masks = (
            [session.image(frame, c) for _, c in seeing],
            [np.asarray(mask_of(frame, c)) for _, c in seeing],
        )
        colors, _ = color_points(posed.means, normals, spacing_m, images, masks, views)
    return avatar.replace(gaussians=avatar.gaussians.replace(sh=((colors - 0.5) / SH_C0)[:, None]))


def trained_avatar(initial: Avatar, training: Training) -> Avatar:
    """The avatar after training, its binding following the splits and drops."""
    return initial.replace(binding=initial.binding[training.origins], gaussians=training.gaussians)
