"""A small capture drawn from a known avatar of the body: three cameras, two frames, masks."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simulacra.recon.fit import BodyFit
from simulacra.recon.session import Frame, Session, SessionCamera, Source, describe_session, load_session
from simulacra.render.avatar import Avatar, Binding, drive, rig_body, surface_points
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians
from simulacra.render.image import write_image

SIZE = 96
FRAMES = (0, 1)
NAMES = ("a", "b", "c")


def planted_avatar(body: BodyModel) -> Avatar:
    """Colored balls on the skin of the neutral body."""
    generator = torch.Generator().manual_seed(0)
    count = 1500
    faces = torch.randint(0, len(body.faces), (count,), generator=generator)
    binding = Binding(faces, torch.full((count, 3), 1 / 3))
    shape = body.neutral_shape()
    means = surface_points(body, body.rest(shape).verts, binding)
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    gaussians = Gaussians(
        means=means,
        quats=quats,
        log_scales=torch.full((count, 3), math.log(0.03)),
        logit_opacities=torch.full((count,), 3.0),
        sh=torch.randn(count, 1, 3, generator=generator),
    )
    return Avatar(shape, binding, gaussians)


def planted_fit(body: BodyModel, avatar: Avatar, shift: float = 0.15, turn: float = 0.5) -> BodyFit:
    """Standing, then moved by `shift` metres to the left and turned about the vertical by `turn` radians."""
    bones = len(body.bone_names)
    rotations = torch.zeros(2, bones, 3)
    rotations[1, 0, 1] = turn
    translation = torch.tensor([[0.0, 0.0, 0.0], [shift, 0.0, 0.0]])
    pose = BodyPose(rotations, translation, torch.zeros(2, len(body.expression_names)))
    return BodyFit(
        shape=avatar.shape,
        pose=pose,
        frames=np.array(FRAMES),
        cameras=("a", "b"),
        time_offsets=np.zeros(2),
        bias=np.zeros((33, 3)),
        residual_px=np.full((2, 2, 33), 4.0),
        confidence=np.ones((2, 2, 33)),
        summary={},
    )


def views() -> Cameras:
    angles = torch.tensor([0.0, 1.0, 2.5])
    eye = torch.stack([3.5 * angles.sin(), torch.full((3,), 1.0), 3.5 * angles.cos()], -1)
    return look_at(eye, torch.tensor([[0.0, 0.9, 0.0]]).expand(3, 3), 150.0, SIZE, SIZE)


def draw(body: BodyModel, avatar: Avatar, fit: BodyFit, frame: int, camera: Cameras) -> tuple[Tensor, Tensor]:
    rig = rig_body(body, avatar.shape, avatar.binding)
    drawn = rasterize_gaussians(drive(avatar, rig, fit.pose_of(frame)), camera, eps2d=OUTLINE_EPS2D)
    return drawn.rgb_premul[0].clamp(0, 1), drawn.alpha[0]


def planted_session(root: Path, body: BodyModel, avatar: Avatar) -> Session:
    """Writes what the cameras see of the avatar in its planted poses."""
    fit, cameras = planted_fit(body, avatar), views()
    for frame in FRAMES:
        for index, name in enumerate(NAMES):
            rgb, alpha = draw(body, avatar, fit, frame, cameras[index])
            write_image(root / "images" / name / f"{frame:06d}.png", rgb.numpy())
            write_image(root / "masks" / name / f"{frame:06d}.png", (alpha > 0.5).float().numpy())
    described = [
        SessionCamera(name, SIZE, SIZE, cameras.Ks[i].double().numpy(), cameras.viewmats[i].double().numpy())
        for i, name in enumerate(NAMES)
    ]
    frames = [Frame(f, {n: Source(f"images/{n}/{f:06d}.png") for n in NAMES}) for f in FRAMES]
    (root / "session.json").write_text(
        describe_session(described, frames, notes=[], about={"subject": "S01"})
    )
    return load_session(root)
