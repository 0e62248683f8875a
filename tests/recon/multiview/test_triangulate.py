"""Triangulation recovers planted points, rejects views that lie and says when it cannot know."""

import tracemalloc

import numpy as np
import pytest

from simulacra.recon.multiview import triangulate as triangulation
from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from simulacra.render.runtime.errors import CaptureError
from tests.recon.planted_person import planted


def test_exact_views_give_exact_points() -> None:
    scene = planted(cameras=5, frames=3)
    result = triangulate(scene.detections, scene.cameras)
    np.testing.assert_allclose(result.points, scene.points, atol=1e-9)
    assert result.inliers.all()
    assert result.residual_px.max() < 1e-6


def test_two_cameras_are_enough() -> None:
    scene = planted(cameras=5)
    pair = np.array([0, 1])
    result = triangulate(scene.detections.of_cameras(pair), scene.cameras.subset(pair))
    np.testing.assert_allclose(result.points, scene.points, atol=1e-9)


def test_noise_stays_within_its_covariance() -> None:
    scene = planted(cameras=6, frames=60, noise_px=4.0)
    result = triangulate(scene.detections, scene.cameras)
    error = result.points - scene.points
    assert np.sqrt((error**2).sum(-1).mean()) < 0.012  # 4 px at 3 m and 1000 px: 12 mm a view, six views
    squared = np.einsum("tki,tkij,tkj->tk", error, np.linalg.inv(result.covariances), error)
    # A chi square of three degrees has mean 3; pooled scales and robust weights leave some room.
    assert 2.0 < np.mean(squared) < 4.5


def test_an_outlier_view_is_named_and_harmless() -> None:
    scene = planted(cameras=5, noise_px=1.0)
    pixels = scene.pixels.copy()
    pixels[:, 2, 15] += [120.0, -60.0]
    result = triangulate(Detections(pixels, scene.confidence), scene.cameras)
    assert not result.inliers[0, 2, 15]
    assert result.inliers[0].sum() == result.inliers[0].size - 1
    assert np.linalg.norm(result.points[0, 15] - scene.points[0, 15]) < 0.006
    assert result.residual_px[0, 2, 15] > 100  # reported, though not used


def test_control_without_rejection_the_outlier_moves_the_point() -> None:
    scene = planted(cameras=5)
    pixels = scene.pixels.copy()
    pixels[:, 2, 15] += [120.0, -60.0]
    trusting = TriangulationConfig(noise_m=10.0, outlier_m=10.0)
    result = triangulate(Detections(pixels, scene.confidence), scene.cameras, trusting)
    assert np.linalg.norm(result.points[0, 15] - scene.points[0, 15]) > 0.03


def test_confident_views_count_more() -> None:
    scene = planted(cameras=4)
    pixels, confidence = scene.pixels.copy(), scene.confidence.copy()
    pixels[:, 0] += 6.0
    confidence[:, 0] = 0.2
    trusted = triangulate(Detections(pixels, confidence), scene.cameras).points
    equal = triangulate(Detections(pixels, scene.confidence), scene.cameras).points
    assert np.abs(trusted - scene.points).mean() < 0.5 * np.abs(equal - scene.points).mean()


def test_unseen_or_contradicted_points_are_nan() -> None:
    scene = planted(cameras=3)
    pixels, confidence = scene.pixels.copy(), scene.confidence.copy()
    pixels[:, 1:, 0] = np.nan  # one view only
    confidence[:, :2, 1] = 0.0  # one view of any confidence
    pixels[:, 0, 2] += [0.0, 300.0]
    pixels[:, 1, 2] -= [0.0, 300.0]  # three views, no two of which agree
    result = triangulate(Detections(pixels, confidence), scene.cameras)
    assert np.isnan(result.points[0, :3]).all() and np.isnan(result.covariances[0, :3]).all()
    assert not result.inliers[0, :, :3].any()
    np.testing.assert_allclose(result.points[0, 3:], scene.points[0, 3:], atol=1e-9)


def test_parallel_rays_fix_no_depth() -> None:
    scene = planted(cameras=5)
    viewmats = np.repeat(scene.viewmats[:1], 2, 0).copy()
    viewmats[1, 0, 3] += 0.01  # a centimetre apart: 0.2 degrees at 3 m
    pixels = np.repeat(scene.pixels[:, :1], 2, 1)
    result = triangulate(Detections(pixels, np.ones((1, 2, 33))), PinholeCameras(viewmats, scene.Ks[:2]))
    assert np.isnan(result.points).all()


def test_rotated_intrinsics_are_understood() -> None:
    """A calibration of images that were turned by 90 degrees has its focal lengths off the diagonal."""
    scene = planted(cameras=4)
    turn = np.array([[0.0, 1, 0], [-1, 0, 1000], [0, 0, 1]])
    homogeneous = np.concatenate([scene.pixels, np.ones((1, 4, 33, 1))], -1) @ turn.T
    seen = Detections(homogeneous[..., :2], scene.confidence)
    result = triangulate(seen, PinholeCameras(scene.viewmats, turn @ scene.Ks))
    np.testing.assert_allclose(result.points, scene.points, atol=1e-9)


def test_one_camera_is_refused() -> None:
    scene, lone = planted(cameras=2), np.array([0])
    with pytest.raises(CaptureError, match="two cameras"):
        triangulate(scene.detections.of_cameras(lone), scene.cameras.subset(lone))


def test_blocks_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of frames, and of landmarks where there are many cameras."""
    scene = planted(cameras=4, frames=7, noise_px=2.0)
    whole = triangulate(scene.detections, scene.cameras)
    for most in (24, 24 * 10, 24 * 33 * 2):  # 24: distances of a point's proposals to its detections
        monkeypatch.setattr(triangulation, "_MOST_DISTANCES", most)
        parts = triangulate(scene.detections, scene.cameras)
        for name in ("points", "covariances", "inliers", "residual_px"):
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), strict=True)


def test_memory_beyond_the_result_does_not_grow_with_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 cameras the distances alone are 59 kB a frame; control: in one block all of them are held."""

    def excess(frames: int) -> int:
        scene = planted(cameras=8, frames=frames)
        tracemalloc.start()
        result = triangulate(scene.detections, scene.cameras)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        parts = (result.points, result.covariances, result.inliers, result.residual_px)
        return peak - 3 * sum(part.nbytes for part in parts)  # information, its inverse and that scaled

    assert excess(600) - excess(300) < 100 * 59_000 / 3
    monkeypatch.setattr(triangulation, "_MOST_DISTANCES", 1 << 40)
    assert excess(600) - excess(300) > 300 * 59_000
