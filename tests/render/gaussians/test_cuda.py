"""The gsplat adapter: against the reference where there is a card, and its error where gsplat is missing."""

from __future__ import annotations

import sys

import pytest
import torch

from render.errors import MissingExtraError
from render.gaussians import rasterize_gaussians

from .conftest import FIELDS, decided_pixels, make_scene


def test_missing_gsplat_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    scene = make_scene(0)
    leaves = scene.in_type(torch.float32)
    with pytest.raises(MissingExtraError, match=r"simulacra\[cuda\]"):
        rasterize_gaussians(scene.gaussians(leaves), scene.cameras(leaves), backend="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no NVIDIA card: the gsplat adapter has not run here"
)
def test_cuda_equals_reference() -> None:
    pytest.importorskip("gsplat")
    scene = make_scene(7)
    decided = decided_pixels(scene)
    outputs, gradients = {}, {}
    for backend, dtype, device in (("reference", torch.float64, "cpu"), ("cuda", torch.float32, "cuda")):
        leaves = {k: v.to(device, dtype).requires_grad_() for k, v in scene.leaves.items()}
        result = rasterize_gaussians(
            scene.gaussians(leaves),
            scene.cameras(leaves),
            background=leaves["background"],
            screen_offsets=leaves["screen_offsets"],
            backend=backend,
        )
        outputs[backend] = result.rgb_premul.detach().cpu().double() * decided[..., None]
        loss = (result.rgb_premul * decided[..., None].to(device)).square().sum() + result.depth.mean()
        grads = torch.autograd.grad(loss, [leaves[name] for name in FIELDS])
        gradients[backend] = [g.cpu().double() for g in grads]
    torch.testing.assert_close(outputs["cuda"], outputs["reference"], rtol=1e-4, atol=1e-4)
    for name, found, expected in zip(FIELDS, gradients["cuda"], gradients["reference"]):
        assert (found - expected).norm() <= 1e-3 * expected.norm() + 1e-5, name
