"""Planted turns of cameras are found; detectors' biases are not mistaken for them."""

import numpy as np
import pytest

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import triangulate
from simulacra.recon.multiview.turns import AdjustConfig, adjust_cameras
from tests.recon.planted_person import planted, project, walking

TURNS = np.array([[0.006, 0.0, 0.0], [0, 0, 0], [0, -0.01, 0.004], [0, 0, 0], [0.0, 0.005, 0]])


def _median_px(seen: Detections, cameras: PinholeCameras) -> float:
    return float(np.nanmedian(triangulate(seen, cameras).residual_px))


def test_turned_cameras_are_turned_back() -> None:
    scene = planted(cameras=5, frames=40, noise_px=2.0)
    wrong = scene.cameras.turned(TURNS)
    found = adjust_cameras(scene.detections, wrong)
    assert found.gain > 0.3
    before = _median_px(scene.detections, wrong)
    after = _median_px(scene.detections, found.cameras)
    truth = _median_px(scene.detections, scene.cameras)
    assert before > 1.6 * truth
    assert after < 1.1 * truth


def test_the_person_stays_where_the_given_calibration_has_it() -> None:
    scene = planted(cameras=5, frames=40, noise_px=1.0)
    wrong = scene.cameras.turned(TURNS)
    found = adjust_cameras(scene.detections, wrong)
    old = triangulate(scene.detections, wrong).points
    new = triangulate(scene.detections, found.cameras).points
    assert np.abs(np.nanmean(new - old, axis=(0, 1))).max() < 0.001
    rotations = found.cameras.viewmats[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.eye(3)[None].repeat(5, 0), atol=1e-12
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sound_calibration_is_left_alone_whatever_the_detector_s_biases(seed: int) -> None:
    """Every landmark of every camera 10 px aside, the same in all frames, as networks err."""
    scene = planted(cameras=5, frames=40, noise_px=2.0)
    bias = 10 * np.random.default_rng(seed).standard_normal((1, 5, 33, 2))
    found = adjust_cameras(Detections(scene.pixels + bias, scene.confidence), scene.cameras)
    np.testing.assert_array_equal(found.cameras.viewmats, scene.viewmats)
    assert not found.turns.any()


def test_short_captures_two_cameras_or_switched_off() -> None:
    scene = planted(cameras=5, frames=40)
    wrong = scene.cameras.turned(TURNS)
    two = np.array([0, 1])
    short = adjust_cameras(scene.detections.of_frames(slice(5)), wrong)
    pair = adjust_cameras(scene.detections.of_cameras(two), wrong.subset(two))
    off = adjust_cameras(scene.detections, wrong, AdjustConfig(enabled=False))
    for result, given in ((short, wrong), (pair, wrong.subset(two)), (off, wrong)):
        np.testing.assert_array_equal(result.cameras.viewmats, given.viewmats)


def test_a_turn_moves_the_picture_and_not_the_camera() -> None:
    scene = planted(cameras=5)
    wrong = scene.cameras.turned(TURNS)
    centres = [np.linalg.inv(rig.viewmats)[:, :3, 3] for rig in (scene.cameras, wrong)]
    np.testing.assert_allclose(*centres, atol=1e-12)
    moved = project(walking(1), wrong.viewmats, scene.Ks) - project(walking(1), scene.viewmats, scene.Ks)
    # about y by -0.01 rad at 1000 px: everything that camera 2 sees goes 10 px left
    assert np.median(moved[0, 2, :, 0]) == pytest.approx(-10.0, abs=1.5)
