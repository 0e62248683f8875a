"""Fit Gaussians to eight photographs by gradient descent: `python examples/fit_gaussians.py --out fitted.png`.

The photographs are of a painted body and drawn on the spot. A ninth, which the fit never sees, judges it.
"""

import math
from pathlib import Path

import torch
import tyro

from simulacra.recon.perception.psnr import psnr
from simulacra.render.body import load_body
from simulacra.render.camera import look_at
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from simulacra.render.image import write_image
from simulacra.render.mesh import shade


def main(out: Path = Path("fitted.png"), steps: int = 200, count: int = 4000, size: int = 192) -> float:
    """Returns decibels in the ninth view, and draws it: photograph on the left, fit on the right."""
    torch.manual_seed(0)
    body = load_body()
    verts = body.pose(body.rest(body.neutral_shape()), body.zero_pose()).verts[0]
    angles = torch.arange(9) * (2 * math.pi / 9)
    eyes = torch.stack([2.4 * angles.sin(), torch.full((9,), 1.2), 2.4 * angles.cos()], -1)
    cameras = look_at(eyes, torch.tensor([[0.0, 0.86, 0.0]]).expand(9, 3), 1.2 * size, size, size)
    photographs, masks = shade(verts, body.faces, cameras, rgb=0.5 + 0.4 * torch.sin(9 * verts))
    box = (torch.rand(count, 3) - 0.5) * torch.tensor([1.0, 1.8, 0.5]) + torch.tensor([0.0, 0.9, 0.0])
    fields = {  # of the Gaussians at the start, each with its learning rate
        "means": (box, 2e-3),
        "quats": (torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1), 1e-2),
        "log_scales": (torch.full((count, 3), math.log(0.02)), 1e-2),
        "logit_opacities": (torch.full((count,), -1.0), 5e-2),
        "sh": (torch.zeros(count, 1, 3), 3e-2),
    }
    gaussians = Gaussians(**{name: value.requires_grad_() for name, (value, _) in fields.items()})
    optimizer = torch.optim.Adam([{"params": [value], "lr": rate} for value, rate in fields.values()])
    for _ in range(steps):
        drawn = rasterize_gaussians(gaussians, cameras[:8])
        loss = (drawn.rgb_premul - photographs[:8]).abs().mean() + (drawn.alpha - masks[:8]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = rasterize_gaussians(gaussians, cameras[8]).rgb_premul[0].detach().clamp(0, 1)
    write_image(out, torch.cat([photographs[8], unseen], 1).numpy())
    return float(psnr(unseen, photographs[8]))


if __name__ == "__main__":
    print(f"{tyro.cli(main):.1f} dB in a view that the fit never saw")
