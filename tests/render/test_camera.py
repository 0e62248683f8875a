"""Cameras: where known points land, and that projecting and unprojecting cancel."""

import torch

from simulacra.render.camera import Cameras, look_at


def one_camera(width: int = 12, height: int = 8) -> Cameras:
    eye = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    return look_at(eye, torch.tensor([[0.2, 0.5, -0.4]], dtype=torch.float64), 9.0, width, height)


def test_a_point_on_the_principal_ray_lands_on_the_principal_point() -> None:
    K = torch.tensor([[[500.0, 0, 310.25], [0, 480.0, 239.5], [0, 0, 1]]])
    camera = Cameras(torch.eye(4)[None], K, 640, 480)
    uv, depth = camera.project(torch.tensor([[0.0, 0.0, 2.0]]))
    assert uv[0, 0].tolist() == [310.25, 239.5] and depth[0, 0] == 2


def test_right_is_right_and_down_is_down_in_the_image() -> None:
    camera = Cameras(torch.eye(4)[None], torch.tensor([[[100.0, 0, 50], [0, 100, 50], [0, 0, 1]]]), 100, 100)
    uv, _ = camera.project(torch.tensor([[0.1, 0.0, 1.0], [0.0, 0.2, 1.0]]))
    torch.testing.assert_close(uv[0], torch.tensor([[60.0, 50.0], [50.0, 70.0]]))


def test_look_at_sees_its_target_in_the_middle_and_up_as_up() -> None:
    camera = one_camera()
    target = torch.tensor([[0.2, 0.5, -0.4]], dtype=torch.float64)
    above = target + torch.tensor([[0.0, 0.1, 0.0]], dtype=torch.float64)
    uv, depth = camera.project(torch.cat([target, above]))
    torch.testing.assert_close(uv[0, 0], torch.tensor([6.0, 4.0]).double())
    assert uv[0, 1, 1] < uv[0, 0, 1]
    torch.testing.assert_close(uv[0, 1, 0], uv[0, 0, 0])
    torch.testing.assert_close(depth[0, 0], (target - camera.centers()).norm())


def test_unprojected_pixels_project_to_their_centres() -> None:
    camera = one_camera()
    generator = torch.Generator().manual_seed(0)
    depth = 1 + torch.rand(1, 8, 12, generator=generator, dtype=torch.float64)
    uv, back = camera.project(camera.unproject(depth).reshape(-1, 3))
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(12), indexing="ij")
    centres = torch.stack([columns + 0.5, rows + 0.5], -1).reshape(-1, 2).double()
    torch.testing.assert_close(uv[0], centres)
    torch.testing.assert_close(back[0], depth.reshape(-1))


def test_scaling_moves_points_with_the_image() -> None:
    camera = one_camera()
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    uv, depth = camera.project(points)
    scaled_uv, scaled_depth = camera.scaled(36, 4).project(points)
    torch.testing.assert_close(scaled_uv, uv * torch.tensor([3.0, 0.5], dtype=torch.float64))
    torch.testing.assert_close(scaled_depth, depth)


def test_a_window_moves_points_by_its_corner() -> None:
    camera = one_camera()
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    window = camera.cropped(-3, 2, 6, 5)
    torch.testing.assert_close(
        window.project(points)[0], camera.project(points)[0] - torch.tensor([-3.0, 2.0]).double()
    )
    assert (window.width, window.height) == (6, 5)


def test_the_parent_is_left_alone_by_windows() -> None:
    camera = one_camera()
    before = camera.Ks.clone()
    camera.cropped(3, 3, 2, 2)
    assert torch.equal(camera.Ks, before)


def test_an_index_keeps_the_batch() -> None:
    cameras = look_at(torch.eye(3), torch.zeros(3, 3), 10.0, 4, 4)
    assert len(cameras[-1]) == 1 and len(cameras[1:]) == 2
    assert torch.equal(cameras[-1].viewmats[0], cameras.viewmats[2])
    assert cameras.to(torch.float64).Ks.dtype == torch.float64
