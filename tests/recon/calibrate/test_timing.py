"""Planted lags are found with and without a calibration, and with cameras that were turned."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate.timing import lags_and_turns, lags_by_motion, person_tracks
from simulacra.recon.observe.observations import Observations
from simulacra.render.runtime.errors import CaptureError
from tests.recon.planted_person import Planted, planted, project, walking

LAGS = np.array([0.0, 0.0, 2.5, -1.0])


def _lagging(lags: np.ndarray, turns: np.ndarray | None = None, bias_px: float = 6.0) -> Planted:
    """A walking person of 90 frames, camera i seeing it lags[i] frames late, with noise and a bias a landmark."""
    scene = planted(cameras=len(lags), frames=90)
    generator = np.random.default_rng(5)
    viewmats = scene.viewmats.copy()
    if turns is not None:
        viewmats[:, :3] = Rotation.from_rotvec(np.radians(turns)).as_matrix() @ viewmats[:, :3]
    pixels = np.empty_like(scene.pixels)
    for camera, lag in enumerate(lags):
        fine = walking(16 * 110, speed=1 / 16)
        late = fine[np.clip(np.round(16 * (np.arange(90) + 8 - lag)).astype(int), 0, None)]
        pixels[:, [camera]] = project(late, viewmats[[camera]], scene.Ks[[camera]])
    pixels += bias_px * generator.standard_normal((1, *pixels.shape[1:]))
    pixels += 1.5 * generator.standard_normal(pixels.shape)
    return Planted(scene.points, scene.viewmats, scene.Ks, pixels, scene.confidence)


def test_lags_are_found_without_a_calibration() -> None:
    scene = _lagging(LAGS)
    found = lags_by_motion(scene.pixels, scene.confidence)
    apart = found.frames - (LAGS - LAGS.mean())
    assert np.abs(apart).max() < 0.6
    assert (np.abs(apart) < 5 * found.standard_errors + 0.1).all()


def test_cameras_in_step_stay_so_without_a_calibration() -> None:
    scene = _lagging(np.zeros(4))
    found = lags_by_motion(scene.pixels, scene.confidence)
    assert np.abs(found.frames).max() < 0.4 and found.standard_errors.max() < 1.0


def test_lags_and_turns_are_told_apart() -> None:
    turns = np.zeros((4, 3))
    turns[2] = [0.3, 1.2, 0.0]
    scene = _lagging(LAGS, turns, bias_px=2.0)
    found = lags_and_turns(scene.pixels, scene.confidence, scene.viewmats, scene.Ks)
    np.testing.assert_allclose(found.lags.frames, LAGS - LAGS.mean(), atol=0.4)
    # Turns are known up to what all cameras share: the one that was turned stands out against the rest.
    others = np.delete(found.turns_deg, 2, 0).mean(0)
    assert (found.turns_deg[2] - others)[1] > 0.6
    given, _, _, both = found.residual_px
    assert both < 0.7 * given


def test_a_lag_alone_is_no_turn() -> None:
    scene = _lagging(LAGS, bias_px=1.0)
    found = lags_and_turns(scene.pixels, scene.confidence, scene.viewmats, scene.Ks)
    np.testing.assert_allclose(found.lags.frames, LAGS - LAGS.mean(), atol=0.3)
    assert np.abs(found.turns_deg).max() < 0.25
    given, with_lags, with_turns, _ = found.residual_px
    assert with_lags < 0.7 * given and with_turns > 0.7 * given


def test_landmarks_of_evenly_spaced_frames_are_a_clock() -> None:
    scene = _lagging(LAGS)
    seen = _observed(scene, np.arange(0, 180, 2))
    pixels, confidence, step = person_tracks(seen, ("c2", "c0"), scene.viewmats[[2, 0]], scene.Ks[[2, 0]])
    assert step == 2
    np.testing.assert_allclose(pixels, scene.pixels[:, [2, 0]], atol=1e-3)
    assert (confidence > 0.9).all()
    with pytest.raises(CaptureError, match="evenly"):
        person_tracks(
            _observed(scene, np.append(np.arange(89), 120)), ("c0", "c1"), scene.viewmats[:2], scene.Ks[:2]
        )
    with pytest.raises(CaptureError, match="not observed"):
        person_tracks(seen, ("c0", "x"), scene.viewmats[:2], scene.Ks[:2])


def _observed(scene: Planted, frames: np.ndarray) -> Observations:
    count, cameras = scene.confidence.shape[:2]
    return Observations(
        frames,
        tuple(f"c{camera}" for camera in range(cameras)),
        scene.pixels.astype(np.float32),
        np.ones((count, cameras, 33), np.float32),
        np.zeros((count, cameras, 33), np.float32),
        np.ones((count, cameras), np.float32),
        np.full((count, cameras, 478, 2), np.nan, np.float32),
        np.zeros((count, cameras), np.float32),
        np.full((count, cameras, 2, 21, 2), np.nan, np.float32),
        np.zeros((count, cameras, 2), np.float32),
    )


def test_too_little_is_named() -> None:
    scene = _lagging(LAGS)
    with pytest.raises(CaptureError):
        lags_by_motion(scene.pixels[:20], scene.confidence[:20])
    with pytest.raises(CaptureError):
        lags_and_turns(scene.pixels[:10], scene.confidence[:10], scene.viewmats, scene.Ks)
    still = np.repeat(scene.pixels[:1], 90, 0)
    with pytest.raises(CaptureError, match="nothing moves"):
        lags_by_motion(np.where(np.arange(33)[:, None] < 1, still, np.nan), scene.confidence)
