"""PSNR and L1 against answers that can be worked out by hand."""

import math

import pytest
import torch

from simulacra.recon.perception.l1 import l1
from simulacra.recon.perception.psnr import psnr


def test_constant_offset_is_minus_twenty_log_of_it() -> None:
    image = torch.full((7, 5, 3), 0.4, dtype=torch.float64)
    assert psnr(image + 0.1, image).item() == pytest.approx(20.0, abs=1e-9)
    assert psnr(image + 0.01, image).item() == pytest.approx(40.0, abs=1e-9)


def test_identical_images_are_infinitely_good() -> None:
    image = torch.rand(4, 4, 3)
    assert math.isinf(psnr(image, image).item())


def test_only_masked_pixels_count() -> None:
    reference = torch.zeros(6, 6, 3, dtype=torch.float64)
    image = reference.clone()
    image[:3] = 0.1
    image[3:] = 0.9
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[:3] = True
    assert psnr(image, reference, mask).item() == pytest.approx(20.0, abs=1e-9)
    assert psnr(image, reference).item() < 5.0


def test_half_of_the_error_in_squares_is_three_decibels() -> None:
    reference = torch.zeros(8, 8, 3, dtype=torch.float64)
    half = reference.clone()
    half[:4] = 0.2
    assert psnr(half, reference).item() - psnr(reference + 0.2, reference).item() == pytest.approx(
        10 * math.log10(2)
    )


def test_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        psnr(torch.zeros(3, 3, 3), torch.zeros(3, 3, 3), torch.zeros(3, 3, dtype=torch.bool))


def test_l1_mean_and_weights() -> None:
    reference = torch.zeros(4, 4, 3, dtype=torch.float64)
    image = reference.clone()
    image[:2] = 0.5
    weight = torch.zeros(4, 4, dtype=torch.float64)
    weight[:2] = 2.0
    weight[2:, 0] = 1.0
    assert l1(image, reference).item() == pytest.approx(0.25)
    assert l1(image, reference, weight).item() == pytest.approx(0.5 * 16 / 18)
    assert l1(image[..., 0], reference[..., 0], weight).item() == pytest.approx(0.5 * 16 / 18)
    assert l1(image, reference, torch.zeros(4, 4, dtype=torch.float64)).item() == 0.0


def test_l1_gradient_is_the_sign_over_the_count() -> None:
    image = torch.tensor([[[0.2, 0.9, 0.5]]], dtype=torch.float64, requires_grad=True)
    l1(image, torch.full((1, 1, 3), 0.4, dtype=torch.float64)).backward()
    assert image.grad is not None
    torch.testing.assert_close(image.grad, torch.tensor([[[-1.0, 1.0, 1.0]]], dtype=torch.float64) / 3)
