"""``rasterize_gaussians``: one call, several backends that agree in value and gradient."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from render.camera import Cameras
from render.gaussians import cpu, reference
from render.gaussians.record import FIELDS, GaussianRendering, Gaussians, ScreenStatistics
from render.gaussians.spherical_harmonics import rgb_from_sh

Backend = Literal["auto", "reference", "cpu", "cuda"]


def rasterize_gaussians(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    background: Float[Tensor, "rgb=3"] | None = None,
    screen_offsets: Float[Tensor, "c n 2"] | None = None,
    backend: Backend = "auto",
) -> GaussianRendering:
    """Draw Gaussians in every camera of the batch (3D Gaussian splatting, Kerbl et al. 2023).

    Gradients flow from colour, alpha and depth to every field of ``gaussians``, to ``background``,
    ``screen_offsets`` and ``cameras.viewmats``; not to ``cameras.Ks``. The exact rules (near plane,
    thresholds, order) are in ``render.gaussians.reference``.

    Args:
        gaussians: what to draw. cameras: from where; OpenCV axes, first pixel centre (0.5, 0.5), zero skew.
        background: colour behind everything; black if None. screen_offsets: shifts of the projected centres
        in pixels, usually zeros that require a gradient: after
            ``backward``, ``screen_offsets.grad`` is the loss's gradient by each Gaussian's place on each
            screen, whose norm is what densification asks for.
        backend: ``reference`` (dense torch, any float type, small scenes), ``cpu`` (compiled, float32),
        ``cuda``
            (gsplat), or ``auto``: by the device of ``gaussians.means``.

    Raises:
        ValueError: numbers that are not finite, quaternions of length zero, types or devices that the backend
            cannot take.
        MissingExtraError: the ``cuda`` backend without gsplat.
    """
    if backend == "auto":
        backend = "cuda" if gaussians.means.is_cuda else "cpu"
    _check(gaussians, cameras, backend)
    if backend == "cuda":
        from render.gaussians import cuda  # gsplat is optional

        return cuda.rasterize(gaussians, cameras, background, screen_offsets)
    if background is None:
        background = gaussians.means.new_zeros(3)
    draw = reference.rasterize if backend == "reference" else cpu.rasterize
    rgb, alpha, depth, radii = draw(
        gaussians.means,
        gaussians.quats,
        torch.exp(gaussians.log_scales),
        torch.nn.functional.logsigmoid(gaussians.logit_opacities),
        rgb_from_sh(gaussians.sh, gaussians.means, cameras.centers()),
        cameras.viewmats,
        cameras.Ks,
        cameras.width,
        cameras.height,
        background,
        screen_offsets,
    )
    return GaussianRendering(rgb, alpha, depth, ScreenStatistics(radii))


def _check(gaussians: Gaussians, cameras: Cameras, backend: str) -> None:
    if cameras.width < 1 or cameras.height < 1 or len(cameras) < 1:
        raise ValueError(
            f"nothing to draw: {len(cameras)} cameras of {cameras.width} x {cameras.height} pixels"
        )
    if backend == "cpu":
        tensors = {name: getattr(gaussians, name) for name in FIELDS}
        tensors |= {"viewmats": cameras.viewmats, "Ks": cameras.Ks}
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
                raise ValueError(
                    f"the cpu backend takes float32 on the CPU; {name} is {tensor.dtype} on {tensor.device}"
                )
    for name in FIELDS:
        _check_finite(name, getattr(gaussians, name).detach())
    # The cpu backend looks at quaternions where it reads them anyway.
    if backend != "cpu" and bool((gaussians.quats.detach() == 0).all(-1).any()):
        raise ValueError("a quaternion of length zero has no orientation")
    _check_finite("viewmats", cameras.viewmats.detach())
    _check_finite("Ks", cameras.Ks.detach())


def _check_finite(name: str, values: Tensor) -> None:
    # One cheap pass: a sum is finite unless a term is not (or it overflows, which the second look forgives).
    if torch.isfinite(values.sum()):
        return
    wrong = (~torch.isfinite(values)).reshape(len(values), -1).any(1).nonzero()
    if len(wrong):
        raise ValueError(
            f"{name} is not finite in {len(wrong)} of {len(values)} rows, first in row {int(wrong[0])}"
        )
