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
    scales, opacities = torch.full((count, 3), math.log(0.02)), torch.full((count,), -1.0)
    fields = (box, torch.eye(4)[:1].repeat(count, 1), scales, opacities, torch.zeros(count, 1, 3))
    gaussians = Gaussians(*(field.requires_grad_() for field in fields))
    rates = (2e-3, 1e-2, 1e-2, 5e-2, 3e-2)
    optimizer = torch.optim.Adam([{"params": [field], "lr": rate} for field, rate in zip(fields, rates)])
    for _ in range(steps):
        optimizer.zero_grad()
        drawn = rasterize_gaussians(gaussians, cameras[:8])
        loss = (drawn.rgb_premul - photographs[:8]).abs().mean() + (drawn.alpha - masks[:8]).abs().mean()
        loss.backward()
        optimizer.step()
    unseen = rasterize_gaussians(gaussians, cameras[8]).rgb_premul[0].detach().clamp(0, 1)
    write_image(out, torch.cat([photographs[8], unseen], 1).numpy())
    return float(psnr(unseen, photographs[8]))


if __name__ == "__main__":
    print(f"{tyro.cli(main):.1f} dB in a view that the fit never saw")
