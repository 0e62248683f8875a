"""Spherical-harmonics light: known answers, quadrature on the sphere, and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y
from torch import Tensor

from simulacra.render.mesh import light_from_directions, shade_sh
from simulacra.render.mesh.lighting import reference, sh9


def directions(count: int = 200, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=g, dtype=torch.float64), dim=-1)


def sphere_grid(rows: int = 60, columns: int = 120) -> tuple[Tensor, Tensor]:
    """Directions and solid angles of a latitude-longitude grid, exact in total."""
    edges = torch.linspace(0, math.pi, rows + 1, dtype=torch.float64)
    theta, bands = (edges[:-1] + edges[1:]) / 2, edges[:-1].cos() - edges[1:].cos()
    phi = (torch.arange(columns, dtype=torch.float64) + 0.5) * (2 * math.pi / columns)
    sine = theta.sin()[:, None]
    grid = torch.stack([sine * phi.cos(), sine * phi.sin(), theta.cos()[:, None].expand(rows, columns)], -1)
    angles = (bands * (2 * math.pi / columns))[:, None].expand(rows, columns)
    return grid.reshape(-1, 3), angles.reshape(-1)


def test_basis_is_scipys() -> None:
    """Real harmonics from scipy's complex ones (which carry the Condon-Shortley sign) without that sign."""
    n = directions()
    theta, phi = torch.acos(n[:, 2]).numpy(), torch.atan2(n[:, 1], n[:, 0]).numpy()
    columns = []
    for degree, order in ((0, 0), (1, -1), (1, 0), (1, 1), (2, -2), (2, -1), (2, 0), (2, 1), (2, 2)):
        value = sph_harm_y(degree, abs(order), theta, phi) * (-1) ** order
        part = value.real if order >= 0 else value.imag
        columns.append(torch.from_numpy(part) * (math.sqrt(2) if order else 1))
    torch.testing.assert_close(sh9(n), torch.stack(columns, -1), rtol=0, atol=1e-14)


def test_constant_environment_lights_every_side_alike() -> None:
    """Radiance L from everywhere: irradiance pi L, so that a surface of albedo a sends out a L."""
    light = torch.zeros(9, 3, dtype=torch.float64)
    light[0] = torch.tensor([0.2, 0.5, 1.0]) * math.sqrt(4 * math.pi)
    albedo = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = albedo * torch.tensor([0.2, 0.5, 1.0])
    torch.testing.assert_close(shade_sh(directions(), light, albedo), expected.double(), rtol=1e-7, atol=0)


def test_coefficients_of_an_environment_are_its_quadrature() -> None:
    """An environment of degree 2 gives its own coefficients back. A grid of 60 x 120: 1e-3."""
    grid, angles = sphere_grid()
    light = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = light_from_directions(grid, (sh9(grid) @ light) * angles[:, None])
    torch.testing.assert_close(found, light, rtol=0, atol=2e-3)


def test_irradiance_of_a_degree_two_environment_is_the_cosine_integral() -> None:
    """E(n) / pi against the integral of L(w) max(0, n . w) over the sphere, by quadrature."""
    grid, angles = sphere_grid(120, 240)
    light = torch.randn(9, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    n = directions(20)
    cosines = (n @ grid.T).clamp(min=0)
    expected = (cosines * angles) @ (sh9(grid) @ light) / math.pi
    found = shade_sh(n, light, torch.ones(20, 3, dtype=torch.float64))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_a_lamp_is_its_cosine_lobe_cut_at_degree_two() -> None:
    """max(0, cos t) / pi has the Legendre series (1/4 + cos t / 2 + 5/32 (3 cos^2 t - 1)) / pi. It stays within
    a tenth of the lobe (Ramamoorthi and Hanrahan: 9 % at worst), brightest ahead.
    """
    lamp = directions(1, seed=3)
    n = directions(500, seed=4)
    light = light_from_directions(lamp, torch.ones(1, 3, dtype=torch.float64))
    found = shade_sh(n, light, torch.ones(500, 3, dtype=torch.float64))[:, 0] * math.pi
    cosine = n @ lamp[0]
    series = 0.25 + cosine / 2 + 5 / 32 * (3 * cosine**2 - 1)
    torch.testing.assert_close(found, series, rtol=0, atol=1e-12)
    assert (found - cosine.clamp(min=0)).abs().max() < 0.1
    assert found.argmax() == cosine.argmax()
    without_cosine = sh9(n) @ light[:, 0]  # the control: light not spread by the surface is another curve
    assert (without_cosine - found).abs().max() > 0.3


def test_gradients_by_finite_differences() -> None:
    g = torch.Generator().manual_seed(0)
    n, albedo = directions(4).requires_grad_(), torch.rand(4, 3, generator=g, dtype=torch.float64)
    light = torch.randn(9, 3, generator=g, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(reference, (n, light, albedo.requires_grad_()))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), count=st.integers(0, 40), channels=st.integers(1, 4))
def test_compiled_equals_reference(seed: int, count: int, channels: int) -> None:
    """Values and gradients; the kernel counts in float64 and rounds once: 1e-6 of the largest. Normals need not be
    unit, and an image of them may be empty.
    """
    g = torch.Generator().manual_seed(seed)
    shapes = ((2, count, 3), (9, channels), (2, count, channels))
    values = [torch.randn(*shape, generator=g) for shape in shapes]
    upstream = torch.randn(2, count, channels, generator=g)
    results = []
    for dtype, function in ((torch.float32, shade_sh), (torch.float64, reference)):
        leaves = [x.to(dtype).requires_grad_() for x in values]
        shaded = function(*leaves)
        gradients = torch.autograd.grad(shaded, leaves, upstream.to(dtype))
        results.append((shaded.detach(), *gradients))
    for found, expected in zip(*results):
        scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6 * scale)


def test_same_bits_on_any_number_of_threads() -> None:
    """Also of the light's gradient, a sum over 100,000 normals, which a matrix product would cut as threads come."""
    g = torch.Generator().manual_seed(0)
    values = [torch.randn(*shape, generator=g) for shape in ((100_000, 3), (9, 3), (100_000, 3))]
    before, results = torch.get_num_threads(), set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaves = [x.clone().requires_grad_() for x in values]
            shaded = shade_sh(*leaves)
            shaded.square().sum().backward()
            results.add(b"".join(x.detach().numpy().tobytes() for x in (shaded, *(x.grad for x in leaves))))
    finally:
        torch.set_num_threads(before)
    assert len(results) == 1


def test_light_can_be_found_from_pictures_of_it() -> None:
    """Least squares on shaded colors gives the coefficients back: nothing of them is lost or mixed."""
    n, light = directions(), torch.randn(9, 3, generator=torch.Generator().manual_seed(5)).double()
    shaded = shade_sh(n, light, torch.full((200, 3), 0.5, dtype=torch.float64))
    matrix = torch.stack(
        [
            shade_sh(n, torch.eye(9, dtype=torch.float64)[:, [k]], torch.full((200, 1), 0.5).double())[:, 0]
            for k in range(9)
        ],
        -1,
    )
    found = torch.linalg.lstsq(matrix, shaded).solution
    torch.testing.assert_close(found, light, rtol=0, atol=1e-10)


def test_scipy_is_what_the_comparison_believes() -> None:
    """The control of the basis test: Y_11 carries the sign that it takes away."""
    assert sph_harm_y(1, 1, math.pi / 2, 0.0).real == pytest.approx(-math.sqrt(3 / (8 * math.pi)))
