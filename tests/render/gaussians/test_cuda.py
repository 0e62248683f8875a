"""The gsplat adapter: its calls everywhere, by a stand-in; the real thing where there is a card; its errors."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from simulacra.render.gaussians import cuda, rasterize_features, rasterize_gaussians, reference
from simulacra.render.gaussians.record import Mode
from simulacra.render.runtime.errors import MissingExtraError

from . import stand_in_gsplat
from .conftest import FIELDS, INPUTS, Scene, decided_pixels, make_scene

modes = pytest.mark.parametrize("mode", ["classic", "antialiased"])


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in draws on the processor."""
    monkeypatch.setitem(sys.modules, "gsplat", stand_in_gsplat)
    monkeypatch.setattr(cuda, "require_card", lambda device: None)


def test_what_lies_on_no_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", stand_in_gsplat)
    scene = make_scene(0)
    leaves = scene.in_type(torch.float32)
    for there, said in ((False, "torch sees none here"), (True, r"move Gaussians and cameras there")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        with pytest.raises(ValueError, match=rf"this lies on cpu: {said}.*backend='cpu'"):
            rasterize_gaussians(scene.gaussians(leaves), scene.cameras(leaves), backend="cuda")
    cuda.require_card(torch.device("cuda:0"))


def test_missing_gsplat_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    scene = make_scene(0)
    leaves = scene.in_type(torch.float32)
    with pytest.raises(MissingExtraError, match=r"simulacra\[cuda\]"):
        rasterize_gaussians(scene.gaussians(leaves), scene.cameras(leaves), backend="cuda")


@pytest.mark.parametrize("extra", ["median_depth", "weights"])
@pytest.mark.usefixtures("card")
def test_what_gsplat_lacks_is_refused(extra: reference.Extra) -> None:
    scene = make_scene(0)
    leaves = scene.in_type(torch.float32)
    with pytest.raises(ValueError, match=f"cannot measure {extra}"):
        rasterize_gaussians(scene.gaussians(leaves), scene.cameras(leaves), also=[extra], backend="cuda")


@modes
def test_the_adapter_calls_what_it_means(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    """With the stand-in, in float64, images and gradients are the reference's, and nothing of rows that are
    not drawn gets out.
    """
    monkeypatch.setitem(sys.modules, "gsplat", stand_in_gsplat)
    scene = make_scene(7, n=30, degree=1)
    decided = decided_pixels(scene, mode)[..., None]
    results = []
    for module in (reference, cuda):
        leaves = scene.in_type(torch.float64)
        features = torch.linspace(-1, 1, 30 * 5).double().view(1, 30, 5).expand(2, -1, -1)
        result = module.rasterize(
            scene.gaussians(leaves),
            scene.cameras(leaves),
            features,
            torch.arange(5.0).double(),
            leaves["screen_offsets"],
            mode,
            scene.eps2d,
            (),
        )
        loss = (result.features_premul * decided).square().sum() + (result.depth * decided[..., 0]).sum()
        names = [name for name in INPUTS if name not in ("sh", "background")]
        gradients = torch.autograd.grad(loss, [leaves[name] for name in names])
        results.append((result.features_premul * decided, result.alpha * decided[..., 0], *gradients))
    for expected, found in zip(*results):
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)  # an inverse of an inverse


@pytest.mark.usefixtures("card")
def test_no_gaussians_on_cuda() -> None:
    scene = make_scene(0)
    leaves = {name: value.float() for name, value in scene.leaves.items()}
    none = scene.gaussians(leaves)[:0]
    result = rasterize_gaussians(none, scene.cameras(leaves), background=leaves["background"], backend="cuda")
    assert torch.equal(result.rgb_premul, leaves["background"].expand_as(result.rgb_premul))


needs_card = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no NVIDIA card: the gsplat adapter has not run here"
)


def on_both(scene: Scene, mode: Mode, channels: int) -> list[tuple[Tensor, ...]]:
    """Outputs and gradients of the float64 reference and of gsplat."""
    decided = decided_pixels(scene, mode)
    results = []
    for backend, dtype, device in (("reference", torch.float64, "cpu"), ("cuda", torch.float32, "cuda")):
        leaves = {k: v.to(device, dtype).requires_grad_() for k, v in scene.leaves.items()}
        options = {"screen_offsets": leaves["screen_offsets"], "mode": mode, "backend": backend}
        gaussians, cameras = scene.gaussians(leaves), scene.cameras(leaves)
        if channels == 3:
            result = rasterize_gaussians(gaussians, cameras, background=leaves["background"], **options)
            image, names = result.rgb_premul, INPUTS
        else:
            features = leaves["means"].repeat(1, 11)[:, :channels]
            result = rasterize_features(gaussians, features, cameras, **options)
            image, names = result.features_premul, [*FIELDS[:4], "viewmats", "screen_offsets"]
        mask = decided.to(device)
        loss = (image * mask[..., None]).square().sum() + (result.depth * mask).mean()
        loss = loss + (result.alpha * mask).square().sum()
        gradients = torch.autograd.grad(loss, [leaves[name] for name in names])
        outputs = (image * mask[..., None], result.alpha * mask, result.depth * mask)
        results.append(tuple(t.detach().cpu().double() for t in (*outputs, *gradients)))
    return results


@pytest.mark.gpu
@needs_card
@modes
@pytest.mark.parametrize("channels", [1, 3, 7, 32])
def test_cuda_equals_reference(mode: Mode, channels: int) -> None:
    """Tolerances are a few times the cpu backend's: gsplat uses fast exponentials and sums with atomics."""
    pytest.importorskip("gsplat")
    for number, (expected, found) in enumerate(zip(*on_both(make_scene(7), mode, channels))):
        if number < 3:
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        else:
            assert (found - expected).norm() <= 1e-3 * expected.norm() + 1e-5, number
