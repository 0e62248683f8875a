"""Planted lags are recovered; synchronised cameras are left alone."""

import numpy as np
import pytest

from simulacra.recon.multiview import clocks
from simulacra.recon.multiview.clocks import SynchroniseConfig, estimate_lags, shift_tracks
from simulacra.recon.multiview.detections import Detections
from tests.recon.planted_person import Planted, planted, project, walking


def _lagging(lags: list[float], noise_px: float = 2.0, bias_px: float = 0.0) -> Planted:
    """The walking person of 90 frames, camera i seeing it lags[i] frames late, with noise and a bias per
    keypoint.
    """
    scene = planted(cameras=len(lags), frames=90)
    generator = np.random.default_rng(5)
    pixels = np.empty_like(scene.pixels)
    for camera, lag in enumerate(lags):
        # 16 times finer than the frames, so that fractions of a frame are exact
        fine = walking(16 * 110, speed=1 / 16)
        late = fine[np.clip(np.round(16 * (np.arange(90) + 8 - lag)).astype(int), 0, None)]
        pixels[:, [camera]] = project(late, scene.viewmats[[camera]], scene.Ks[[camera]])
    pixels += bias_px * generator.standard_normal((1, *pixels.shape[1:]))
    pixels += noise_px * generator.standard_normal(pixels.shape)
    return Planted(scene.points, scene.viewmats, scene.Ks, pixels, scene.confidence)


@pytest.mark.parametrize("lags", [[0, 0, 2, 0], [0, -3.5, 0, 0], [0, 1.0, 0, 0, -2.0]])
def test_lags_are_recovered(lags: list[float]) -> None:
    scene = _lagging(lags, bias_px=8.0)
    found = estimate_lags(scene.detections, scene.cameras)
    np.testing.assert_allclose(found.frames, lags, atol=0.25)


@pytest.mark.parametrize("noise", [0.5, 6.0])
def test_synchronised_cameras_have_no_lag(noise: float) -> None:
    scene = _lagging([0.0] * 4, noise_px=noise, bias_px=10.0)
    found = estimate_lags(scene.detections, scene.cameras)
    np.testing.assert_array_equal(found.frames, 0.0)


def test_a_person_who_stands_still_says_nothing() -> None:
    scene = planted(cameras=4, frames=60)
    still = np.repeat(scene.pixels[:1], 60, 0) + np.random.default_rng(1).standard_normal(scene.pixels.shape)
    found = estimate_lags(Detections(still, scene.confidence), scene.cameras)
    np.testing.assert_array_equal(found.frames, 0.0)


def test_two_cameras_are_measured_against_the_first() -> None:
    scene = _lagging([0.0, 2.0], noise_px=0.5)
    found = estimate_lags(scene.detections, scene.cameras)
    assert found.frames[1] - found.frames[0] == pytest.approx(2.0, abs=0.4)


def test_few_frames_or_switched_off_mean_no_offsets() -> None:
    scene = _lagging([0, 0, 2, 0])
    off = SynchroniseConfig(enabled=False)
    short = scene.detections.of_frames(slice(10))
    np.testing.assert_array_equal(estimate_lags(short, scene.cameras).frames, 0.0)
    np.testing.assert_array_equal(estimate_lags(scene.detections, scene.cameras, off).frames, 0.0)


def test_shifting_samples_later_and_marks_the_ends() -> None:
    pixels = np.arange(5.0)[:, None, None, None] * np.ones((5, 2, 1, 2))
    shifted = shift_tracks(Detections(pixels, np.ones((5, 2, 1))), np.array([0.0, 1.5]))
    moved, confidence = shifted.pixels, shifted.confidence
    np.testing.assert_array_equal(moved[:, 0], pixels[:, 0])
    np.testing.assert_allclose(moved[:3, 1, 0, 0], [1.5, 2.5, 3.5])
    assert np.isnan(moved[3:, 1]).all() and (confidence[3:, 1] == 0).all()


def test_a_part_of_a_capture_is_sampled_to_the_bit_as_the_whole_is() -> None:
    pixels = np.random.default_rng(0).normal(size=(400, 2, 3, 2))
    whole, lags = Detections(pixels, np.ones((400, 2, 3))), np.array([0.0, -2.3])
    moved = shift_tracks(whole, lags).of_frames(slice(303, 390))
    part = shift_tracks(whole.of_frames(slice(300, 393)), lags, 300).of_frames(slice(3, 90))
    np.testing.assert_array_equal(part.pixels, moved.pixels)
    np.testing.assert_array_equal(part.confidence, moved.confidence)


def test_of_a_long_capture_the_stretch_that_moves_most_is_looked_at() -> None:
    """Not the one with a jump of one landmark; gaps count as still."""
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(50, 2, 5, 2)).repeat(10, 0)  # still, but for a step every ten frames
    pixels[200:300] += np.cumsum(rng.normal(size=(100, 1, 5, 2)), 0)
    pixels[50:100:2, 0, 0] += 1e4
    pixels[400:420] = np.nan
    found = clocks._liveliest(Detections(pixels, np.ones((500, 2, 5))), 100)
    assert found.stop - found.start == 100 and abs(found.start - 200) <= 1
    assert clocks._liveliest(Detections(pixels, np.ones((500, 2, 5))), 500) == slice(0, 500)


def test_lags_of_a_long_capture_are_those_of_its_liveliest_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = _lagging([0, 0, 2, 0])
    monkeypatch.setattr(clocks, "_MOST_FRAMES", len(scene.detections.pixels) - 20)
    assert estimate_lags(scene.detections, scene.cameras).frames[2] == pytest.approx(2.0, abs=0.3)


def test_an_offset_beyond_the_search_is_not_its_end() -> None:
    scene = _lagging([0.0, 0.0, 7.0, 0.0])
    found = estimate_lags(scene.detections, scene.cameras, SynchroniseConfig(largest=4.0))
    assert found.beyond == (2,) and found.frames[2] == 0.0 and np.isinf(found.standard_errors[2])
    assert estimate_lags(scene.detections, scene.cameras).beyond == ()
