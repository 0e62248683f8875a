"""What color each surface point has, from the cameras that see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, rasterize_gaussians, sh_from_rgb
from simulacra.render.rotation import quat_facing

# The more frontal a camera sees a point, the more it counts: cosine to this power. More lets one camera speak and keeps
# textures sharp, but where calibration is off by some pixels it is wrong more sharply too.
FRONTALITY_POWER = 2
LEAST_COSINE = 0.15
# A point further behind the drawn surface than this is hidden, metres.
OCCLUSION_M = 0.015
# Colors this close to where something nearer begins, pixels of half the size, count for little: they are taken where
# no camera has better ones. And what is far, metres.
EDGE_PX, EDGE_TRUST, FAR_M = 2, 0.02, 1e3
# Pixels this close to the silhouette are mixed with what is behind.
MASK_BORDER_PX = 2
# Standard deviations of a drawn surface point, in spacings: along the surface and through it. Larger ones bleed over
# every edge of the figure, smaller ones leave cracks that depth is seen through where the screen's dilation is small.
ALONG, THROUGH = 0.6, 0.15
OPACITY_LOGIT = 2.0


def surfels(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    colors: Float[Tensor, "n 3"],
    spacing: Float[Tensor, " n"],
) -> Gaussians:
    """Flat, nearly opaque Gaussians that tile a surface, each as large as its spacing in metres asks for."""
    count = len(points)
    return Gaussians(
        points,
        quat_facing(normals),
        spacing.log()[:, None] + points.new_tensor([ALONG, ALONG, THROUGH]).log(),
        points.new_full((count,), OPACITY_LOGIT),
        sh_from_rgb(colors),
    )


@dataclass(frozen=True)
class Samples:
    """What one camera says of every point: a color, and how much it is worth (0: it does not see it)."""

    colors: Float[Tensor, "n 3"]
    trust: Float[Tensor, " n"]


def color_points(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    spacing: Float[Tensor, " n"],
    images: Iterable[Float[np.ndarray, "h w 3"]],
    masks: Iterable[Float[np.ndarray, "h w"]],
    cameras: Iterable[Cameras],
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, " n"]]:
    """Mean color over the cameras that see each point, and whether any does; the rest takes its neighbours'.

    Args:
        images: one after the other: those of a rig that are read as they are asked for are never all in memory.
        masks: likewise.
    """
    samples = [
        sample_points(points, normals, spacing, image, mask, camera)
        for image, mask, camera in zip(images, masks, cameras, strict=True)
    ]
    return combine_samples(points, samples)


def sample_points(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    spacing: Float[Tensor, " n"],
    image: Float[np.ndarray, "h w 3"],
    mask: Float[np.ndarray, "h w"],
    camera: Cameras,
) -> Samples:
    """The colors of one photograph at the points that it shows.

    Visibility is by drawing the points themselves, at half size, and comparing depths, with a margin where they jump.
    """
    drawn = surfels(points, normals, torch.full_like(points, 0.5), spacing)
    half = camera.scaled(max(1, camera.width // 2), max(1, camera.height // 2))
    drawing = rasterize_gaussians(drawn, half)
    depth = drawing.depth[0] / drawing.alpha[0].clamp(min=1e-6)
    nearest = _nearest_about(depth, drawing.alpha[0])
    uv, z = camera.project(points)
    sight = torch.nn.functional.normalize(camera.centers() - points, dim=-1)
    cosine = (sight * normals).sum(-1)
    window = np.ones((2 * MASK_BORDER_PX + 1,) * 2)
    inner = cv2.erode((mask > 0.5).astype(np.uint8), window).astype(np.float32)
    at = bilinear(torch.from_numpy(np.dstack([image, inner])), uv[0])
    surface, before = bilinear(torch.stack([depth, nearest], -1), uv[0] / 2).unbind(-1)
    # How much nearer the same surface may be at the window's end, where it is slanted.
    slant = EDGE_PX * 2 * z[0] / camera.Ks[0, 0, 0] * torch.sqrt(cosine.clamp(min=LEAST_COSINE) ** -2 - 1)
    sees = (z[0] > 0) & (z[0] < surface + OCCLUSION_M) & (cosine > LEAST_COSINE) & (at[:, 3] > 0.99)
    clear = before > z[0] - OCCLUSION_M - 1.5 * slant
    trust = cosine.clamp(min=0) ** FRONTALITY_POWER * sees * torch.where(clear, 1.0, EDGE_TRUST)
    return Samples(at[:, :3], trust)


def _nearest_about(depth: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """The least depth within a few pixels: what may lie before a place if calibration or surface are a little off."""
    drawn = torch.where(alpha > 0.3, depth, torch.inf).numpy()
    window = np.ones((2 * EDGE_PX + 1,) * 2, np.uint8)
    return torch.from_numpy(cv2.erode(np.minimum(drawn, FAR_M), window))


def combine_samples(
    points: Float[Tensor, "n 3"], samples: Sequence[Samples]
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, " n"]]:
    """Mean colors, and whether any camera sees each point; the rest takes its neighbours'."""
    total, weight = torch.zeros_like(points), points.new_zeros(len(points))
    for sample in samples:
        total += sample.trust[:, None] * sample.colors
        weight += sample.trust
    seen = weight > 0
    return _fill_unseen(points, total / weight.clamp(min=1e-9)[:, None], seen), seen


def bilinear(image: Float[Tensor, "h w c"], uv: Float[Tensor, "n 2"]) -> Float[Tensor, "n c"]:
    """The image at pixel positions (centres at .5), zero outside."""
    size = uv.new_tensor([image.shape[1], image.shape[0]])
    grid = (uv / size * 2 - 1)[None, None]
    sampled = torch.nn.functional.grid_sample(image.permute(2, 0, 1)[None], grid, align_corners=False)
    return sampled[0, :, 0].T


def _fill_unseen(
    points: Float[Tensor, "n 3"], colors: Float[Tensor, "n 3"], seen: Bool[Tensor, " n"]
) -> Float[Tensor, "n 3"]:
    """Points that nobody sees take the mean color of the four nearest that somebody does; grey if there is none."""
    if not bool(seen.any()):
        return torch.full_like(colors, 0.5)
    if bool(seen.all()):
        return colors
    known = points[seen].numpy()
    _, near = cKDTree(known).query(points[~seen].numpy(), k=min(4, len(known)))
    filled = colors.clone()
    filled[~seen] = colors[seen][torch.from_numpy(np.asarray(near).reshape(int((~seen).sum()), -1))].mean(1)
    return filled
