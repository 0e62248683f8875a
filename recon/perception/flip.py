"""FLIP for pictures of a normal display (Andersson, Nilsson, Akenine-Moller, Oskarsson, Astrom, Fairchild, HPG 2020).

How much two pictures differ to somebody who flips between them: colors are blurred as the eye's contrast sensitivity
does, compared in a uniform space (Hunt-adjusted L*a*b*, HyAB distance, redistributed to 0..1), and differences grow
where edges and points differ. The score is the mean of the map. Constants are the authors'.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.perception.measure import Features, Measure

# A 0.7 m wide display of 3840 pixels, 0.7 m away.
PIXELS_PER_DEGREE = 0.7 * (3840 / 0.7) * (math.pi / 180)
# Contrast sensitivity of the three opponent channels: sums of two Gaussians of frequency, (a1, b1, a2, b2).
SENSITIVITY = ((1.0, 0.0047, 0.0, 1e-5), (1.0, 0.0053, 0.0, 1e-5), (34.1, 0.04, 13.5, 0.025))
Q_COLOR, P_COLOR, T_COLOR = 0.7, 0.4, 0.95
Q_FEATURE, WIDTH_FEATURE = 0.5, 0.082
# The white point of D65, by the matrix below.
TO_XYZ = (
    (10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794),
    (2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897),
    (1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382),
)
# Under the roots and powers, which have no derivative at zero; far below what 8 bits can tell apart.
SOFT = 1e-8

Planes = Float[Tensor, "1 c h w"]


class Flip(Measure):
    """The mean of the map, 0..1."""

    def features(self, image: Float[Tensor, "h w 3"]) -> Features:
        """Filtered colors in Hunt-adjusted L*a*b*, and the edges and points of the lightness (two directions each)."""
        linear = _decode(image).permute(2, 0, 1)[None]
        opponent = _opponent(_matrix(linear, TO_XYZ))
        colors = _hunt_lab(_filtered(opponent))
        edges, points = _details((opponent[:, :1] + 16) / 116)
        return colors, edges, points

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """Mean of the map."""
        return flip_map(ours, theirs).mean()


def flip_map(ours: Features, theirs: Features) -> Float[Tensor, "h w"]:
    """The differences by pixel, 0..1."""
    power = _hyab(ours[0] - theirs[0]) ** Q_COLOR - SOFT ** (Q_COLOR / 2)
    color = _redistributed(power.clamp(min=0), _largest(ours[0]) ** Q_COLOR)
    differences = [(_length(a) - _length(b)).abs() for a, b in zip(ours[1:], theirs[1:], strict=True)]
    detail = (torch.maximum(*differences) / math.sqrt(2)).clamp(0, 1)
    detail = (detail + SOFT) ** Q_FEATURE - SOFT**Q_FEATURE
    return ((color + SOFT) ** (1 - detail) - SOFT ** (1 - detail))[0, 0].clamp(min=0)


def _length(vectors: Float[Tensor, "1 2 h w"]) -> Float[Tensor, "1 1 h w"]:
    return (vectors.square().sum(1, keepdim=True) + SOFT**2).sqrt()


def _hyab(apart: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Lightness in absolute terms and the two colors in Euclidean ones (Abasi 2020); the root of `SOFT` of equals."""
    lightness = (apart[:, :1].square() + SOFT).sqrt()
    return lightness + (apart[:, 1:].square().sum(1, keepdim=True) + SOFT).sqrt() - math.sqrt(SOFT)


def _redistributed(power: Tensor, most: float) -> Tensor:
    """Small differences over most of the range, the large ones over the rest."""
    bend = P_COLOR * most
    small = T_COLOR / bend * power
    large = T_COLOR + (power - bend) / (most - bend) * (1 - T_COLOR)
    return torch.where(power < bend, small, large)


@lru_cache(maxsize=4)
def _largest_of(dtype: torch.dtype, device: torch.device) -> float:
    primaries = torch.tensor([[0.0, 1, 0], [0, 0, 1]], dtype=dtype, device=device)  # green and blue
    lab = _hunt_lab(_matrix(primaries.T[None, :, :, None], TO_XYZ))
    apart = lab[..., :1, :] - lab[..., 1:, :]
    return float(apart[:, 0].abs() + apart[:, 1:].square().sum(1).sqrt())


def _largest(like: Tensor) -> float:
    """The largest distance that there is, of green from blue."""
    return _largest_of(like.dtype, like.device)


def _decode(image: Tensor) -> Tensor:
    """Linear light of sRGB."""
    image = image.clamp(0, 1)
    return torch.where(image > 0.04045, ((image.clamp(min=0.04) + 0.055) / 1.055) ** 2.4, image / 12.92)


def _matrix(planes: Planes, rows: tuple[tuple[float, ...], ...]) -> Planes:
    return torch.einsum("ij,njhw->nihw", planes.new_tensor(rows), planes)


def _white(like: Tensor) -> Float[Tensor, "1 3 1 1"]:
    return like.new_tensor([sum(row) for row in TO_XYZ]).view(1, 3, 1, 1)


def _opponent(xyz: Planes) -> Planes:
    """Y, C_x, C_z: linear in light, in which the eye's filters are known."""
    x, y, z = (xyz / _white(xyz)).split(1, 1)
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _filtered(opponent: Planes) -> Planes:
    """Blurred by the contrast sensitivity, as XYZ within what a display shows."""
    kernels = _sensitivity_kernels(opponent.dtype, opponent.device)
    reach = kernels[0].shape[-1] // 2
    padded = functional.pad(opponent, (reach,) * 4, mode="replicate")
    blurred = [_two_gaussians(padded[:, n : n + 1], kernel) for n, kernel in enumerate(kernels)]
    y = (blurred[0] + 16) / 116
    xyz = torch.cat([blurred[1] / 500 + y, y, y - blurred[2] / 200], 1) * _white(opponent)
    inverse = torch.linalg.inv(torch.tensor(TO_XYZ, dtype=torch.float64)).tolist()
    shown = _matrix(xyz, tuple(map(tuple, inverse))).clamp(0, 1)
    return _matrix(shown, TO_XYZ)


def _two_gaussians(
    plane: Float[Tensor, "1 1 h w"], factors: Float[Tensor, "k s"]
) -> Float[Tensor, "1 1 h2 w2"]:
    """A sum of separable filters: the product of each row of factors with itself."""
    size = factors.shape[1]
    rows = functional.conv2d(plane, factors.view(-1, 1, size, 1))
    return functional.conv2d(rows, factors.view(1, -1, 1, size))


@lru_cache(maxsize=4)
def _sensitivity_kernels(dtype: torch.dtype, device: torch.device) -> tuple[Float[Tensor, "k s"], ...]:
    """Of each channel the factors of its Gaussians, of sum 1 together."""
    widest = max(max(b1, b2) for _, b1, _, b2 in SENSITIVITY)
    reach = math.ceil(3 * math.sqrt(widest / (2 * math.pi**2)) * PIXELS_PER_DEGREE)
    at = torch.arange(-reach, reach + 1, dtype=torch.float64) / PIXELS_PER_DEGREE
    made = []
    for a1, b1, a2, b2 in SENSITIVITY:
        parts = [(a * math.sqrt(math.pi / b), b) for a, b in ((a1, b1), (a2, b2)) if a]
        factors = torch.stack([math.sqrt(a) * torch.exp(-(math.pi**2) * at**2 / b) for a, b in parts])
        made.append((factors / factors.sum(1).square().sum().sqrt()).to(device, dtype))
    return tuple(made)


def _hunt_lab(xyz: Planes) -> Planes:
    """CIE L*a*b* with colors that count for less in the dark (Hunt 1952)."""
    t = xyz / _white(xyz)
    delta = 6 / 29
    root = torch.where(t > delta**3, t.clamp(min=delta**3 / 2) ** (1 / 3), t / (3 * delta**2) + 4 / 29)
    x, y, z = root.split(1, 1)
    lightness = 116 * y - 16
    return torch.cat([lightness, 0.01 * lightness * 500 * (x - y), 0.01 * lightness * 200 * (y - z)], 1)


def _details(
    lightness: Float[Tensor, "1 1 h w"],
) -> tuple[Float[Tensor, "1 2 h w"], Float[Tensor, "1 2 h w"]]:
    """Edges and points, each in two directions: first and second derivatives of a Gaussian."""
    blur, first, second = _detail_taps(lightness.dtype, lightness.device)
    reach = len(blur) // 2
    padded = functional.pad(lightness, (reach,) * 4, mode="replicate")

    def both(taps: Tensor) -> Tensor:
        across = _separable(padded, taps, blur)
        return torch.cat([across, _separable(padded, blur, taps)], 1)

    return both(first), both(second)


def _separable(plane: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    return functional.conv2d(functional.conv2d(plane, along_y.view(1, 1, -1, 1)), along_x.view(1, 1, 1, -1))


@lru_cache(maxsize=4)
def _detail_taps(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A Gaussian of sum 1, and its derivatives: positive and negative weights add up to 1 and -1."""
    sigma = 0.5 * WIDTH_FEATURE * PIXELS_PER_DEGREE
    at = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1, dtype=torch.float64)
    bell = torch.exp(-(at**2) / (2 * sigma**2))
    first, second = -at * bell, (at**2 / sigma**2 - 1) * bell
    made = [bell / bell.sum()]
    for taps in (first, second):
        positive, negative = taps.clamp(min=0), taps.clamp(max=0)
        made.append(positive / positive.sum() - negative / negative.sum())
    return tuple(taps.to(device, dtype) for taps in made)  # type: ignore[return-value]
