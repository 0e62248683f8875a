"""Median and expected depth, weights on the screen, and the antialiased mode: known answers."""

from __future__ import annotations

import math

import pytest
import torch

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, expected_depth, rasterize_gaussians
from simulacra.render.gaussians.record import FIELDS

from .conftest import make_scene
from .test_rasterize import balls, camera

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


def logits(*opacities: float) -> torch.Tensor:
    return torch.logit(torch.tensor(opacities))


@backends
@pytest.mark.parametrize(
    ("opacities", "depth"),
    [((0.6, 0.6, 0.6), 2.0), ((0.3, 0.6, 0.6), 3.0), ((0.3, 0.2, 0.6), 4.0), ((0.1, 0.1, 0.1), 0.0)],
)
def test_median_depth_is_where_half_the_light_is_gone(
    backend: str, opacities: tuple[float, ...], depth: float
) -> None:
    """Three on a ray, 2, 3 and 4 m away, listed from the far end."""
    gaussians = balls([[0.0, 0.0, 4.0], [0.0, 0.0, 3.0], [0.0, 0.0, 2.0]])
    gaussians = gaussians.replace(logit_opacities=logits(*opacities[::-1]))
    result = rasterize_gaussians(gaussians, camera(1, 1), also=["median_depth"], backend=backend)
    assert result.median_depth is not None
    assert float(result.median_depth) == depth


@backends
def test_median_depth_moves_its_gaussian_and_the_camera(backend: str) -> None:
    gaussians = balls([[0.0, 0.0, 4.0], [0.0, 0.0, 2.0]]).replace(logit_opacities=logits(0.9, 0.3))
    means = gaussians.means.clone().requires_grad_()
    viewmats = torch.eye(4)[None].requires_grad_()
    cameras = Cameras(viewmats, camera(1, 1).Ks, 1, 1)
    result = rasterize_gaussians(
        gaussians.replace(means=means), cameras, also=["median_depth"], backend=backend
    )
    grad_means, grad_view = torch.autograd.grad(result.median_depth.sum(), [means, viewmats])
    assert torch.equal(grad_means, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    expected = torch.zeros(1, 4, 4)
    expected[0, 2] = torch.tensor([0.0, 0.0, 4.0, 1.0])
    assert torch.equal(grad_view, expected)


@backends
def test_nothing_is_measured_unasked(backend: str) -> None:
    result = rasterize_gaussians(balls([[0.0, 0.0, 2.0]]), camera(), backend=backend)
    assert result.median_depth is None
    assert result.screen.total_weights is None
    assert result.screen.largest_weights is None


@backends
def test_weights_of_one_gaussian_are_its_alpha(backend: str) -> None:
    gaussians = balls([[0.02, 0.05, 2.0]], opacity=0.7, radius=0.3)
    result = rasterize_gaussians(gaussians, camera(40, 30), also=["weights"], backend=backend)
    torch.testing.assert_close(result.screen.total_weights[0, 0], result.alpha.sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(result.screen.largest_weights[0, 0], result.alpha.max(), rtol=1e-6, atol=0)


@backends
def test_weights_add_up_to_the_image_and_hidden_gaussians_have_none(backend: str) -> None:
    """Over all Gaussians, weights are what alpha is made of; a wall of alpha 0.999 leaves a thousandth."""
    scene = make_scene(5, width=45, height=37)
    leaves = {name: value.float() for name, value in scene.leaves.items()}
    result = rasterize_gaussians(
        scene.gaussians(leaves), scene.cameras(leaves), also=["weights"], backend=backend
    )
    # Sums of some thousand numbers in float32.
    torch.testing.assert_close(
        result.screen.total_weights.sum(1), result.alpha.sum((1, 2)), rtol=1e-5, atol=1e-3
    )
    hidden = balls([[0.0, 0.0, 2.0], [0.0, 0.0, 1.0]], radius=0.5).replace(
        logit_opacities=torch.tensor([2.0, 20.0])
    )
    shown = rasterize_gaussians(hidden, camera(1, 1), also=["weights"], backend=backend).screen
    assert shown.largest_weights[0, 1] == pytest.approx(0.999)
    assert shown.largest_weights[0, 0] == pytest.approx(0.001 / (1 + math.exp(-2)), rel=1e-3)


@backends
def test_expected_depth(backend: str) -> None:
    """Of Gaussians at 2 m it is 2 m wherever anything is drawn, and 0 elsewhere, with finite gradients."""
    gaussians = balls([[0.0, 0.0, 2.0], [0.1, 0.0, 2.0]], radius=0.02)
    means = gaussians.means.clone().requires_grad_()
    result = rasterize_gaussians(gaussians.replace(means=means), camera(20, 20), backend=backend)
    depth = expected_depth(result)
    drawn = result.alpha > 0
    assert 0 < drawn.sum() < drawn.numel()
    torch.testing.assert_close(depth[drawn], torch.full_like(depth[drawn], 2.0))
    assert not depth[~drawn].any()
    (gradient,) = torch.autograd.grad(depth.sum(), means)
    assert torch.isfinite(gradient).all()
    assert gradient[:, 2].sum() == pytest.approx(float(drawn.sum()), rel=1e-4)  # each pixel moves as they do


@backends
def test_antialiased_light_does_not_depend_on_the_image_size(backend: str) -> None:
    """A ball of 0.4 px at the smallest size: four times the pixels across take sixteen times the alpha.

    15 %: alpha below 1/255 is cut off, which a faint, small footprint loses more of.
    """
    ball = balls([[0.013, 0.021, 2.0]], opacity=0.9, radius=0.08)
    small, large = camera(16, 16, focal_px=10.0), camera(64, 64, focal_px=40.0)
    sums = {
        mode: [
            float(rasterize_gaussians(ball, cameras, mode=mode, backend=backend).alpha.sum())
            for cameras in (small, large)
        ]
        for mode in ("classic", "antialiased")
    }
    assert sums["antialiased"][1] == pytest.approx(16 * sums["antialiased"][0], rel=0.15)
    assert sums["classic"][1] < 8 * sums["classic"][0]  # the control: without it, small images are too bright


@backends
def test_antialiased_points_and_lines_are_not_drawn(backend: str) -> None:
    """What has no area covers nothing; gradients stay finite."""
    gaussians = balls([[0.0, 0.0, 2.0], [0.0, 0.0, 2.0]], opacity=0.9)
    scales = torch.tensor([[-80.0, -80.0, -80.0], [0.0, -80.0, -80.0]])
    leaves = {name: getattr(gaussians.replace(log_scales=scales), name).clone() for name in FIELDS}
    for leaf in leaves.values():
        leaf.requires_grad_()
    result = rasterize_gaussians(Gaussians(**leaves), camera(), mode="antialiased", backend=backend)
    assert not result.alpha.any()
    assert not result.screen.visible.any()
    gradients = torch.autograd.grad(result.rgb_premul.sum(), list(leaves.values()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_unknown_modes_and_extras_are_refused() -> None:
    # Types forbid both; whoever runs without them gets a sentence.
    from simulacra.render.gaussians.rasterize import _check

    with pytest.raises(ValueError, match="no mode 'smooth'; there are classic, antialiased"):
        _check(camera(), "smooth", 0.3, ())
    with pytest.raises(ValueError, match=r"nothing called \['mode'\] can be measured"):
        _check(camera(), "classic", 0.3, ("mode",))
