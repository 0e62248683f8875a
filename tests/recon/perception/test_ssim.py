"""SSIM: the kernel against the torch twin, and both against a direct float64 sum over windows."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from simulacra.recon.perception.ssim import ssim, ssim_reference


def pair(height: int, width: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(height, width, 3, generator=generator, dtype=torch.float64)
    y = (x + 0.2 * torch.randn(height, width, 3, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return x.to(dtype), y.to(dtype)


def direct_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al.'s definition written out: two-dimensional weights, central moments, one window after the
    other.
    """
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for channel in range(3):
        for row in range(x.shape[0] - 10):
            for column in range(x.shape[1] - 10):
                a = x[row : row + 11, column : column + 11, channel]
                b = y[row : row + 11, column : column + 11, channel]
                m, n = (weights * a).sum(), (weights * b).sum()
                va, vb = (weights * (a - m) ** 2).sum(), (weights * (b - n) ** 2).sum()
                cov = (weights * (a - m) * (b - n)).sum()
                values.append(
                    (2 * m * n + 1e-4) * (2 * cov + 9e-4) / ((m**2 + n**2 + 1e-4) * (va + vb + 9e-4))
                )
    return float(np.mean(values))


def test_both_backends_agree_with_the_definition() -> None:
    x, y = pair(14, 17, torch.float64)
    truth = direct_ssim(x.numpy(), y.numpy())
    assert ssim_reference(x, y).item() == pytest.approx(truth, abs=1e-12)
    # float32: variances are differences of numbers near 1 (error 1e-7) against C2 = 9e-4.
    assert ssim(x.float(), y.float(), backend="cpu").item() == pytest.approx(truth, abs=2e-6)


def test_constant_images_follow_the_luminance_term() -> None:
    x, y = torch.full((15, 15, 3), 0.25), torch.full((15, 15, 3), 0.5)
    expected = (2 * 0.25 * 0.5 + 1e-4) / (0.25**2 + 0.5**2 + 1e-4)
    # float32: the variances' rounding error, about 3e-8, against C2 = 9e-4.
    assert ssim(x, y).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_identity_is_one_and_arguments_commute(backend: str) -> None:
    x, y = pair(40, 31)
    assert ssim(x, x, backend=backend).item() == pytest.approx(1.0, abs=1e-6)
    assert ssim(x, y, backend=backend).item() == pytest.approx(ssim(y, x, backend=backend).item(), abs=1e-6)
    assert ssim(x, y, backend=backend).item() < 0.95


@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 40), (67, 29)])
def test_kernel_gradient_matches_autograd_in_float64(height: int, width: int) -> None:
    x, y = pair(height, width, torch.float64)
    x.requires_grad_(), y.requires_grad_()
    ssim_reference(x, y).backward()
    a, b = x.detach().float().requires_grad_(), y.detach().float().requires_grad_()
    (3 * ssim(a, b, backend="cpu")).backward()
    assert a.grad is not None and b.grad is not None and x.grad is not None and y.grad is not None
    for got, expected in ((a.grad, x.grad), (b.grad, y.grad)):
        # Relative to the largest entry: float32 rounding of a sum of 33 terms per pixel.
        assert (got - 3 * expected).abs().max() < 2e-5 * 3 * expected.abs().max()


def test_reference_passes_gradcheck() -> None:
    x, y = pair(12, 13, torch.float64)
    assert torch.autograd.gradcheck(ssim_reference, (x.requires_grad_(), y.requires_grad_()), fast_mode=True)


def test_crop_is_the_ssim_of_the_cut_out_and_its_gradient_stays_inside() -> None:
    x, y = pair(40, 50)
    x.requires_grad_()
    cropped = ssim(x, y, crop=(5, 8, 30, 20))
    assert cropped.item() == pytest.approx(ssim_reference(x[8:28, 5:35], y[8:28, 5:35]).item(), abs=2e-6)
    cropped.backward()
    assert x.grad is not None
    assert x.grad[8:28, 5:35].abs().sum() > 0
    outside = x.grad.clone()
    outside[8:28, 5:35] = 0
    assert outside.abs().max() == 0


def test_number_of_threads_does_not_change_a_bit() -> None:
    x, y = pair(90, 70)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        a = x.clone().requires_grad_()
        score = ssim(a, y, backend="cpu")
        score.backward()
        results.append((score.detach(), a.grad))
    torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_nan_is_not_hidden() -> None:
    x, y = pair(30, 30)
    x[15, 15, 1] = float("nan")
    assert torch.isnan(ssim(x, y, backend="cpu"))


def test_too_small_or_unlike_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 11"):
        ssim(torch.zeros(10, 30, 3), torch.zeros(10, 30, 3))
    # With shape checks switched on, as in these tests, they find it first.
    with pytest.raises((ValueError, TypeCheckError)):
        ssim(torch.zeros(20, 30, 3), torch.zeros(20, 31, 3))
    with pytest.raises(ValueError, match="float32"):
        ssim(torch.zeros(20, 30, 3).double(), torch.zeros(20, 30, 3).double(), backend="cpu")
