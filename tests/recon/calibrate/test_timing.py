"""Planted lags are found with cameras that were turned, and planted turns with cameras that lag."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate.timing import lags_and_turns, person_tracks
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


def test_lags_and_turns_are_told_apart() -> None:
    turns = np.zeros((4, 3))
    turns[2] = [0.3, 1.2, 0.0]
    scene = _lagging(LAGS, turns, bias_px=2.0)
    found = lags_and_turns(scene.detections, scene.cameras)
    np.testing.assert_allclose(found.lags.frames, LAGS - LAGS.mean(), atol=0.4)
    # Turns are known up to what all cameras share: the one that was turned stands out against the rest.
    others = np.delete(found.turns_deg, 2, 0).mean(0)
    assert (found.turns_deg[2] - others)[1] > 0.6
    given, _, _, both = found.residual_px
    assert both < 0.7 * given


def test_a_lag_alone_is_no_turn() -> None:
    scene = _lagging(LAGS, bias_px=1.0)
    found = lags_and_turns(scene.detections, scene.cameras)
    np.testing.assert_allclose(found.lags.frames, LAGS - LAGS.mean(), atol=0.3)
    assert np.abs(found.turns_deg).max() < 0.25
    given, with_lags, with_turns, _ = found.residual_px
    assert with_lags < 0.7 * given and with_turns > 0.7 * given


def test_landmarks_of_evenly_spaced_frames_are_a_clock() -> None:
    scene = _lagging(LAGS)
    seen = _observed(scene, np.arange(0, 180, 2))
    both = np.array([2, 0])
    tracks, step = person_tracks(seen, ("c2", "c0"), scene.cameras.subset(both))
    assert step == 2
    np.testing.assert_allclose(tracks.pixels, scene.pixels[:, both], atol=1e-3)
    assert (tracks.confidence > 0.9).all()
    with pytest.raises(CaptureError, match="evenly"):
        person_tracks(
            _observed(scene, np.append(np.arange(89), 120)), ("c0", "c1"), scene.cameras.subset(both)
        )
    with pytest.raises(CaptureError, match="not observed"):
        person_tracks(seen, ("c0", "x"), scene.cameras.subset(both))


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
        lags_and_turns(scene.detections.of_frames(slice(10)), scene.cameras)
