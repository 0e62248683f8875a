"""A reconstructed person moved by a recorded motion, as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.avatar.pictures import BACKDROP
from simulacra.recon.motion import Motion, retarget
from simulacra.render.body import BodyPose
from simulacra.render.camera import Cameras, look_at
from simulacra.render.image import composite
from simulacra.render.runtime.errors import InputError

FIELD_OF_VIEW = np.radians(30.0)
# Free space around the person's way, as a part of its size.
ROOM = 1.12
# How smoothly a camera goes along with the person: the standard deviation of the mean over time.
FOLLOW_SECONDS = 0.5
# Poses in memory at once.
BATCH = 32


def poses_of(avatar: FinishedAvatar, motion: Motion, fps: float, names: Path | None = None) -> BodyPose:
    """The motion on this person's body, at a rate of pictures a second.

    Args:
        names: a table of the skeleton's joints.

    Raises:
        InputError: a skeleton that is not understood.
    """
    return retarget(motion, avatar.body, avatar.rig.rest, fps=fps if len(motion) > 1 else None, names=names)


def camera_for(avatar: FinishedAvatar, poses: BodyPose, width: int, height: int) -> Cameras:
    """One camera that stands still and sees the whole clip, from in front of the first frame and a little aside."""
    with torch.no_grad():
        some = torch.linspace(0, len(poses.translation) - 1, min(40, len(poses.translation))).long()
        hull = avatar.body.pose(avatar.rig.rest, _rows(poses, some)).verts[:, ::50].flatten(0, 1)
    low, high = hull.amin(0), hull.amax(0)
    center, size = (low + high) / 2, high - low
    tall = float(torch.maximum(size[1], torch.linalg.vector_norm(size[[0, 2]]) * height / width))
    distance = ROOM * tall / 2 / np.tan(FIELD_OF_VIEW / 2) + float(torch.linalg.vector_norm(size[[0, 2]])) / 2
    focal = height / 2 / float(np.tan(FIELD_OF_VIEW / 2))
    return look_at((center + distance * _aside(center))[None], center[None], focal, width, height)


def _aside(like: torch.Tensor) -> torch.Tensor:
    """The direction from the person to the camera: in front, a little aside and above."""
    return torch.nn.functional.normalize(like.new_tensor([0.35, 0.12, 1.0]), dim=0)


def cameras_along(avatar: FinishedAvatar, poses: BodyPose, fps: float, width: int, height: int) -> Cameras:
    """A camera for each pose, that goes along with the person at one distance and height: large figures however far
    they walk. It follows the middle of the body, smoothed, so that steps and nods stay visible.
    """
    middles = torch.cat([_hull(avatar, _rows(poses, rows)) for rows in _batches(len(poses.translation))])
    low, high = middles[:, 0], middles[:, 1]
    size = (high - low).amax(0)
    centers = _smooth((low + high) / 2, FOLLOW_SECONDS * fps)
    # Up and down is for the person to go, not for the camera; and nobody may leave the picture.
    floor, top = low[:, 1].min(), high[:, 1].max()
    centers[:, 1] = (floor + top) / 2
    reach = torch.maximum(high - centers, centers - low).amax(0)
    tall = 2 * float(
        torch.maximum(
            reach[1], torch.linalg.vector_norm(torch.maximum(reach, size / 2)[[0, 2]]) * height / width
        )
    )
    distance = ROOM * tall / 2 / np.tan(FIELD_OF_VIEW / 2) + float(reach[[0, 2]].max())
    eyes = centers + distance * _aside(centers)
    focal = height / 2 / float(np.tan(FIELD_OF_VIEW / 2))
    return look_at(eyes, centers, focal, width, height)


def _hull(avatar: FinishedAvatar, poses: BodyPose) -> Float[torch.Tensor, "b 2 3"]:
    """The lowest and highest corner of the box around the body in each pose."""
    with torch.no_grad():
        verts = avatar.body.pose(avatar.rig.rest, poses).verts[:, ::20]
    return torch.stack([verts.amin(1), verts.amax(1)], 1)


def _batches(count: int) -> list[torch.Tensor]:
    return list(torch.arange(count).split(BATCH))


def _smooth(path: Float[torch.Tensor, "t 3"], sigma: float) -> Float[torch.Tensor, "t 3"]:
    """A Gaussian mean over time, the path continued beyond its ends as it went before."""
    beyond = min(int(4 * sigma) + 1, len(path) - 1)
    longer = np.pad(path.numpy(), ((beyond, beyond), (0, 0)), mode="reflect", reflect_type="odd")
    return torch.from_numpy(gaussian_filter1d(longer, max(sigma, 1e-3), axis=0)[beyond : beyond + len(path)])


def draw_motion(
    avatar: FinishedAvatar, poses: BodyPose, cameras: Cameras
) -> Iterator[Float[np.ndarray, "h w 3"]]:
    """A picture for each pose, on a light backdrop; one in memory at a time.

    Args:
        cameras: one for all poses, or one for each.

    Raises:
        InputError: there is no pose.
    """
    if not len(poses.translation):
        raise InputError("a motion has no frame")
    backdrop = torch.tensor(BACKDROP)
    for index in range(len(poses.translation)):
        figure = avatar.figure(_rows(poses, torch.tensor([index])))
        with torch.no_grad():
            drawn = figure.draw(cameras[index if len(cameras) > 1 else 0])
        yield composite(drawn.rgb_premul[0], drawn.alpha[0], backdrop).clamp(0, 1).numpy()


def _rows(poses: BodyPose, rows: torch.Tensor) -> BodyPose:
    return BodyPose(poses.rotations[rows], poses.translation[rows], poses.expression[rows])
