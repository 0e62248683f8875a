"""The fastest way found to draw Gaussians in plain torch: what the compiled backend is compared with.

Gaussians go into lists of 16 x 16 pixel tiles, and tiles of about the same list length are drawn together, each pixel
of a tile against the whole list: dense products and running products over padded lists, gradients by autograd. A
group of tiles is drawn anew in the backward pass (checkpointing), since a step at 1024² would otherwise keep gigabytes.
Rules and numbers are those of ``render.gaussians.reference``. It is a benchmark's opponent, not a backend.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, rgb_from_sh
from simulacra.render.gaussians.reference import (
    ALPHA_MAX,
    ALPHA_MIN,
    TRANSMITTANCE_MIN,
    ScreenGaussians,
    project,
    radii,
)

TILE = 16
PAIRS = 1 << 23  # (pixel, Gaussian) pairs of a group of tiles: its arrays stay near 32 MB


def draw(gaussians: Gaussians, cameras: Cameras) -> Float[Tensor, "h w 3"]:
    """Color over black of the batch's first camera."""
    viewmat, K, width, height = cameras.viewmats[0], cameras.Ks[0], cameras.width, cameras.height
    screen = project(gaussians, viewmat, K, width, height)
    rgb = rgb_from_sh(gaussians.sh, gaussians.means, cameras.centers())[0]
    columns, rows = -(-width // TILE), -(-height // TILE)
    with torch.no_grad():
        starts, lists = _tile_lists(screen, width, height)
    conics = torch.linalg.inv(screen.covariances)
    features = torch.cat(
        [screen.means, conics[:, 0, :1], conics[:, 0, 1:], conics[:, 1, 1:], screen.opacities[:, None], rgb],
        1,
    )
    tiles = features.new_zeros(columns * rows, TILE * TILE, 3)
    for group in _groups(starts[1:] - starts[:-1]):
        drawn = checkpoint(_draw_tiles, features, group, starts, lists, columns, use_reentrant=False)
        tiles = tiles.index_copy(0, group, drawn)
    image = tiles.view(rows, columns, TILE, TILE, 3).transpose(1, 2).reshape(rows * TILE, columns * TILE, 3)
    return image[:height, :width]


def _tile_lists(
    screen: ScreenGaussians, width: int, height: int
) -> tuple[Int[Tensor, " t1"], Int[Tensor, " e"]]:
    """Where each tile's list starts, and the lists: indices of Gaussians from near to far."""
    extent = radii(screen, width, height)
    reach = (2 * torch.log(screen.opacities / ALPHA_MIN).clamp(min=0)).sqrt()
    half = reach[:, None] * torch.diagonal(screen.covariances, dim1=1, dim2=2).sqrt()
    order = torch.argsort(screen.depths, stable=True)
    order = order[extent[order] > 0]
    last = half.new_tensor([width - 1, height - 1])
    low = torch.ceil(screen.means - half - 0.5).clamp(min=0)[order].long() // TILE
    high = torch.minimum(torch.floor(screen.means + half - 0.5), last)[order].long() // TILE
    spans = high - low + 1
    counts = spans.prod(1)
    owner = torch.repeat_interleave(torch.arange(len(order)), counts)
    within = torch.arange(len(owner)) - (counts.cumsum(0) - counts)[owner]
    columns, rows = -(-width // TILE), -(-height // TILE)
    x = low[owner, 0] + within % spans[owner, 0]
    y = low[owner, 1] + within // spans[owner, 0]
    tile, by_tile = torch.sort(y * columns + x, stable=True)
    starts = torch.searchsorted(tile, torch.arange(columns * rows + 1))
    return starts, order[owner[by_tile]]


def _groups(lengths: Int[Tensor, " t"]) -> list[Int[Tensor, " g"]]:
    """Tiles that hold something, in runs of similar length."""
    order = torch.argsort(lengths, stable=True)
    order = order[lengths[order] > 0]
    groups, first = [], 0
    while first < len(order):
        stop = len(order)
        while stop > first + 1 and (stop - first) * int(lengths[order[stop - 1]]) * TILE * TILE > PAIRS:
            stop = first + max(1, (stop - first) // 2)
        groups.append(order[first:stop])
        first = stop
    return groups


def _draw_tiles(
    features: Float[Tensor, "n 9"],
    tiles: Int[Tensor, " g"],
    starts: Int[Tensor, " t1"],
    lists: Int[Tensor, " e"],
    columns: int,
) -> Float[Tensor, "g p 3"]:
    lengths = (starts[1:] - starts[:-1])[tiles]
    place = torch.arange(int(lengths.max()))
    real = place < lengths[:, None]
    indices = lists[(starts[tiles][:, None] + place).clamp(max=len(lists) - 1)]
    x, y, a, b, c, opacity, *_ = (column[:, None] for column in features[indices].unbind(-1))
    pixels = torch.arange(TILE * TILE)
    dx = ((tiles % columns) * TILE)[:, None, None] + (pixels % TILE + 0.5)[:, None] - x
    dy = ((tiles // columns) * TILE)[:, None, None] + (pixels // TILE + 0.5)[:, None] - y
    alphas = (opacity * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)).clamp(max=ALPHA_MAX)
    alphas = torch.where((alphas >= ALPHA_MIN) & real[:, None], alphas, 0)
    running = torch.cumprod(1 - alphas, dim=2)
    before = torch.cat([torch.ones_like(running[..., :1]), running[..., :-1]], 2)
    weights = torch.where(running > TRANSMITTANCE_MIN, alphas * before, 0)
    return weights @ features[indices][..., 6:]
