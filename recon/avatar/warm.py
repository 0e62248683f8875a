"""The first call of every kernel of a training step, ahead of the time when somebody waits for it."""

from __future__ import annotations

import torch

from simulacra.recon.avatar.adam import adam_update
from simulacra.recon.avatar.losses import ColorMatch, Drawing, SurfacePrior, evaluate_losses, gaussian_losses
from simulacra.recon.avatar.settings import LossWeights
from simulacra.recon.avatar.views import TrainingView
from simulacra.recon.perception.ssim import WINDOW
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import GaussianRendering, Gaussians, ScreenStatistics
from simulacra.render.skinning import Influences, skin


def warmup() -> None:
    """Compile the kernels of skinning, losses and Adam, or load them from the cache."""
    points, quats = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 4, requires_grad=True)
    bone = torch.eye(4)[None, :3].requires_grad_()
    turn = torch.tensor([[1.0, 0, 0, 0]], requires_grad=True)
    moved, turned = skin(points, quats, Influences.of_dense(torch.ones(2, 1)), bone, turn)
    side = WINDOW
    alpha = torch.full((1, side, side), 0.7, requires_grad=True)
    color = torch.zeros(1, side, side, 3, requires_grad=True)
    rendering = GaussianRendering(color, alpha, alpha * 2, ScreenStatistics(torch.zeros(1, 2)))
    plane = torch.ones(side, side)
    cameras = Cameras(torch.eye(4)[None], torch.eye(3)[None], side, side)
    view = TrainingView(0, "warmup", cameras, plane[..., None].expand(-1, -1, 3), plane, plane, plane > 0)
    gaussians = Gaussians(moved, turned, torch.zeros(2, 3), torch.zeros(2), torch.zeros(2, 1, 3))
    prior = SurfacePrior(torch.zeros(2, 3), torch.tensor([[1], [0]]), 1.0)
    match = ColorMatch(torch.zeros(3), torch.zeros(3))
    drawn = Drawing(rendering, gaussians, prior, match, torch.zeros(3))
    sum(evaluate_losses(gaussian_losses(LossWeights()), drawn, view).values(), torch.zeros(())).backward()
    values = [torch.zeros(3) for _ in range(4)]
    adam_update(values[0], values[1], values[2], values[3], 0.1, 1)
