"""``rasterize_gaussians`` and ``rasterize_features``: one call each, several backends that agree in value and
gradient.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import cpu, reference
from simulacra.render.gaussians.record import Extra, FeatureRendering, GaussianRendering, Gaussians, Mode
from simulacra.render.gaussians.spherical_harmonics import rgb_from_sh

Backend = Literal["auto", "reference", "cpu", "cuda"]

MOST_CHANNELS = 32
MOST_EPS2D = 100.0
SHAPES = ("means", "quats", "log_scales", "logit_opacities")


def rasterize_gaussians(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    background: Float[Tensor, "rgb=3"] | None = None,
    screen_offsets: Float[Tensor, "c n 2"] | None = None,
    mode: Mode = "classic",
    eps2d: float = reference.DILATION,
    also: Collection[Extra] = (),
    backend: Backend = "auto",
) -> GaussianRendering:
    """Draw Gaussians in every camera of the batch (3D Gaussian splatting, Kerbl et al. 2023).

    Gradients flow from color, alpha, depth and median depth to every field of ``gaussians``, to
    ``background``, ``screen_offsets`` and ``cameras.viewmats``; not to ``cameras.Ks``. The exact rules (near
    plane, thresholds, order) are in ``render.gaussians.reference``.

    Args:
        gaussians: what to draw.
        cameras: from where; OpenCV axes, first pixel centre (0.5, 0.5), zero skew.
        background: color behind everything; black if None.
        screen_offsets: shifts of the projected centres in pixels, usually zeros that require a gradient:
            after ``backward``, ``screen_offsets.grad`` is the loss's gradient by each Gaussian's place on
            each screen, whose norm is what densification asks for.
        mode: ``classic``, or ``antialiased``: Gaussians that are thinner than a pixel are fainter instead of
            wider (Mip-Splatting's compensation, Yu et al. 2024), so an image looks the same at any size. A
            scene must be drawn in the mode in which it was trained.
        eps2d: px^2 that are added to every Gaussian's covariance on the screen, so that none falls between pixels
            (gsplat's argument of that name). A rim of many Gaussians looks wider by it than it is: about half a
            pixel with the usual 0.3. Like the mode, that of the training.
        also: what to measure besides, each in one more pass: ``median_depth``, and ``weights`` (see
            ``ScreenStatistics``).
        backend: ``reference`` (dense torch, any float type, small scenes), ``cpu`` (compiled, float32),
            ``cuda`` (gsplat), or ``auto``: by the device of ``gaussians.means`` (``choose_backend``).

    Raises:
        ValueError: a backend that there is not, numbers that are not finite, quaternions of length zero, types or
            devices that the backend cannot take, ``cuda`` for Gaussians that are on no card, extras that it does not
            have, a background that is no tensor of three numbers.
        MissingExtraError: the ``cuda`` backend without gsplat.
    """
    backend = choose_backend(gaussians.means.device, backend)
    _check(cameras, mode, eps2d, also)
    _check_tensors(_tensors(gaussians, cameras) | {"sh": gaussians.sh}, backend)
    centers = cameras.centers()
    if backend == "cpu":
        rgb = cpu.rgb_from_sh(gaussians.sh, gaussians.means, centers)
    else:
        rgb = rgb_from_sh(gaussians.sh, gaussians.means, centers)
    if background is None:
        background = gaussians.means.new_zeros(3)
    _check_background(background, 3)
    drawn = _draw(backend, gaussians, cameras, rgb, background, screen_offsets, mode, eps2d, also)
    return GaussianRendering(
        drawn.features_premul, drawn.alpha, drawn.depth, drawn.screen, drawn.median_depth
    )


def rasterize_features(
    gaussians: Gaussians,
    features: Float[Tensor, "n f"] | Float[Tensor, "c n f"],
    cameras: Cameras,
    *,
    background: Float[Tensor, " f"] | None = None,
    screen_offsets: Float[Tensor, "c n 2"] | None = None,
    mode: Mode = "classic",
    eps2d: float = reference.DILATION,
    also: Collection[Extra] = (),
    backend: Backend = "auto",
) -> FeatureRendering:
    """Draw 1 to 32 numbers of any meaning that each Gaussian carries, as ``rasterize_gaussians`` draws color.

    ``gaussians.sh`` is not looked at and gets no gradient; ``features`` get one, and all else as there. Arguments that
    are not listed are those of ``rasterize_gaussians``.

    Args:
        features: the same for all cameras, or of each camera its own (normals, for instance: see
            ``gaussian_normals``).
        background: features behind everything; zero if None.

    Raises:
        ValueError, MissingExtraError: as ``rasterize_gaussians``; also no channels, more than 32, or features
            that do not fit the Gaussians and cameras.
    """
    backend = choose_backend(gaussians.means.device, backend)
    _check(cameras, mode, eps2d, also)
    channels = features.shape[-1]
    if not 1 <= channels <= MOST_CHANNELS:
        raise ValueError(f"1 to {MOST_CHANNELS} channels can be drawn at once, not {channels}")
    rows = (len(cameras), len(gaussians))
    if features.shape[:-1] not in (rows[1:], rows):
        raise ValueError(
            f"features of shape {tuple(features.shape)} for {rows[0]} cameras and {rows[1]} Gaussians"
        )
    _check_tensors(_tensors(gaussians, cameras) | {"features": features}, backend)
    if background is None:
        background = features.new_zeros(channels)
    _check_background(background, channels)
    features = features.expand(*rows, channels)
    return _draw(backend, gaussians, cameras, features, background, screen_offsets, mode, eps2d, also)


def _draw(
    backend: str,
    gaussians: Gaussians,
    cameras: Cameras,
    features: Float[Tensor, "c n f"],
    background: Float[Tensor, " f"],
    screen_offsets: Float[Tensor, "c n 2"] | None,
    mode: Mode,
    eps2d: float,
    also: Collection[Extra],
) -> FeatureRendering:
    if backend == "cuda":
        from simulacra.render.gaussians import cuda  # gsplat is optional

        cuda.require_card(gaussians.means.device)
        draw = cuda.rasterize
    else:
        draw = reference.rasterize if backend == "reference" else cpu.rasterize
    return draw(gaussians, cameras, features, background, screen_offsets, mode, eps2d, also)


def choose_backend(device: torch.device, backend: Backend = "auto") -> Backend:
    """The backend that draws what lies on a device, unless one is named: for ``auto``, ``cuda`` on a card of NVIDIA's,
    ``cpu`` on the processor, and ``reference`` on any other.

    Raises:
        ValueError: there is no such backend.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"no backend {backend!r}; there are {', '.join(get_args(Backend))}")
    if backend != "auto":
        return backend
    by_device: dict[str, Backend] = {"cuda": "cuda", "cpu": "cpu"}
    return by_device.get(device.type, "reference")


def _tensors(gaussians: Gaussians, cameras: Cameras) -> dict[str, Tensor]:
    tensors = {name: getattr(gaussians, name) for name in SHAPES}
    return tensors | {"viewmats": cameras.viewmats, "Ks": cameras.Ks}


def _check(cameras: Cameras, mode: str, eps2d: float, also: Collection[str]) -> None:
    if cameras.width < 1 or cameras.height < 1 or len(cameras) < 1:
        raise ValueError(
            f"nothing to draw: {len(cameras)} cameras of {cameras.width} x {cameras.height} pixels"
        )
    if mode not in get_args(Mode):
        raise ValueError(f"no mode {mode!r}; there are {', '.join(get_args(Mode))}")
    if not 0 < eps2d <= MOST_EPS2D:
        raise ValueError(f"eps2d is more than 0 and at most {MOST_EPS2D:g} px^2, not {eps2d}")
    if unknown := set(also) - set(get_args(Extra)):
        raise ValueError(
            f"nothing called {sorted(unknown)} can be measured; only {', '.join(get_args(Extra))}"
        )


def _check_background(background: object, channels: int) -> None:
    shape = tuple(background.shape) if isinstance(background, Tensor) else type(background).__name__
    if shape != (channels,):
        raise ValueError(f"a background is a tensor of shape ({channels},), not {shape}")


def _check_tensors(tensors: dict[str, Tensor], backend: str) -> None:
    for name, tensor in tensors.items():
        if backend == "cpu" and (tensor.dtype != torch.float32 or tensor.device.type != "cpu"):
            raise ValueError(
                f"the cpu backend takes float32 on the CPU; {name} is {tensor.dtype} on {tensor.device}"
            )
        _check_finite(name, tensor.detach())
    # The cpu backend looks at quaternions where it reads them anyway.
    if backend != "cpu" and bool((tensors["quats"].detach() == 0).all(-1).any()):
        raise ValueError("a quaternion of length zero has no orientation")


def _check_finite(name: str, values: Tensor) -> None:
    # One cheap pass: a sum is finite unless a term is not (or it overflows, which the second look forgives). On the CPU
    # numpy takes it: torch would wake its threads for it, who are then in the way of the kernels'.
    if values.device.type == "cpu":
        with np.errstate(all="ignore"):
            total = np.isfinite(values.numpy().sum())
    else:
        total = torch.isfinite(values.sum())
    if total:
        return
    wrong = (~torch.isfinite(values)).reshape(len(values), -1).any(1).nonzero()
    if len(wrong):
        raise ValueError(
            f"{name} is not finite in {len(wrong)} of {len(values)} rows, first in row {int(wrong[0])}"
        )
