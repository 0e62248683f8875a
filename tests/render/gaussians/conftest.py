"""Random scenes for the rasterizer's tests, and which of their pixels two precisions must agree on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import Gaussians, reference
from simulacra.render.gaussians.record import FIELDS, Mode

INPUTS = (*FIELDS, "viewmats", "background", "screen_offsets")


@dataclass(frozen=True)
class Scene:
    """Leaves of one rasterization in float64, by name, and the cameras' constants."""

    leaves: dict[str, Tensor]
    Ks: Tensor
    width: int
    height: int
    eps2d: float = reference.DILATION

    def gaussians(self, leaves: dict[str, Tensor]) -> Gaussians:
        return Gaussians(**{name: leaves[name] for name in FIELDS})

    def cameras(self, leaves: dict[str, Tensor]) -> Cameras:
        return Cameras(leaves["viewmats"], self.Ks.to(leaves["viewmats"]), self.width, self.height)

    def in_type(self, dtype: torch.dtype) -> dict[str, Tensor]:
        return {name: value.to(dtype).requires_grad_() for name, value in self.leaves.items()}


def make_scene(
    seed: int, n: int = 40, width: int = 21, height: int = 18, cameras: int = 2, degree: int = 1
) -> Scene:
    """A cloud about 0.8 m across, 2 to 4 m in front of cameras, of Gaussians from a tenth of a pixel to
    half the image.

    Rounded to float32 values, so that both precisions start from the same numbers. Some Gaussians are
    opaque, some nearly invisible, some behind the cameras.
    """
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g).double()

    means = normal(n, 3) * torch.tensor([0.4, 0.4, 0.8]).double()
    means[: n // 10, 2] += 4.0  # behind
    logits = normal(n) * 2.5
    logits[n // 2 : n // 2 + 2] = 9.0  # reaches the greatest alpha
    eye = torch.tensor([[0.3, 0.2, 3.0], [-1.5, 0.4, 2.0], [1.0, -2.0, 2.5]])[:cameras]
    views = look_at(eye, torch.zeros(cameras, 3), 1.1 * max(width, height), width, height)
    leaves = {
        "means": means,
        "quats": normal(n, 4),
        "log_scales": normal(n, 3) * 0.9 - 2.5,
        "logit_opacities": logits,
        "sh": normal(n, (degree + 1) ** 2, 3) * 0.5,
        "viewmats": views.viewmats.double(),
        "background": torch.rand(3, generator=g).double(),
        "screen_offsets": normal(cameras, n, 2) * 0.1,
    }
    return Scene({k: v.float().double() for k, v in leaves.items()}, views.Ks.double(), width, height)


def decided_pixels(scene: Scene, mode: Mode = "classic") -> Tensor:
    """Pixels ``c h w`` where no threshold and no order is so close that float32 rounding may decide it
    otherwise.

    The rules jump at alpha = 1/255 (by 1/255), where a pixel stops, where alpha is cut at 0.999, where the
    transmittance passes one half, and where two Gaussians of the same depth change places. A float32
    log-alpha is good to about 1e-5 here, so 1e-4 is left around.
    """
    leaves = scene.leaves
    decided = []
    for view, K, offsets in zip(leaves["viewmats"], scene.Ks, leaves["screen_offsets"]):
        screen = reference.project(
            scene.gaussians(leaves), view, K, scene.width, scene.height, mode, scene.eps2d
        )
        screen = replace(screen, means=screen.means + offsets)
        order = reference.depth_order(screen.depths)
        alphas = reference.pixel_alphas(screen, scene.width, scene.height)[:, order]
        y, x = torch.meshgrid(torch.arange(scene.height), torch.arange(scene.width), indexing="ij")
        offset = torch.stack([x, y], -1).reshape(-1, 1, 2) + 0.5 - screen.means[order]
        inverse = torch.linalg.inv(screen.covariances[order])
        log_alpha = screen.opacities[order].log() - 0.5 * torch.einsum(
            "pni,nij,pnj->pn", offset, inverse, offset
        )
        drawn = screen.drawn[order]
        near_threshold = ((log_alpha - torch.tensor(reference.ALPHA_MIN).log()).abs() < 1e-4) & drawn
        near_cut = ((log_alpha - torch.tensor(reference.ALPHA_MAX).log()).abs() < 1e-4) & drawn
        running = torch.cumprod(1 - alphas, dim=1)
        near_stop = ((running / reference.TRANSMITTANCE_MIN).log().abs() < 1e-2) & (alphas > 0)
        near_stop |= ((running / reference.MEDIAN).log().abs() < 1e-4) & (alphas > 0)
        close = (screen.depths[order].diff() < 1e-5) & drawn[1:] & drawn[:-1]
        swapped = (close & (alphas[:, 1:] > 0) & (alphas[:, :-1] > 0)).any(1)
        unclear = (near_threshold | near_cut | near_stop).any(1) | swapped
        decided.append(~unclear.view(scene.height, scene.width))
    return torch.stack(decided)


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """``scene(seed, n=, width=, height=, cameras=, degree=)``."""
    return make_scene


@pytest.fixture
def decided() -> Callable[[Scene], Tensor]:
    """``decided(scene)``: see ``decided_pixels``."""
    return decided_pixels
