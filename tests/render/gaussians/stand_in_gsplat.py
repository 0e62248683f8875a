"""A stand-in for the module ``gsplat`` on machines without a card, so that the adapter's own lines run.

Each function has the name, the parameters and the checks of shape of gsplat 1.5.3's own
(``gsplat/cuda/_wrapper.py``), as far as the adapter uses them, and does by dense torch what that version's
CUDA kernels do by their documentation. It shows that the adapter calls what it means to call; whether gsplat
itself agrees with the reference, only a card can show.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simulacra.render.gaussians import Gaussians, reference


def fully_fused_projection(
    means: Tensor,
    covars: Tensor | None,
    quats: Tensor,
    scales: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    eps2d: float = 0.3,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    packed: bool = False,
    sparse_grad: bool = False,
    calc_compensations: bool = False,
    camera_model: str = "pinhole",
    opacities: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    n = len(means)
    assert covars is None
    assert (quats.shape, scales.shape) == ((n, 4), (n, 3))
    assert opacities is None or opacities.shape == (n,)
    assert (viewmats.shape[1:], Ks.shape[1:]) == ((4, 4), (3, 3))
    assert near_plane == reference.NEAR
    opaque = torch.full_like(means[:, 0], 30.0)
    gaussians = Gaussians(means, quats, scales.log(), opaque, means.new_zeros(n, 1, 3))
    parts = []
    for viewmat, K in zip(viewmats, Ks):
        screen = reference.project(gaussians, viewmat, K, width, height, "antialiased", eps2d)
        full = opacities * (screen.opacities if calc_compensations else 1)
        deviations = torch.diagonal(screen.covariances, dim1=1, dim2=2).sqrt().detach()
        radii = (3.33 * deviations).ceil()
        inside = (screen.means + radii > 0) & (screen.means - radii < torch.tensor([width, height]))
        kept = (screen.depths > near_plane) & (full >= reference.ALPHA_MIN) & inside.all(-1)
        inverse = torch.linalg.inv(screen.covariances)
        conics = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], -1)
        # Rows that are not drawn are whatever the memory held.
        junk = torch.tensor(float("nan"), dtype=means.dtype)
        rows = (screen.means, screen.depths, conics, screen.opacities)
        rows = [torch.where(kept.view(-1, *[1] * (row.ndim - 1)), row, junk) for row in rows]
        parts.append(((radii * kept[:, None]).int(), *rows))
    radii, means2d, depths, conics, compensations = (torch.stack(part) for part in zip(*parts))
    return radii, means2d, depths, conics, compensations if calc_compensations else None


def isect_tiles(
    means2d: Tensor, radii: Tensor, depths: Tensor, tile_size: int, tile_width: int, tile_height: int
) -> tuple[Tensor, Tensor, Tensor]:
    count, n = depths.shape
    assert (means2d.shape, radii.shape, radii.dtype) == ((count, n, 2), (count, n, 2), torch.int32)
    order = torch.where(radii[..., 0] > 0, depths, torch.inf).argsort(dim=-1, stable=True)
    drawn = (radii[..., 0] > 0).sum(-1)
    listed = [order[i, : drawn[i]] + i * n for i in range(count)]
    return torch.empty(0), torch.cat(listed), torch.cat(listed)


def isect_offset_encode(isect_ids: Tensor, n_images: int, tile_width: int, tile_height: int) -> Tensor:
    return torch.zeros(n_images, tile_height, tile_width, dtype=torch.int32)


def rasterize_to_pixels(
    means2d: Tensor,
    conics: Tensor,
    colors: Tensor,
    opacities: Tensor,
    image_width: int,
    image_height: int,
    tile_size: int,
    isect_offsets: Tensor,
    flatten_ids: Tensor,
    backgrounds: Tensor | None = None,
    masks: Tensor | None = None,
    packed: bool = False,
    absgrad: bool = False,
) -> tuple[Tensor, Tensor]:
    count, n, channels = colors.shape
    assert (means2d.shape, conics.shape, opacities.shape) == ((count, n, 2), (count, n, 3), (count, n))
    assert backgrounds.shape == (count, channels)
    assert isect_offsets.shape == (count, -(-image_height // tile_size), -(-image_width // tile_size))
    images, alphas = [], []
    for i in range(count):
        chosen = flatten_ids[(flatten_ids >= i * n) & (flatten_ids < (i + 1) * n)] - i * n
        a, b, d = conics[i][chosen].unbind(-1)
        covariances = torch.linalg.inv(torch.stack([a, b, b, d], -1).unflatten(-1, (2, 2)))
        every = torch.ones(len(chosen), dtype=torch.bool)
        opacity = opacities[i][chosen]
        screen = reference.ScreenGaussians(means2d[i][chosen], covariances, opacity, opacity, every)
        size = (image_width, image_height)
        weights, left = reference.blend_weights(reference.pixel_alphas(screen, *size))
        blended = weights @ colors[i][chosen] + left[:, None] * backgrounds[i]
        images.append(blended.unflatten(0, size[::-1]))
        alphas.append((1 - left).unflatten(0, size[::-1])[..., None])
    return torch.stack(images), torch.stack(alphas)
