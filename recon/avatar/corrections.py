"""What a training finds about each camera: a gain and a shift of its colors, a turn and a move of its pose.

The pose is corrected by a small rigid motion of the world about the person's middle. Over the cameras each correction
has a mean of zero: colors and the world stay where they are for the cameras that are held out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.avatar.training import Training
from simulacra.render.camera import Cameras
from simulacra.render.rotation import axis_angle_to_matrix, rigid

OF_COLORS = ("gains", "shifts")
OF_POSES = ("turns", "moves")
OF_CAMERAS = OF_COLORS + OF_POSES
# Radians by which corrections turn the sight of the person, root mean square: less is left alone. Of five virtual rigs
# whose calibration is exact it was 1.6e-4 to 3.3e-4 (0.2 to 0.3 pixels of 1024; coarser pictures err by more), of one
# that is 0.15 degrees and 2 mm off 2.1e-3, of two real ones 1.6e-3.
LEAST_CORRECTION = 6e-4


def camera_rates(colors: float, poses: float) -> dict[str, float]:
    """Adam's step sizes of what is found about cameras, by tensor."""
    return dict.fromkeys(OF_COLORS, colors) | dict.fromkeys(OF_POSES, poses)


def hold_means(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a training with a mean of zero over the cameras in those that are of cameras."""
    return tensors | {name: tensors[name] - tensors[name].mean(0) for name in OF_CAMERAS}


def correct_camera(
    cameras: Cameras, turn: Float[Tensor, "3"], move: Float[Tensor, "3"], middle: Float[Tensor, "3"]
) -> Cameras:
    """A camera whose calibration is corrected by a small rigid motion of the world about a point of it.

    Args:
        turn: axis-angle, radians.
        move: metres.
        middle: the point, world.
    """
    rotation = axis_angle_to_matrix(turn)
    correction = rigid(rotation, middle - rotation @ middle + move)
    return replace(cameras, viewmats=cameras.viewmats @ correction)


def corrected_camera(training: Training, row: int, camera: Cameras) -> Cameras:
    """A camera on the CPU as a training has it.

    Args:
        row: of the camera among the training's.
    """
    turn, move = (training.tensors[name][row].cpu() for name in OF_POSES)
    return correct_camera(camera, turn, move, training.state["middle"].cpu())


def camera_of(training: Training, names: Sequence[str]) -> Callable[[str, Cameras], Cameras]:
    """What gives a camera, by its name, as a training has it.

    Args:
        names: of the training's cameras, in their order.
    """
    return lambda name, camera: corrected_camera(training, list(names).index(name), camera)


def correction_angle(aligned: Training, points: Float[Tensor, "n 3"], cameras: Sequence[Cameras]) -> float:
    """How far corrections move points in the views of their cameras: radians, root mean square.

    Args:
        points: of the person, world, metres.
        cameras: as they were before, in the order of the training's, each a batch of one.
    """
    squares = []
    for row, camera in enumerate(cameras):
        before, _ = camera.project(points)
        after, _ = corrected_camera(aligned, row, camera).project(points)
        squares.append(((after - before) / camera.Ks[0, 0, 0]).square().sum(-1).mean())
    return float(torch.stack(squares).mean().sqrt())


def without_corrections(aligned: Training) -> Training:
    """The same training with its cameras where the calibration has them; their colors stay matched."""
    still = {name: torch.zeros_like(aligned.tensors[name]) for name in OF_POSES}
    return replace(aligned, tensors={**aligned.tensors, **still})
