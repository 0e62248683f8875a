"""Whether corrections of cameras, found by a first training, are more than that training's own error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.avatar.gaussian_trainee import correct_camera
from simulacra.recon.avatar.training import Training
from simulacra.render.camera import Cameras

# Radians by which corrections turn the sight of the person, root mean square: less is left alone. Of five virtual rigs
# whose calibration is exact it was 1.6e-4 to 3.3e-4, of one that is 0.15 degrees and 2 mm off 2.1e-3, of two real ones
# 1.6e-3.
LEAST_CORRECTION = 6e-4


def correction_angle(aligned: Training, points: Float[Tensor, "n 3"], cameras: Sequence[Cameras]) -> float:
    """How far corrections move points in the views of their cameras: radians, root mean square.

    Args:
        points: of the person, world, metres.
        cameras: as they were before, in the order of the training's, each a batch of one.
    """
    turns, moves, middle = (
        value.cpu() for value in (aligned.tensors["turns"], aligned.tensors["moves"], aligned.state["middle"])
    )
    squares = []
    for camera, turn, move in zip(cameras, turns, moves, strict=True):
        before, _ = camera.project(points)
        after, _ = correct_camera(camera, turn, move, middle).project(points)
        squares.append(((after - before) / camera.Ks[0, 0, 0]).square().sum(-1).mean())
    return float(torch.stack(squares).mean().sqrt())


def without_corrections(aligned: Training) -> Training:
    """The same training with its cameras where the calibration has them; their colors stay matched."""
    still = {name: torch.zeros_like(aligned.tensors[name]) for name in ("turns", "moves")}
    return replace(aligned, tensors={**aligned.tensors, **still})
