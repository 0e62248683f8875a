"""A reconstructed person moved by a recorded motion, as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from recon.finished import FinishedAvatar
from recon.motion import load_bvh, retarget
from recon.pictures import BACKDROP
from render.body import BodyPose
from render.camera import Cameras, look_at
from render.errors import InputError
from render.gaussians import rasterize_gaussians
from render.image import composite

FIELD_OF_VIEW = np.radians(30.0)
# Free space around the person's way, as a part of its size.
ROOM = 1.12


def poses_of(avatar: FinishedAvatar, motion: Path, fps: float) -> BodyPose:
    """The motion on this person's body, at a rate of pictures a second.

    Raises:
        InputError: not a BVH file, or a skeleton of unknown names.
    """
    recorded = load_bvh(motion)
    return retarget(recorded, avatar.body, avatar.rig.rest, fps=fps if len(recorded) > 1 else None)


def camera_for(avatar: FinishedAvatar, poses: BodyPose, width: int, height: int) -> Cameras:
    """One camera that stands still and sees the whole clip, from in front of the first frame and a little aside."""
    with torch.no_grad():
        some = torch.linspace(0, len(poses.translation) - 1, min(40, len(poses.translation))).long()
        hull = avatar.body.pose(avatar.rig.rest, _rows(poses, some)).verts[:, ::50].flatten(0, 1)
    low, high = hull.amin(0), hull.amax(0)
    center, size = (low + high) / 2, high - low
    tall = float(torch.maximum(size[1], torch.linalg.vector_norm(size[[0, 2]]) * height / width))
    distance = ROOM * tall / 2 / np.tan(FIELD_OF_VIEW / 2) + float(torch.linalg.vector_norm(size[[0, 2]])) / 2
    direction = torch.nn.functional.normalize(center.new_tensor([0.35, 0.12, 1.0]), dim=0)
    focal = height / 2 / float(np.tan(FIELD_OF_VIEW / 2))
    return look_at((center + distance * direction)[None], center[None], focal, width, height)


def draw_motion(
    avatar: FinishedAvatar, poses: BodyPose, camera: Cameras
) -> Iterator[Float[np.ndarray, "h w 3"]]:
    """A picture for each pose, on a light backdrop; one in memory at a time.

    Raises:
        InputError: there is no pose.
    """
    if not len(poses.translation):
        raise InputError("a motion has no frame")
    backdrop = torch.tensor(BACKDROP)
    for index in range(len(poses.translation)):
        gaussians = avatar.posed(_rows(poses, torch.tensor([index])))
        with torch.no_grad():
            drawn = rasterize_gaussians(gaussians, camera)
        yield composite(drawn.rgb_premul[0], drawn.alpha[0], backdrop).clamp(0, 1).numpy()


def _rows(poses: BodyPose, rows: torch.Tensor) -> BodyPose:
    return BodyPose(poses.rotations[rows], poses.translation[rows], poses.expression[rows])
