"""A body-bound avatar for benchmarks: the mean person, Gaussians of random color on the skin, waving arms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simulacra.recon.avatar.binding import sample_body, spacing
from simulacra.recon.avatar.initial import body_points
from simulacra.recon.avatar.views import TrainingView
from simulacra.recon.refine import surfels
from simulacra.render.avatar import Avatar, BodyRig, bring_to_rest, drive, rig_body
from simulacra.render.body import BodyPose, load_body
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import rasterize_gaussians

from .scene import camera

ARMS = ("upperarm01.L", "upperarm01.R")
SWING = 0.6  # radians


@dataclass(frozen=True)
class AvatarScene:
    """An avatar, what drives it, and a camera that sees all of it."""

    avatar: Avatar
    rig: BodyRig
    cameras: Cameras

    def pose(self, frame: int) -> BodyPose:
        """Arms that swing, 60 frames a turn."""
        body = self.rig.body
        rest = body.zero_pose()
        rotations = rest.rotations.clone()
        for side, name in zip((1.0, -1.0), ARMS):
            rotations[0, body.bone_names.index(name), 2] = side * SWING * math.sin(frame * math.tau / 60)
        return replace(rest, rotations=rotations)


def avatar_scene(count: int, size: int) -> AvatarScene:
    """So many Gaussians scattered over the skin, and a square image of ``size`` pixels."""
    body = load_body()
    shape, pose = body.neutral_shape(), body.zero_pose()
    verts = body.pose(body.rest(shape), pose).verts[0]
    binding = sample_body(body, verts, count, seed=0)
    points, normals = body_points(body, verts, binding)
    colors = torch.rand(count, 3, generator=torch.Generator().manual_seed(0))
    world = surfels(points, normals, colors, spacing(points).median().expand(count))
    rig = rig_body(body, shape, binding)
    means, quats = bring_to_rest(rig, pose, world.means, world.quats)
    return AvatarScene(Avatar(shape, binding, world.replace(means=means, quats=quats)), rig, camera(size))


def photograph(scene: AvatarScene) -> TrainingView:
    """The avatar as it would be seen with other colors: what a training step is asked to reproduce."""
    seed = torch.Generator().manual_seed(1)
    gaussians = scene.avatar.gaussians
    other = gaussians.replace(sh=gaussians.sh + 0.3 * torch.randn(gaussians.sh.shape, generator=seed))
    with torch.no_grad():
        drawn = rasterize_gaussians(
            drive(scene.avatar.replace(gaussians=other), scene.rig, scene.pose(0)), scene.cameras
        )
    alpha: Tensor = drawn.alpha[0]
    depth = torch.where(alpha > 0.5, drawn.depth[0] / alpha.clamp(min=0.5), 0)
    return TrainingView(0, "camera", scene.cameras, drawn.rgb_premul[0].clamp(0, 1), alpha, depth, depth > 0)
