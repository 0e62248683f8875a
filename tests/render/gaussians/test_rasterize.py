"""Known answers and rules of drawing, held by both backends."""

from __future__ import annotations

import math

import pytest
import torch

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, rasterize_gaussians, reference, sh_from_rgb
from simulacra.render.gaussians.record import FIELDS

from .conftest import make_scene

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


def camera(width: int = 8, height: int = 6, focal_px: float = 10.0) -> Cameras:
    """In the origin, looking along +Z, principal point in the middle."""
    K = torch.tensor([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
    return Cameras(torch.eye(4)[None], K[None], width, height)


def balls(
    means: list[list[float]], opacity: float = 0.5, radius: float = 1e-6, rgb: float = 1.0
) -> Gaussians:
    n = len(means)
    return Gaussians(
        torch.tensor(means).reshape(n, 3),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(n, 1),
        torch.full((n, 3), math.log(radius)),
        torch.full((n,), math.log(opacity / (1 - opacity))),
        sh_from_rgb(torch.full((n, 3), rgb)),
    )


@backends
@pytest.mark.parametrize("eps2d", [reference.DILATION, 0.1, 2.0])
def test_one_pixel_gaussian_lights_the_first_pixel(backend: str, eps2d: float) -> None:
    """Projected to (0.5, 0.5), a point is the dilation alone: exp(-d^2 / (2 eps2d)) around the centre of
    pixel [0, 0].
    """
    cameras = camera()
    mean = [(0.5 - 4.0) / 10.0, (0.5 - 3.0) / 10.0, 1.0]
    alpha = rasterize_gaussians(balls([mean], opacity=0.8), cameras, eps2d=eps2d, backend=backend).alpha[0]
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    expected = 0.8 * torch.exp(-0.5 * (rows**2 + columns**2) / eps2d)
    expected[expected < reference.ALPHA_MIN] = 0
    torch.testing.assert_close(alpha, expected, rtol=1e-5, atol=1e-6)
    assert alpha.argmax() == 0


@backends
def test_nearer_gaussian_covers_the_farther(backend: str) -> None:
    """Two on one ray: w1 = a, w2 = (1 - a) a; order by depth, not by index; depth is their weighted z."""
    gaussians = balls([[0.0, 0.0, 4.0], [0.0, 0.0, 2.0]], opacity=0.6).replace(
        sh=sh_from_rgb(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    )
    result = rasterize_gaussians(gaussians, camera(1, 1), backend=backend)
    torch.testing.assert_close(result.rgb_premul[0, 0, 0], torch.tensor([0.6, 0.24, 0.0]))
    torch.testing.assert_close(result.alpha[0, 0, 0], torch.tensor(0.84))
    torch.testing.assert_close(result.depth[0, 0, 0], torch.tensor(0.6 * 2 + 0.24 * 4))


@backends
def test_equal_depth_is_drawn_in_order_of_index(backend: str) -> None:
    colors = torch.eye(3)
    gaussians = balls([[0.0, 0.0, 2.0]] * 3, opacity=0.5).replace(sh=sh_from_rgb(colors))
    result = rasterize_gaussians(gaussians, camera(1, 1), backend=backend)
    torch.testing.assert_close(result.rgb_premul[0, 0, 0], torch.tensor([0.5, 0.25, 0.125]))


@backends
def test_opacity_is_cut_and_pixels_stop(backend: str) -> None:
    """alpha stops at 0.999; the second Gaussian would leave 1e-6 < 1e-4, so it is not drawn at all."""
    gaussians = balls([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]], opacity=0.9999999)
    result = rasterize_gaussians(gaussians, camera(1, 1), backend=backend)
    torch.testing.assert_close(result.alpha[0, 0, 0], torch.tensor(reference.ALPHA_MAX))


@backends
def test_near_plane_and_behind(backend: str) -> None:
    depths = [-3.0, 0.0, 0.5 * reference.NEAR, 2 * reference.NEAR]
    for z in depths:
        result = rasterize_gaussians(balls([[0.0, 0.0, z]]), camera(1, 1), backend=backend)
        drawn = z > reference.NEAR
        assert bool(result.alpha.sum() > 0) == drawn
        assert bool(result.screen.visible[0]) == drawn


@backends
def test_no_gaussians_leave_the_background(backend: str) -> None:
    none = balls([[0.0, 0.0, 1.0]])[:0]
    background = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    result = rasterize_gaussians(none, camera(5, 3), background=background, backend=backend)
    assert torch.equal(result.rgb_premul.detach(), background.detach().expand(1, 3, 5, 3))
    assert not result.alpha.any()
    assert not result.depth.any()
    assert result.screen.radii.shape == (1, 0)
    result.rgb_premul.sum().backward()
    assert torch.equal(background.grad, torch.full((3,), 15.0))


@backends
@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (17, 1), (1, 33), (31, 15)])
def test_huge_gaussian_fills_any_image(backend: str, width: int, height: int) -> None:
    """100 m wide at 2 m: the same alpha in every pixel, of any image size; gradients are finite."""
    gaussians = balls([[0.0, 0.0, 2.0]], opacity=0.7, radius=100.0)
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in FIELDS}
    result = rasterize_gaussians(Gaussians(**leaves), camera(width, height), backend=backend)
    torch.testing.assert_close(result.alpha, torch.full((1, height, width), 0.7), rtol=1e-3, atol=0)
    result.alpha.sum().backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves.values() if leaf.grad is not None)


@backends
def test_far_outside_and_overflowing_gaussians_do_no_harm(backend: str) -> None:
    """Beside the image by kilometres, at the near plane, of enormous or vanishing size: finite, and drawn
    nowhere else.
    """
    means = [[1e6, 0.0, 1.0], [0.0, -1e6, 0.011], [3.0, 0.0, 0.02], [0.0, 0.0, 1e8], [0.0, 0.0, 2.0]]
    gaussians = balls(means).replace(
        log_scales=torch.tensor([-40.0, -5.0, -9.0, 0.0, 60.0])[:, None].repeat(1, 3)
    )
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in FIELDS}
    result = rasterize_gaussians(Gaussians(**leaves), camera(9, 9), backend=backend)
    assert (result.screen.radii > 0).tolist() == [[False, False, False, True, False]]
    assert torch.isfinite(result.rgb_premul).all()
    (result.rgb_premul.sum() + result.alpha.sum()).backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves.values() if leaf.grad is not None)


@backends
def test_background_is_laid_behind(backend: str) -> None:
    scene = make_scene(5)
    leaves = {name: value.float() for name, value in scene.leaves.items()}
    gaussians, cameras = scene.gaussians(leaves), scene.cameras(leaves)
    plain = rasterize_gaussians(gaussians, cameras, backend=backend)
    over = rasterize_gaussians(gaussians, cameras, background=leaves["background"], backend=backend)
    expected = plain.rgb_premul + (1 - plain.alpha)[..., None] * leaves["background"]
    torch.testing.assert_close(over.rgb_premul, expected)
    assert torch.equal(over.alpha, plain.alpha)


@backends
def test_cameras_of_a_batch_are_independent(backend: str) -> None:
    scene = make_scene(6, cameras=3, degree=2)
    leaves = {name: value.float() for name, value in scene.leaves.items()}
    gaussians, cameras = scene.gaussians(leaves), scene.cameras(leaves)
    together = rasterize_gaussians(gaussians, cameras, backend=backend)
    for i in range(3):
        alone = rasterize_gaussians(gaussians, cameras[i], backend=backend)
        # Not bit for bit: colors of one or three cameras come from products of different shapes.
        torch.testing.assert_close(alone.rgb_premul[0], together.rgb_premul[i])
        assert torch.equal(alone.alpha[0], together.alpha[i])


@backends
def test_radii_bound_what_is_seen(backend: str) -> None:
    """No pixel farther from the centre than the radius, in x or y, is touched; one just inside is."""
    cameras = camera(64, 64, focal_px=64.0)
    result = rasterize_gaussians(balls([[0.0, 0.0, 2.0]], opacity=0.9, radius=0.2), cameras, backend=backend)
    radius = float(result.screen.radii[0, 0])
    variance = (0.2 * 64 / 2) ** 2 + reference.DILATION
    assert radius == pytest.approx(math.sqrt(2 * math.log(0.9 * 255) * variance), rel=1e-5)
    touched = (result.alpha[0] > 0).nonzero() + 0.5 - 32.0
    assert touched.abs().max() <= radius < touched.abs().max() + 1


@backends
@pytest.mark.parametrize("eps2d", [0.0, -0.1, float("nan"), float("inf")])
def test_no_dilation_is_refused(backend: str, eps2d: float) -> None:
    with pytest.raises(ValueError, match="eps2d is more than 0"):
        rasterize_gaussians(balls([[0.0, 0.0, 2.0]]), camera(), eps2d=eps2d, backend=backend)


@backends
def test_numbers_that_are_not_finite_are_named(backend: str) -> None:
    gaussians = balls([[0.0, 0.0, 2.0]] * 4)
    scales = gaussians.log_scales.clone()
    scales[2, 1] = float("nan")
    with pytest.raises(ValueError, match=r"log_scales is not finite in 1 of 4 rows, first in row 2"):
        rasterize_gaussians(gaussians.replace(log_scales=scales), camera(), backend=backend)
    with pytest.raises(ValueError, match="length zero"):
        rasterize_gaussians(gaussians.replace(quats=torch.zeros(4, 4)), camera(), backend=backend)


def test_cpu_refuses_other_types() -> None:
    with pytest.raises(ValueError, match=r"means is torch\.float64"):
        rasterize_gaussians(balls([[0.0, 0.0, 2.0]]).to(torch.float64), camera(), backend="cpu")


def test_an_image_of_no_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        rasterize_gaussians(balls([[0.0, 0.0, 2.0]]), camera(0, 4))
