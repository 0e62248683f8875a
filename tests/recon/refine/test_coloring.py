"""Colors of surface points: from the cameras that see them, and from no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.refine.coloring import bilinear, color_points, sample_points, surfels
from simulacra.render.camera import Cameras, look_at

SIZE, RADIUS, SPACING = 96, 0.2, 0.012
RED, BLUE, GREEN = (0.8, 0.1, 0.1), (0.1, 0.1, 0.8), (0.1, 0.8, 0.1)


def ball(count: int = 4000) -> tuple[Tensor, Tensor]:
    """Points and outward normals of a ball at the origin, evenly spread (a Fibonacci lattice)."""
    index = torch.arange(count) + 0.5
    y = 1 - 2 * index / count
    turn = torch.pi * (1 + 5**0.5) * index
    around = (1 - y * y).sqrt()
    normals = torch.stack([around * turn.cos(), y, around * turn.sin()], -1)
    return RADIUS * normals, normals


def camera_at(*eye: float) -> Cameras:
    return look_at(torch.tensor([eye]), torch.zeros(1, 3), 150.0, SIZE, SIZE)


def photograph(camera: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """The ball, red where x > 0 and blue where x < 0, on white; and its mask."""
    rays = camera.local_rays()[0].double().numpy()
    middle = camera.viewmats[0, :3, 3].double().numpy()
    a, b, c = (rays**2).sum(-1), rays @ middle, middle @ middle - RADIUS**2
    inside = b**2 - a * c > 0
    depth = np.where(inside, (b - np.sqrt(np.maximum(b**2 - a * c, 0))) / a, 1)
    points = camera.unproject(torch.from_numpy(depth).float()[None])[0].numpy()
    image = np.where(points[..., :1] > 0, RED, BLUE)
    return np.where(inside[..., None], image, 1).astype(np.float32), inside.astype(np.float32)


def even(points: torch.Tensor, spacing: float = SPACING) -> torch.Tensor:
    return torch.full((len(points),), spacing)


def test_each_side_gets_its_color() -> None:
    points, normals = ball()
    cameras = [
        camera_at(*eye) for eye in ((1.0, 0.1, 0.3), (-1.0, 0.1, 0.3), (0.1, 0.3, -1.0), (0.0, 0.2, 1.0))
    ]
    images, masks = zip(*map(photograph, cameras), strict=True)
    colors, seen = color_points(points, normals, even(points), images, masks, cameras)
    assert seen.float().mean() > 0.65
    for side, truth in ((points[:, 0] > 0.02, RED), (points[:, 0] < -0.02, BLUE)):
        # Not one point has a color of the far side, of the white background, or of a mixture.
        torch.testing.assert_close(
            colors[side & seen], torch.tensor(truth).expand(int((side & seen).sum()), 3), atol=0.02, rtol=0
        )


def test_hidden_points_take_their_neighbours_colors() -> None:
    points, normals = ball()
    camera = camera_at(1.0, 0.0, 0.0)
    image, mask = photograph(camera)
    colors, seen = color_points(points, normals, even(points), [image], [mask], [camera])
    assert not seen[points[:, 0] < 0].any()
    assert seen[points[:, 0] > 0.13].float().mean() > 0.99
    red = torch.tensor(RED).expand_as(colors)
    torch.testing.assert_close(colors, red, atol=0.02, rtol=0)  # all red: the camera has seen nothing else


def test_nothing_is_colored_through_something_else() -> None:
    """A green plate hangs between the camera and the ball; the ball's middle is behind it."""
    points, normals = ball()
    side = torch.linspace(-0.06, 0.06, 16)
    y, z = torch.meshgrid(side, side, indexing="ij")
    plate = torch.stack([torch.full_like(y, 0.4), y, z], -1).reshape(-1, 3)
    camera = camera_at(1.0, 0.0, 0.0)
    image, mask = photograph(camera)
    uv, _ = camera.project(plate)
    low, high = uv[0].amin(0).floor().int().tolist(), uv[0].amax(0).ceil().int().tolist()
    image[low[1] : high[1], low[0] : high[0]] = GREEN
    both = torch.cat([points, plate])
    directions = torch.cat([normals, torch.tensor([1.0, 0, 0]).expand_as(plate)])
    colors, seen = color_points(both, directions, even(both), [image], [mask], [camera])
    behind = (points[:, 0] > 0.1) & (points[:, 1:].abs().amax(1) < 0.04)
    assert behind.sum() > 20
    assert not seen[: len(points)][behind].any()
    torch.testing.assert_close(colors[len(points) :].median(0).values, torch.tensor(GREEN), atol=0.02, rtol=0)
    # Without the plate the same points are seen.
    _, seen = color_points(points, normals, even(points), [image], [mask], [camera])
    assert seen[behind].all()


def test_colors_beside_the_edge_of_something_nearer_count_for_little() -> None:
    """A plate half a metre before a wall, both seen frontally: beside its outline a small error of calibration would
    paint the wall in the plate's color.
    """
    side = torch.linspace(-0.2, 0.2, 64)
    y, z = torch.meshgrid(side, side, indexing="ij")
    wall = torch.stack([torch.zeros_like(y), y, z], -1).reshape(-1, 3)
    small = torch.linspace(-0.05, 0.05, 32)
    y, z = torch.meshgrid(small, small, indexing="ij")
    plate = torch.stack([torch.full_like(y, 0.5), y, z], -1).reshape(-1, 3)
    both = torch.cat([wall, plate])
    camera = camera_at(1.5, 0.0, 0.0)
    image, mask = np.ones((SIZE, SIZE, 3), np.float32), np.ones((SIZE, SIZE), np.float32)
    facing_it = torch.tensor([1.0, 0, 0]).expand_as(both)
    trust = sample_points(both, facing_it, even(both, 0.0065), image, mask, camera).trust[: len(wall)]
    # The plate's shadow on the wall is half as large again; a pixel of the camera is so many metres on the wall.
    pixel = 1.5 / float(camera.Ks[0, 0, 0])
    beyond = wall[:, 1:].abs().amax(1) - 0.075
    assert trust[(beyond > 0) & (beyond < 5 * pixel)].max() < 0.05
    assert trust[(beyond > 9 * pixel) & (beyond < 0.11)].min() > 0.8
    # A slanted wall has no edges: each of its places is nearer than the next, and all count.
    slanted = wall + torch.stack([0.4 * wall[:, 1], torch.zeros(len(wall)), torch.zeros(len(wall))], -1)
    normal = (torch.tensor([1.0, -0.4, 0]) / 1.16**0.5).expand_as(slanted)
    trust = sample_points(slanted, normal, even(slanted, 0.007), image, mask, camera).trust
    inner = slanted[:, 1:].abs().amax(1) < 0.15
    assert (trust[inner] > 0.5).float().mean() > 0.99


def test_nobody_is_colored_by_what_is_beside_the_mask() -> None:
    points, normals = ball(500)
    camera = camera_at(1.0, 0.0, 0.0)
    image, mask = photograph(camera)
    colors, seen = color_points(points, normals, even(points, 0.03), [image], [np.zeros_like(mask)], [camera])
    assert not seen.any()
    torch.testing.assert_close(colors, torch.full_like(colors, 0.5))


def test_frontal_views_count_more() -> None:
    points, normals = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    cameras = [camera_at(1.0, 0.0, 0.0), camera_at(0.5, 0.0, 3**0.5 / 2)]  # cosines 1 and 1/2: squared 4 to 1
    images = [np.full((SIZE, SIZE, 3), value, np.float32) for value in (1.0, 0.0)]
    masks = [np.ones((SIZE, SIZE), np.float32)] * 2
    colors, _ = color_points(points, normals, even(points), images, masks, cameras)
    assert float(colors[0, 0]) == pytest.approx(0.8, abs=1e-3)


def test_surfels_are_thin_along_the_normal() -> None:
    points, normals = ball(10)
    made = surfels(points, normals, torch.full_like(points, 0.3), even(points, 0.01))
    scales = made.log_scales.exp()
    assert (scales[:, 2] < scales[:, 0] / 2).all()
    torch.testing.assert_close(0.5 + 0.28209479177387814 * made.sh[:, 0], torch.full_like(points, 0.3))


def test_bilinear_reads_pixel_centres_exactly_and_halfway_between() -> None:
    image = torch.arange(12.0).reshape(3, 4, 1)
    uv = torch.tensor([[0.5, 0.5], [2.5, 1.5], [2.0, 1.5], [-3.0, 1.0]])
    torch.testing.assert_close(bilinear(image, uv)[:, 0], torch.tensor([0.0, 6.0, 5.5, 0.0]))
