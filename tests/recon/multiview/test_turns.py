"""Planted turns of cameras are found; detectors' biases are not mistaken for them."""

import numpy as np
import pytest

from simulacra.recon.multiview.triangulate import triangulate
from simulacra.recon.multiview.turns import AdjustConfig, adjust_cameras, turned
from tests.recon.planted_person import planted, project, walking

TURNS = np.array([[0.006, 0.0, 0.0], [0, 0, 0], [0, -0.01, 0.004], [0, 0, 0], [0.0, 0.005, 0]])


def _median_px(pixels: np.ndarray, confidence: np.ndarray, viewmats: np.ndarray, Ks: np.ndarray) -> float:
    return float(np.nanmedian(triangulate(pixels, confidence, viewmats, Ks).residual_px))


def test_turned_cameras_are_turned_back() -> None:
    scene = planted(cameras=5, frames=40, noise_px=2.0)
    wrong = turned(scene.viewmats, TURNS)
    found = adjust_cameras(scene.pixels, scene.confidence, wrong, scene.Ks)
    assert found.gain > 0.3
    before = _median_px(scene.pixels, scene.confidence, wrong, scene.Ks)
    after = _median_px(scene.pixels, scene.confidence, found.viewmats, scene.Ks)
    truth = _median_px(scene.pixels, scene.confidence, scene.viewmats, scene.Ks)
    assert before > 1.6 * truth
    assert after < 1.1 * truth


def test_the_person_stays_where_the_given_calibration_has_it() -> None:
    scene = planted(cameras=5, frames=40, noise_px=1.0)
    wrong = turned(scene.viewmats, TURNS)
    found = adjust_cameras(scene.pixels, scene.confidence, wrong, scene.Ks)
    old = triangulate(scene.pixels, scene.confidence, wrong, scene.Ks).points
    new = triangulate(scene.pixels, scene.confidence, found.viewmats, scene.Ks).points
    assert np.abs(np.nanmean(new - old, axis=(0, 1))).max() < 0.001
    rotations = found.viewmats[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.eye(3)[None].repeat(5, 0), atol=1e-12
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sound_calibration_is_left_alone_whatever_the_detector_s_biases(seed: int) -> None:
    """Every landmark of every camera 10 px aside, the same in all frames, as networks err."""
    scene = planted(cameras=5, frames=40, noise_px=2.0)
    bias = 10 * np.random.default_rng(seed).standard_normal((1, 5, 33, 2))
    found = adjust_cameras(scene.pixels + bias, scene.confidence, scene.viewmats, scene.Ks)
    np.testing.assert_array_equal(found.viewmats, scene.viewmats)
    assert not found.turns.any()


def test_short_captures_two_cameras_or_switched_off() -> None:
    scene = planted(cameras=5, frames=40)
    wrong = turned(scene.viewmats, TURNS)
    short = adjust_cameras(scene.pixels[:5], scene.confidence[:5], wrong, scene.Ks)
    pair = adjust_cameras(scene.pixels[:, :2], scene.confidence[:, :2], wrong[:2], scene.Ks[:2])
    off = adjust_cameras(scene.pixels, scene.confidence, wrong, scene.Ks, AdjustConfig(enabled=False))
    for result, given in ((short, wrong), (pair, wrong[:2]), (off, wrong)):
        np.testing.assert_array_equal(result.viewmats, given)


def test_a_turn_moves_the_picture_and_not_the_camera() -> None:
    scene = planted(cameras=5)
    wrong = turned(scene.viewmats, TURNS)
    centres = [np.linalg.inv(rig)[:, :3, 3] for rig in (scene.viewmats, wrong)]
    np.testing.assert_allclose(*centres, atol=1e-12)
    moved = project(walking(1), wrong, scene.Ks) - project(walking(1), scene.viewmats, scene.Ks)
    # about y by -0.01 rad at 1000 px: everything that camera 2 sees goes 10 px left
    assert np.median(moved[0, 2, :, 0]) == pytest.approx(-10.0, abs=1.5)
