"""Features and normals: known answers of drawing anything but color."""

from __future__ import annotations

import pytest
import torch

from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import Gaussians, gaussian_normals, rasterize_features, rasterize_gaussians

from .conftest import make_scene
from .test_rasterize import balls, camera

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


def small(seed: int = 4, cameras: int = 2) -> tuple[Gaussians, Cameras]:
    scene = make_scene(seed, cameras=cameras)
    leaves = {name: value.float() for name, value in scene.leaves.items()}
    return scene.gaussians(leaves), scene.cameras(leaves)


@backends
@pytest.mark.parametrize("channels", [1, 2, 4, 31])
def test_a_feature_of_ones_is_alpha(backend: str, channels: int) -> None:
    """And alpha, depth and radii are those of the color image: to the last bit or two, since two kernels
    may contract sums differently.
    """
    gaussians, cameras = small()
    ones = torch.ones(len(gaussians), channels)
    result = rasterize_features(gaussians, ones, cameras, backend=backend)
    color = rasterize_gaussians(gaussians, cameras, backend=backend)
    expected = result.alpha[..., None].expand(-1, -1, -1, channels)
    torch.testing.assert_close(result.features_premul, expected, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(result.alpha, color.alpha, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result.depth, color.depth, rtol=1e-5, atol=1e-6)
    assert torch.equal(result.screen.radii, color.screen.radii)


@backends
def test_channels_do_not_mix(backend: str) -> None:
    """Seven channels at once are the seven drawn alone, each over its own background."""
    gaussians, cameras = small()
    g = torch.Generator().manual_seed(0)
    features, background = torch.randn(len(gaussians), 7, generator=g), torch.randn(7, generator=g)
    together = rasterize_features(gaussians, features, cameras, background=background, backend=backend)
    for k in range(7):
        alone = rasterize_features(
            gaussians, features[:, k : k + 1], cameras, background=background[k : k + 1], backend=backend
        )
        torch.testing.assert_close(
            together.features_premul[..., k], alone.features_premul[..., 0], rtol=1e-5, atol=1e-5
        )
    assert (together.features_premul[..., 0] - together.features_premul[..., 1]).abs().max() > 0.1


@backends
def test_each_camera_may_see_its_own_features(backend: str) -> None:
    gaussians, cameras = small()
    own = torch.stack([torch.ones(len(gaussians), 2), torch.full((len(gaussians), 2), 3.0)])
    result = rasterize_features(gaussians, own, cameras, backend=backend)
    expected = result.alpha[..., None] * torch.tensor([1.0, 3.0])[:, None, None, None]
    torch.testing.assert_close(result.features_premul, expected.expand(-1, -1, -1, 2), rtol=1e-5, atol=1e-5)


@backends
@pytest.mark.parametrize("channels", [2, 3])
def test_nothing_leaves_the_background(backend: str, channels: int) -> None:
    none = balls([[0.0, 0.0, 1.0]])[:0]
    background = torch.arange(1.0, channels + 1, requires_grad=True)
    features = torch.zeros(0, channels, requires_grad=True)
    result = rasterize_features(none, features, camera(5, 3), background=background, backend=backend)
    assert torch.equal(result.features_premul.detach(), background.detach().expand(1, 3, 5, channels))
    result.features_premul.sum().backward()
    assert torch.equal(background.grad, torch.full((channels,), 15.0))


@pytest.mark.parametrize("channels", [0, 33])
def test_too_few_and_too_many_channels_are_refused(channels: int) -> None:
    gaussians, cameras = small()
    with pytest.raises(ValueError, match=f"1 to 32 channels.* not {channels}"):
        rasterize_features(gaussians, torch.zeros(len(gaussians), channels), cameras)


def test_features_of_another_number_of_gaussians_are_refused() -> None:
    gaussians, cameras = small()
    with pytest.raises(ValueError, match=r"features of shape \(7, 2\) for 2 cameras and 40 Gaussians"):
        rasterize_features(gaussians, torch.zeros(7, 2), cameras)


def test_features_that_are_not_finite_are_named() -> None:
    gaussians, cameras = small()
    features = torch.zeros(len(gaussians), 2)
    features[5, 1] = float("inf")
    with pytest.raises(ValueError, match="features is not finite in 1 of 40 rows, first in row 5"):
        rasterize_features(gaussians, features, cameras)


def test_normals_are_the_shortest_axis_turned_to_the_camera() -> None:
    """A disc in the plane z = 0, turned a quarter about x: its normal is along y, up or down as seen."""
    half = 0.5**0.5
    disc = Gaussians(
        torch.zeros(1, 3),
        torch.tensor([[half, half, 0.0, 0.0]]),
        torch.tensor([[-1.0, -1.0, -4.0]]),
        torch.zeros(1),
        torch.zeros(1, 1, 3),
    )
    eyes = torch.tensor([[0.1, 2.0, 1.0], [0.1, -2.0, 1.0]])
    cameras = look_at(eyes, torch.zeros(2, 3), 20.0, 8, 8)
    expected = torch.tensor([[[0.0, 1.0, 0.0]], [[0.0, -1.0, 0.0]]])
    torch.testing.assert_close(gaussian_normals(disc, cameras), expected, rtol=0, atol=1e-6)


@backends
def test_a_plane_has_one_normal_everywhere(backend: str) -> None:
    """Discs side by side in the plane x + z = 3: wherever one is seen, the map over alpha is its normal."""
    g = torch.Generator().manual_seed(1)
    across, up = torch.rand(2, 200, generator=g) - 0.5
    means = torch.stack([across, up, 3 - across], -1)
    turn = torch.tensor([[0.9238795, 0.0, 0.3826834, 0.0]]).repeat(200, 1)  # z to (1, 0, 1) / sqrt 2
    scales = torch.tensor([[-3.0, -3.0, -6.0]]).repeat(200, 1)
    plane = Gaussians(means, turn, scales, torch.zeros(200), torch.zeros(200, 1, 3))
    cameras = camera(24, 24, focal_px=40.0)
    result = rasterize_features(plane, gaussian_normals(plane, cameras), cameras, backend=backend)
    seen = result.alpha > 0.05
    assert seen.sum() > 100
    normals = (result.features_premul / result.alpha[..., None])[seen]
    expected = torch.tensor([-(0.5**0.5), 0.0, -(0.5**0.5)]).expand_as(normals)
    torch.testing.assert_close(normals, expected, rtol=0, atol=1e-5)


def test_normals_turn_with_the_quaternions() -> None:
    """Autograd against central differences, in float64; no gradient where the choice of axis is."""
    scene = make_scene(0, n=5)
    leaves = scene.in_type(torch.float64)

    def normals(quats: torch.Tensor) -> torch.Tensor:
        return gaussian_normals(
            scene.gaussians(leaves | {"quats": quats}), scene.cameras(scene.in_type(torch.float64))
        )

    assert torch.autograd.gradcheck(normals, [leaves["quats"]], eps=1e-6, atol=1e-6)
