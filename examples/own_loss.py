"""A loss of one's own in training: `python examples/own_loss.py RUN SESSION --out OUT`.

The avatar of a finished run is trained anew with one more loss: edges are to be where the photographs have them.
"""

from pathlib import Path

import numpy as np
import torch
import tyro

from simulacra.recon.avatar.losses import Drawing, Loss
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.settings import AvatarConfig
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.avatar.views import TrainingView
from simulacra.recon.fit import load_fit
from simulacra.recon.observe import load_observations
from simulacra.recon.refine import load_surface
from simulacra.recon.session import load_session
from simulacra.render.body import load_body


def edge_loss(drawn: Drawing, view: TrainingView) -> torch.Tensor:
    """Mean absolute difference of the gradients of drawing and photograph, over one background."""
    difference = drawn.rgb - view.over(drawn.background)
    return torch.diff(difference, dim=0).abs().mean() + torch.diff(difference, dim=1).abs().mean()


def main(run: Path, session: Path, out: Path, weight: float = 2.0, steps: int = 100) -> np.ndarray:
    """Returns the weighted edge loss of every step; the avatar is in OUT."""
    fit, surface, own = load_fit(run / "fit"), load_surface(run / "refine"), Loss("edges", weight, edge_loss)
    captured, person = fit.adjusted(load_session(session)), Person(load_body(), fit.shape, fit.pose_of)
    mask_of, frames = load_observations(run / "observe").mask, fit.frames.tolist()
    settings = AvatarConfig(steps=steps, align_steps=0, longest_side=256)
    train_avatar(out, captured, person, surface, mask_of, frames, fit.cameras, settings, losses=[own])
    with np.load(out / "losses.npz") as losses:
        return losses["edges"]


if __name__ == "__main__":
    print("edges cost {:.4f} in the first step, {:.4f} in the last".format(*tyro.cli(main)[[0, -1]]))
