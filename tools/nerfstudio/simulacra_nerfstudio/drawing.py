"""Gaussians drawn without a card: every pixel that a Gaussian reaches is a fragment, and all are blended at once.

The projection is that of EWA splatting (Zwicker et al. 2001) as 3D Gaussian splatting has it (Kerbl et al. 2023), with
gsplat's constants. Symbol: n Gaussians.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEAR_M = 0.01
# Added to the variance of a Gaussian on the screen, square pixels.
BLUR = 0.3
# Fainter fragments are not drawn; none hides more than this.
LEAST_ALPHA, MOST_ALPHA = 1 / 255, 0.999
DEVIATIONS = 3.0
# Directions beyond the picture's edge by this factor are projected as if they were there.
BEYOND = 1.3
# A picture with more is drawn in parts: some hundreds of megabytes.
MOST_FRAGMENTS = 4_000_000


def draw(
    splats: dict[str, Tensor], to_camera: Tensor, intrinsics: Tensor, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Color over nothing (h w 3), coverage (h w 1) and expected depth in metres (h w 1, 0 where there is nothing).

    Args:
        splats: means n 3, quats n 4 (wxyz, unit), scales n 3 in metres, opacities n and colors n 3 in 0..1.
        to_camera: 4 4, from the world to OpenCV's axes.
        intrinsics: 3 3 in pixels; the first pixel's center is at (0.5, 0.5).
    """
    projected = project(splats, to_camera, intrinsics, width, height)
    return blend(*projected, (0, height), width)


def project(
    splats: dict[str, Tensor], to_camera: Tensor, intrinsics: Tensor, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of those before the camera, nearest first: where on the screen (n 2), the inverse of the covariance there
    (n 2 2), the radius in pixels (n), and color, depth and opacity (n 5).
    """
    points = splats["means"] @ to_camera[:3, :3].T + to_camera[:3, 3]
    order = torch.argsort(points[:, 2])
    order = order[points[order, 2] > NEAR_M]
    x, y, z = points[order].unbind(1)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    on_screen = torch.stack([fx * x / z + cx, fy * y / z + cy], 1)
    limit = BEYOND * 0.5 * torch.stack([width / fx, height / fy])
    u, v = (value.clamp(-float(most), float(most)) for value, most in zip((x / z, y / z), limit, strict=True))
    nothing = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, nothing, -fx * u / z, nothing, fy / z, -fy * v / z], 1).view(-1, 2, 3)
    axes = rotations(splats["quats"][order]) * splats["scales"][order][:, None]
    spread = jacobian @ (to_camera[:3, :3] @ axes)
    covariance = spread @ spread.transpose(1, 2) + BLUR * torch.eye(2, device=z.device)
    a, b, c = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    largest = (a + c) / 2 + torch.sqrt((((a - c) / 2) ** 2 + b**2).clamp(min=0))
    radius = torch.ceil(DEVIATIONS * torch.sqrt(largest))
    painted = torch.cat([splats["colors"][order], z[:, None], splats["opacities"][order][:, None]], 1)
    return on_screen, torch.linalg.inv(covariance), radius, painted


def blend(
    on_screen: Tensor, inverse: Tensor, radius: Tensor, painted: Tensor, rows: tuple[int, int], width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the picture, from the first to before the last; halved where there are too many fragments."""
    first, last = rows
    low = (on_screen - radius[:, None]).floor().long()
    high = (on_screen + radius[:, None]).ceil().long()
    left, right = low[:, 0].clamp(0, width), high[:, 0].clamp(0, width)
    top, bottom = low[:, 1].clamp(first, last), high[:, 1].clamp(first, last)
    across, counts = right - left, (right - left) * (bottom - top)
    if int(counts.sum()) > MOST_FRAGMENTS and last - first > 1:
        middle = (first + last) // 2
        halves = [
            blend(on_screen, inverse, radius, painted, part, width)
            for part in ((first, middle), (middle, last))
        ]
        color, coverage, depth = (torch.cat(parts) for parts in zip(*halves, strict=True))
        return color, coverage, depth
    whose = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    number = torch.arange(len(whose), device=whose.device) - (counts.cumsum(0) - counts)[whose]
    column = left[whose] + number % across[whose]
    row = top[whose] + torch.div(number, across[whose], rounding_mode="floor")
    dx, dy = column + 0.5 - on_screen[whose, 0], row + 0.5 - on_screen[whose, 1]
    of = inverse[whose]
    distance = of[:, 0, 0] * dx * dx + 2 * of[:, 0, 1] * dx * dy + of[:, 1, 1] * dy * dy
    alpha = (painted[whose, 4] * torch.exp(-0.5 * distance)).clamp(max=MOST_ALPHA)
    kept = alpha >= LEAST_ALPHA
    whose, alpha, pixel = whose[kept], alpha[kept], ((row - first) * width + column)[kept]
    # By pixel, within one in order of depth. What reaches a fragment is the product over those before it in its pixel.
    pixel, order = torch.sort(pixel, stable=True)
    whose, alpha = whose[order], alpha[order]
    light = torch.log1p(-alpha.double())
    before = light.cumsum(0) - light
    begins = torch.ones_like(pixel, dtype=torch.bool)
    begins[1:] = pixel[1:] != pixel[:-1]
    start = before[begins][begins.long().cumsum(0) - 1]
    weight = (alpha * torch.exp(before - start)).float()[:, None]
    total = torch.zeros((last - first) * width, 5, device=alpha.device)
    values = torch.cat([painted[whose, :4], torch.ones_like(weight)], 1)
    total = total.index_add(0, pixel, weight * values).view(last - first, width, 5)
    coverage = total[..., 4:]
    return total[..., :3], coverage, total[..., 3:4] / coverage.clamp(min=1e-8)


def rotations(quats: Tensor) -> Tensor:
    """Unit quaternions wxyz (n 4) as matrices (n 3 3)."""
    w, x, y, z = quats.unbind(1)
    return torch.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
         2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
         2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1,
    ).view(-1, 3, 3)  # fmt: skip
