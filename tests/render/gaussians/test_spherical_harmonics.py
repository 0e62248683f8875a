"""Spherical harmonics against scipy's and against what splat files assume."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from simulacra.render.gaussians import harmonics, rgb_from_sh, sh_basis, sh_from_rgb


def directions(n: int = 200) -> torch.Tensor:
    raw = torch.randn(n, 3, generator=torch.Generator().manual_seed(0)).double()
    return torch.nn.functional.normalize(raw, dim=-1)


def test_basis_is_scipys_real_basis_in_order() -> None:
    """Degree l, order m from -l to l: sqrt(2) Im Y_l^|m|, Y_l^0, sqrt(2) Re Y_l^m, with the Condon-
    Shortley sign.
    """
    d = directions().numpy()
    theta, phi = np.arccos(d[:, 2]), np.arctan2(d[:, 1], d[:, 0])
    columns = []
    for degree in range(4):
        for order in range(-degree, degree + 1):
            y = sph_harm_y(degree, abs(order), theta, phi)
            part = y.real if order >= 0 else y.imag
            columns.append(part * (math.sqrt(2) if order else 1.0))
    expected = torch.from_numpy(np.stack(columns, 1))
    for degree in range(4):
        count = (degree + 1) ** 2
        torch.testing.assert_close(sh_basis(directions(), degree), expected[:, :count], rtol=1e-9, atol=1e-9)


def test_color_looks_from_the_camera_to_the_gaussian() -> None:
    """The z term of degree 1 brightens a Gaussian that the camera looks at along +Z, and darkens it from
    behind.
    """
    sh = torch.zeros(1, 4, 3)
    sh[0, 2] = 0.5
    mean, centers = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    ahead, behind = rgb_from_sh(sh, mean, centers)[:, 0, 0]
    assert ahead > 0.5 > behind
    torch.testing.assert_close(ahead + behind, torch.tensor(1.0))


def test_rgb_there_and_back_and_never_negative() -> None:
    rgb = torch.rand(10, 3, generator=torch.Generator().manual_seed(1))
    means, centers = torch.rand(10, 3), torch.full((2, 3), 3.0)
    for degree in range(4):
        torch.testing.assert_close(rgb_from_sh(sh_from_rgb(rgb, degree), means, centers)[1], rgb)
    dark = sh_from_rgb(torch.full((10, 3), -2.0))
    assert not rgb_from_sh(dark, means, centers).any()


@settings(max_examples=20)
@given(
    seed=st.integers(0, 99),
    n=st.sampled_from([0, 1, 7, 8, 9, 50]),
    cameras=st.integers(1, 3),
    degree=st.integers(0, 3),
)
def test_compiled_equals_twin(seed: int, n: int, cameras: int, degree: int) -> None:
    """Values and gradients of the compiled colors against float64 autograd, with the cut at black in play.

    1e-5 of their norm: float32 directions are good to 1e-7, degree 3 multiplies that by its largest factors
    (about 10), and centres sum over all Gaussians.
    """
    g = torch.Generator().manual_seed(seed)
    shapes = ((n, (degree + 1) ** 2, 3), (n, 3), (cameras, 3))
    leaves = [torch.randn(*shape, generator=g) for shape in shapes]
    leaves[0] *= 2.0
    upstream = torch.randn(cameras, n, 3, generator=g)
    results = []
    for dtype, evaluate in ((torch.float64, rgb_from_sh), (torch.float32, harmonics.rgb_from_sh)):
        own = [leaf.to(dtype).requires_grad_() for leaf in leaves]
        rgb = evaluate(*own)
        gradients = torch.autograd.grad((rgb * upstream.to(dtype)).sum(), own, materialize_grads=True)
        results.append([rgb.detach(), *gradients])
    for expected, found in zip(*results):
        assert (found.double() - expected).norm() <= 1e-5 * expected.norm() + 1e-6
    if n == 50:
        assert (results[1][0] == 0).any()
        assert (results[1][0] > 0).any()


def test_compiled_color_of_a_gaussian_in_the_camera() -> None:
    """No direction: only the part that looks the same from everywhere is left, and gradients are finite."""
    sh = torch.full((1, 16, 3), 0.5, requires_grad=True)
    mean = torch.zeros(1, 3, requires_grad=True)
    rgb = harmonics.rgb_from_sh(sh, mean, torch.zeros(1, 3))
    twin = rgb_from_sh(sh, mean, torch.zeros(1, 3))
    # The zonal polynomials of degrees 1 to 3 vanish at 0, those of degree 2 with them.
    torch.testing.assert_close(rgb, twin)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(rgb.sum(), [sh, mean]))
