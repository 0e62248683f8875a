"""Turntable and overlay: the whole avatar is in every picture, from the side that is asked for."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.avatar.pictures import (
    BACKDROP,
    Sphere,
    bounding_sphere,
    draw_overlay,
    turntable_cameras,
    write_overlay,
    write_turntable,
)
from simulacra.render.camera import look_at
from simulacra.render.figure import GaussianFigure
from simulacra.render.gaussians import Gaussians
from simulacra.render.image import read_image


def ball(
    count: int = 4000, center: tuple[float, float, float] = (0.3, 1.0, -0.2), radius: float = 0.5
) -> Gaussians:
    """Small Gaussians on a sphere: red where x is large, else green."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    red = torch.tensor([1.0, -1.7, -1.7])
    green = torch.tensor([-1.7, 1.0, -1.7])
    colors = torch.where(directions[:, :1] > 0, red, green)
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    return Gaussians(
        means=torch.tensor(center) + radius * directions,
        quats=quats,
        log_scales=torch.full((count, 3), math.log(0.02)),
        logit_opacities=torch.full((count,), 4.0),
        sh=colors[:, None],
    )


def test_sphere_is_found_and_a_stray_does_not_move_it() -> None:
    gaussians = ball()
    stray = ball(1, center=(40.0, 0.0, 0.0))
    faint = ball(200, center=(9.0, 9.0, 9.0))
    faint = faint.replace(logit_opacities=torch.full((200,), -3.0))
    for chosen in (gaussians, Gaussians.concatenate([gaussians, stray, faint])):
        sphere = bounding_sphere(GaussianFigure(chosen))
        np.testing.assert_allclose(sphere.center.numpy(), [0.3, 1.0, -0.2], atol=0.02)
        assert sphere.radius == pytest.approx(0.5, abs=0.02)


def test_every_camera_holds_the_whole_sphere_and_looks_at_its_middle() -> None:
    sphere = Sphere(torch.tensor([0.3, 1.0, -0.2]), 0.5)
    cameras = turntable_cameras(sphere, 8, 256)
    directions = torch.nn.functional.normalize(
        torch.randn(500, 3, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    pixels, depth = cameras.project(sphere.center + sphere.radius * directions)
    assert (depth > 0).all()
    assert pixels.min() > 0
    assert pixels.max() < 256
    # Not much larger than needed either: the sphere's outline reaches the last few percent.
    assert pixels.max() > 0.93 * 256
    middle, _ = cameras.project(sphere.center[None])
    torch.testing.assert_close(middle, torch.full((8, 1, 2), 128.0), atol=1e-2, rtol=0)


def test_first_camera_stands_where_the_person_looks_and_the_turn_closes() -> None:
    sphere = Sphere(torch.zeros(3), 1.0)
    ahead = torch.nn.functional.normalize(turntable_cameras(sphere, 4, 64).centers(), dim=-1)
    assert ahead[0, 2] > 0.99
    assert ahead[1, 0] > 0.99
    assert ahead[2, 2] < -0.99
    turned = turntable_cameras(sphere, 4, 64, facing=torch.tensor([-1.0, 0.0, 0.0])).centers()
    assert torch.nn.functional.normalize(turned, dim=-1)[0, 0] < -0.99


def test_turntable_pictures_show_the_near_side(tmp_path: Path) -> None:
    paths = write_turntable(tmp_path, GaussianFigure(ball()), count=4, size=64)
    assert [path.name for path in paths] == ["000.png", "001.png", "002.png", "003.png"]
    assert paths[0].parent == tmp_path / "turntable"
    # Seen from +x the ball is red, from -x green; the corner is the backdrop.
    from_right, from_left = read_image(paths[1]), read_image(paths[3])
    assert from_right[32, 32, 0] > 0.6 > 0.3 > from_right[32, 32, 1]
    assert from_left[32, 32, 1] > 0.6 > 0.3 > from_left[32, 32, 0]
    np.testing.assert_allclose(from_right[0, 0], BACKDROP, atol=1 / 255)


def test_overlay_tints_the_body_and_leaves_the_rest_of_the_photograph(tmp_path: Path) -> None:
    # A square of 1 m, 4 m before a camera whose picture is 2 m wide there.
    verts = torch.tensor([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    camera = look_at(torch.tensor([[0.0, 0.0, 4.0]]), torch.zeros(1, 3), 200.0, 100, 100)
    photo = np.full((100, 100, 3), 0.2, np.float32)
    picture = draw_overlay(photo, camera, verts, faces)
    assert picture.shape == (100, 100, 3)
    np.testing.assert_allclose(picture[10, 10], 0.2, atol=1e-6)
    assert picture[50, 50, 2] > picture[50, 50, 0] > 0.2
    assert picture[27, 27, 2] > 0.3 > picture[23, 23, 2]
    assert write_overlay(tmp_path, "cam1", photo, camera, verts, faces) == tmp_path / "overlay" / "cam1.png"
    assert draw_overlay(photo, camera, verts, faces, longest_side=50).shape == (50, 50, 3)
