"""`simulacra warmup`: the one-off work, done when asked for and not in the middle of a reconstruction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from render.camera import Cameras


def warm_up(*, quiet: bool = False) -> None:
    """Bake the body, and compile and cache the kernels.

    Raises:
        AssetError: the body's data are not here.
    """
    console = Console()
    start = time.perf_counter()
    steps = {"body": _body, "Gaussian kernels": _gaussians, "mesh kernels": _mesh}
    for name, step in steps.items():
        begun = time.perf_counter()
        step()
        seconds = time.perf_counter() - begun
        if not quiet or seconds > 2.0:
            console.print(f"{name}: {seconds:.1f} s")
    if not quiet:
        console.print(f"Ready after {time.perf_counter() - start:.1f} s")


def _body() -> None:
    from render.body import load_body

    load_body()


def _gaussians() -> None:
    import torch

    from render.gaussians import Gaussians, rasterize_gaussians

    fields = {
        "means": torch.tensor([[0.0, 0.0, 2.0], [0.1, 0.0, 2.5]]),
        "quats": torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(2, 1),
        "log_scales": torch.full((2, 3), -2.0),
        "logit_opacities": torch.zeros(2),
        "sh": torch.zeros(2, 1, 3),
    }
    gaussians = Gaussians(**{name: value.requires_grad_() for name, value in fields.items()})
    drawn = rasterize_gaussians(gaussians, _camera())
    (drawn.rgb_premul.sum() + drawn.alpha.sum() + drawn.depth.sum()).backward()


def _mesh() -> None:
    import torch

    from render.mesh import rasterize_mesh

    triangle = torch.tensor([[-0.5, -0.5, 2.0], [0.5, -0.5, 2.0], [0.0, 0.5, 2.0]])
    rasterize_mesh(triangle, torch.tensor([[0, 1, 2]]), _camera())


def _camera() -> Cameras:
    import torch

    from render.camera import Cameras

    Ks = torch.tensor([[[32.0, 0.0, 16.0], [0.0, 32.0, 16.0], [0.0, 0.0, 1.0]]])
    return Cameras(torch.eye(4)[None], Ks, 32, 32)
