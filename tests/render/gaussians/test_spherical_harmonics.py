"""Spherical harmonics against scipy's and against what splat files assume."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import sph_harm_y

from render.gaussians import rgb_from_sh, sh_basis, sh_from_rgb


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


def test_colour_looks_from_the_camera_to_the_gaussian() -> None:
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
