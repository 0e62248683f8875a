"""Projection and spherical harmonics against gsplat's own torch code, whose numbers were recorded once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.render.gaussians import Gaussians, harmonics, reference, sh_basis


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    """See ``make_golden_gsplat.py``."""
    with np.load(Path(__file__).with_name("golden_gsplat.npz")) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_projection(golden: dict[str, torch.Tensor], mode: reference.Mode) -> None:
    """Centres, depths, inverse covariances and opacities of everything in front of the camera, far outside
    the image too.
    """
    shapes = golden["means"], golden["quats"], golden["scales"].log()
    gaussians = Gaussians(*shapes, torch.full((40,), 40.0).double(), golden["sh"])
    options = {"rtol": 1e-9, "atol": 1e-9}  # float64 on both sides
    for i in range(2):
        screen = reference.project(gaussians, golden["viewmats"][i], golden["Ks"][i], 40, 30, mode)
        opacities = torch.ones(40).double() if mode == "classic" else golden["compensations"][i]
        drawn = (golden["depths"][i] > reference.NEAR) & (opacities >= reference.ALPHA_MIN)
        assert torch.equal(screen.drawn, drawn)
        assert 10 < int(screen.drawn.sum()) < 41
        torch.testing.assert_close(screen.means[drawn], golden["means2d"][i][drawn], **options)
        torch.testing.assert_close(screen.depths[drawn], golden["depths"][i][drawn], **options)
        torch.testing.assert_close(screen.opacities[drawn], opacities[drawn], rtol=1e-7, atol=1e-9)
        inverse = torch.linalg.inv(screen.covariances[drawn])
        conics = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], -1)
        torch.testing.assert_close(conics, golden["conics"][i][drawn], rtol=1e-7, atol=1e-9)


def test_compensation_of_thin_gaussians(golden: dict[str, torch.Tensor]) -> None:
    """A tenth of the size: factors from a few thousandths on. gsplat subtracts two products, which costs
    it digits.
    """
    shapes = golden["means"], golden["quats"], golden["scales"].log() - math.log(10)
    gaussians = Gaussians(*shapes, torch.full((40,), 40.0).double(), golden["sh"])
    for i in range(2):
        camera = golden["viewmats"][i], golden["Ks"][i]
        screen = reference.project(gaussians, *camera, 40, 30, "antialiased")
        expected, drawn = golden["thin_compensations"][i], golden["depths"][i] > reference.NEAR
        assert expected[drawn].min() < 0.02
        torch.testing.assert_close(screen.opacities[drawn], expected[drawn], rtol=1e-7, atol=1e-9)


def test_spherical_harmonics(golden: dict[str, torch.Tensor]) -> None:
    directions = torch.nn.functional.normalize(golden["directions"], dim=-1)
    for degree in range(4):
        basis = sh_basis(directions, degree)
        found = torch.einsum("nk,nkd->nd", basis, golden["sh"][:, : (degree + 1) ** 2])
        torch.testing.assert_close(found, golden["colors"][degree], rtol=1e-6, atol=1e-7)


def test_compiled_spherical_harmonics(golden: dict[str, torch.Tensor]) -> None:
    """Seen from the origin, a Gaussian lies in its own direction. float32, and 0.5 added: 1e-6 of the sum."""
    origin = torch.zeros(1, 3)
    for degree in range(4):
        sh = golden["sh"][:, : (degree + 1) ** 2].float().contiguous()
        found = harmonics.rgb_from_sh(sh, golden["directions"].float(), origin)[0]
        expected = (golden["colors"][degree] + 0.5).clamp(min=0)
        torch.testing.assert_close(found.double(), expected, rtol=2e-6, atol=2e-6)
