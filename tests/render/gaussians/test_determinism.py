"""The same inputs give the same bits, whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from simulacra.render.gaussians import rasterize_features, rasterize_gaussians
from simulacra.render.gaussians.sorting import sort_into_tiles

from .conftest import INPUTS, make_scene


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def train(threads: int, steps: int) -> bytes:
    """A few steps of gradient descent on 20000 Gaussians (enough for every pass to be cut); all bits of
    the result.
    """
    torch.set_num_threads(threads)
    scene = make_scene(1, n=20000, width=70, height=60, cameras=1, degree=1)
    leaves = scene.in_type(torch.float32)
    target = torch.rand(1, 60, 70, 3, generator=torch.Generator().manual_seed(0))
    result = None
    for _ in range(steps):
        result = rasterize_gaussians(
            scene.gaussians(leaves),
            scene.cameras(leaves),
            background=leaves["background"],
            screen_offsets=leaves["screen_offsets"],
            backend="cpu",
        )
        loss = ((result.rgb_premul - target).square()).mean() + 0.01 * result.depth.mean()
        gradients = torch.autograd.grad(loss, [leaves[name] for name in INPUTS])
        leaves = {
            name: (leaves[name].detach() - 0.1 * gradient).requires_grad_()
            for name, gradient in zip(INPUTS, gradients)
        }
    parts = [leaves[name].detach() for name in INPUTS] + [result.rgb_premul.detach(), result.screen.radii]
    return b"".join(part.numpy().tobytes() for part in parts)


def test_training_is_the_same_on_one_two_and_three_threads() -> None:
    once = train(1, 5)
    assert train(2, 5) == once
    assert train(3, 5) == once
    assert train(1, 4) != once  # the control: the bytes do depend on what was done


def optimise(threads: int, steps: int) -> bytes:
    """Adam on every field, the cameras, the background and features, antialiased, with median depths in the
    loss: all bits of the result. 4500 small Gaussians, so that every pass over Gaussians is cut.
    """
    torch.set_num_threads(threads)
    scene = make_scene(2, n=4500, width=67, height=34, cameras=2, degree=0)
    leaves = scene.in_type(torch.float32)
    leaves["log_scales"] = (scene.leaves["log_scales"] - 2).float().requires_grad_()
    leaves["features"] = torch.zeros(4500, 5, requires_grad=True)
    target = torch.rand(2, 34, 67, 5, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(list(leaves.values()), lr=1e-3)
    result = None
    for _ in range(steps):
        optimiser.zero_grad()
        gaussians, cameras = scene.gaussians(leaves), scene.cameras(leaves)
        options = {"mode": "antialiased", "screen_offsets": leaves["screen_offsets"]}
        result = rasterize_gaussians(
            gaussians, cameras, background=leaves["background"], also=["median_depth", "weights"], **options
        )
        drawn = rasterize_features(gaussians, leaves["features"], cameras, **options)
        loss = (result.rgb_premul - target[..., :3]).square().mean()
        loss = loss + (drawn.features_premul - target).square().mean() + 0.01 * result.median_depth.mean()
        loss.backward()
        optimiser.step()
    parts = [leaf.detach() for leaf in leaves.values()]
    parts += [result.rgb_premul.detach(), result.screen.total_weights, result.screen.largest_weights]
    return b"".join(part.numpy().tobytes() for part in parts)


def test_fifty_steps_of_adam_are_the_same_on_one_and_two_threads() -> None:
    assert optimise(1, 50) == optimise(2, 50)
    assert optimise(1, 2) != optimise(1, 1)  # the control


def test_sorting_is_exact_and_stable() -> None:
    """Against numpy: every tile lists its Gaussians by (depth, index); slots are numbered Gaussian by
    Gaussian.
    """
    rng = np.random.default_rng(0)
    n, columns, rows = 40000, 5, 4
    # Depths over four octaves with many exact ties and neighbours one bit apart.
    depths = rng.choice(rng.uniform(0.5, 8.0, 500), n).astype(np.float32)
    depths = np.where(rng.random(n) < 0.5, depths, np.nextafter(depths, np.float32(9)))
    first = rng.integers(0, [columns, rows], (n, 2))
    last = np.minimum(first + rng.integers(-1, 3, (n, 2)), [columns - 1, rows - 1])
    tiles = np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], 1).astype(np.int16)
    tiles[(last < first).any(1)] = [0, -1, 0, -1]
    order = np.lexsort((np.arange(n), depths))
    for threads in (1, 2, 5):
        starts, entries, slots = sort_into_tiles(depths, tiles, columns, rows, threads)
        area = np.clip(tiles[:, 1] - tiles[:, 0] + 1, 0, None) * np.clip(
            tiles[:, 3] - tiles[:, 2] + 1, 0, None
        )
        assert np.array_equal(slots, np.concatenate([[0], np.cumsum(area)]))
        for tile in range(columns * rows):
            x, y = tile % columns, tile // columns
            inside = (tiles[:, 0] <= x) & (x <= tiles[:, 1]) & (tiles[:, 2] <= y) & (y <= tiles[:, 3])
            listed = entries[starts[tile] : starts[tile + 1]]
            assert np.array_equal(listed[:, 0], order[inside[order]])
            place = (y - tiles[listed[:, 0], 2]) * (tiles[listed[:, 0], 1] - tiles[listed[:, 0], 0] + 1)
            assert np.array_equal(listed[:, 1], slots[listed[:, 0]] + place + x - tiles[listed[:, 0], 0])
