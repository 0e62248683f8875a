"""Projection and spherical harmonics against gsplat's own torch code, whose numbers were recorded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from render.gaussians import reference, sh_basis


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    """See ``make_golden_gsplat.py``."""
    with np.load(Path(__file__).with_name("golden_gsplat.npz")) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def test_projection(golden: dict[str, torch.Tensor]) -> None:
    """Centres, depths and inverse covariances of everything in front of the camera, far outside the image
    too.
    """
    for i in range(2):
        opacities = torch.ones(40, dtype=torch.float64)
        shapes = golden["means"], golden["quats"], golden["scales"]
        screen = reference.project(*shapes, opacities, golden["viewmats"][i], golden["Ks"][i], 40, 30)
        assert torch.equal(screen.drawn, golden["depths"][i] > reference.NEAR)
        assert 10 < int(screen.drawn.sum()) < 41
        drawn = screen.drawn
        options = {"rtol": 1e-9, "atol": 1e-9}
        torch.testing.assert_close(screen.means[drawn], golden["means2d"][i][drawn], **options)
        torch.testing.assert_close(screen.depths[drawn], golden["depths"][i][drawn], **options)
        inverse = torch.linalg.inv(screen.covariances[drawn])
        conics = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], -1)
        torch.testing.assert_close(conics, golden["conics"][i][drawn], rtol=1e-7, atol=1e-9)


def test_spherical_harmonics(golden: dict[str, torch.Tensor]) -> None:
    directions = torch.nn.functional.normalize(golden["directions"], dim=-1)
    for degree in range(4):
        basis = sh_basis(directions, degree)
        found = torch.einsum("nk,nkd->nd", basis, golden["sh"][:, : (degree + 1) ** 2])
        torch.testing.assert_close(found, golden["colours"][degree], rtol=1e-6, atol=1e-7)
