"""A loss of one's own in training: `python examples/own_loss.py RUN SESSION --out edges.png`.

An avatar is trained on, so that edges in its pictures are where the photographs have them: a mean over colors hardly
feels them.
"""

from pathlib import Path

import torch
import tyro

from simulacra.recon.avatar.finished import open_avatar
from simulacra.recon.session import load_session
from simulacra.render.avatar import drive
from simulacra.render.gaussians import rasterize_gaussians
from simulacra.render.image import write_image


def edge_loss(drawn: torch.Tensor, photograph: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the gradients of two pictures, ``h w 3``."""
    across, down = (torch.diff(drawn - photograph, dim=axis).abs().mean() for axis in (1, 0))
    return across + down


def main(run: Path, session: Path, out: Path = Path("edges.png"), rounds: int = 20) -> list[float]:
    """Returns the loss of every round over the cameras, and draws the last one: photograph and avatar."""
    finished, captured = open_avatar(run), load_session(session)
    frame, rest = int(finished.fit.frames[0]), finished.avatar.gaussians
    sh, means = rest.sh.clone().requires_grad_(), rest.means.clone().requires_grad_()
    optimizer = torch.optim.Adam([{"params": [sh], "lr": 1e-2}, {"params": [means], "lr": 1e-4}])
    losses = []
    for _ in range(rounds):
        losses.append(0.0)
        for name in finished.fit.cameras:
            photograph = torch.from_numpy(captured.image(frame, name) * captured.mask(frame, name)[..., None])
            avatar = finished.avatar.replace(gaussians=rest.replace(sh=sh, means=means))
            posed = drive(avatar, finished.rig, finished.fit.pose_of(frame, name))
            drawn = rasterize_gaussians(posed, captured.cameras_as_tensors(name)).rgb_premul[0]
            loss = edge_loss(drawn, photograph)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1] += float(loss.detach()) / len(finished.fit.cameras)
    write_image(out, torch.cat([photograph, drawn.detach()], 1).numpy())
    return losses


if __name__ == "__main__":
    first, *_, last = tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
    print(f"edges: {first:.4f} in the first round, {last:.4f} in the last")
