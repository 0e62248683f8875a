"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli, TIP 2004), differentiable and fast on a CPU.

For each channel and each place of an 11x11 Gaussian window (sigma 1.5, weights of sum 1) that lies wholly
inside the image, with K1 = 0.01, K2 = 0.03 and peak 1::

    S = (2 m n + C1)(2 cov + C2) / ((m^2 + n^2 + C1)(vx + vy + C2)),   C1 = K1^2, C2 = K2^2

where m, n are the windowed means and vx, vy, cov the windowed (biased) variances and covariance. The score
is the mean over places and channels. Windows that stick out are not used, as in the authors' own code;
implementations that pad with zeros (many 3DGS repositories) differ near the border.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.perception import ssim_cpu

WINDOW = ssim_cpu.WINDOW
Crop = tuple[int, int, int, int]


def ssim(
    image: Float[Tensor, "h w 3"],
    reference: Float[Tensor, "h w 3"],
    crop: Crop | None = None,
    backend: Literal["auto", "reference", "cpu"] = "auto",
) -> Float[Tensor, ""]:
    """Mean SSIM of two images in 0..1; 1 for identical ones, symmetric, differentiable in both.

    Args:
        crop: (x0, y0, width, height); only windows inside it count.
        backend: `cpu` is the Numba kernel (float32), `reference` readable torch in any type on any device;
            `auto` takes the kernel for float32 on a CPU.

    Raises:
        ValueError: sizes differ, or the image or crop is smaller than the window.
    """
    if crop is not None:
        x0, y0, width, height = crop
        image, reference = (
            image[y0 : y0 + height, x0 : x0 + width],
            reference[y0 : y0 + height, x0 : x0 + width],
        )
    if image.shape != reference.shape or min(image.shape[:2]) < WINDOW:
        raise ValueError(
            f"SSIM needs two images of one size, at least {WINDOW} pixels: {image.shape}, {reference.shape}"
        )
    fits = image.device.type == "cpu" and image.dtype == reference.dtype == torch.float32
    if backend == "reference" or (backend == "auto" and not fits):
        return ssim_reference(image, reference)
    if not fits:
        raise ValueError(f"SSIM's cpu backend takes float32 on the CPU, not {image.dtype} on {image.device}")
    return _CpuSsim.apply(image, reference)


def ssim_reference(image: Float[Tensor, "h w c"], reference: Float[Tensor, "h w c"]) -> Float[Tensor, ""]:
    """The formula above in plain torch: the twin that the kernel is tested against."""
    m, n = _window_means(image), _window_means(reference)
    variances = _window_means(image * image + reference * reference) - m * m - n * n
    covariance = _window_means(image * reference) - m * n
    numerator = (2 * m * n + ssim_cpu.C1) * (2 * covariance + ssim_cpu.C2)
    return (numerator / ((m * m + n * n + ssim_cpu.C1) * (variances + ssim_cpu.C2))).mean()


def _window_means(image: Float[Tensor, "h w c"]) -> Float[Tensor, "c 1 h2 w2"]:
    taps = torch.as_tensor(ssim_cpu.gaussian_taps(), dtype=image.dtype, device=image.device)
    rows = torch.nn.functional.conv2d(image.permute(2, 0, 1)[:, None], taps.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(rows, taps.view(1, 1, 1, -1))


class _CpuSsim(torch.autograd.Function):
    """The score is a mean, so its gradient is known up to a factor as soon as the score is: it is made in
    the forward.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, reference: Tensor) -> Tensor:
        x, y = image.detach().contiguous().numpy(), reference.detach().contiguous().numpy()
        score, grad = ssim_cpu.score_and_gradient(x, y, ctx.needs_input_grad[0])
        other = ssim_cpu.score_and_gradient(y, x, True)[1] if ctx.needs_input_grad[1] else None
        ctx.gradients = tuple(None if g is None else torch.from_numpy(g) for g in (grad, other))
        return image.new_tensor(score)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None]:
        first, second = (None if g is None else g * grad_output for g in ctx.gradients)
        return first, second
