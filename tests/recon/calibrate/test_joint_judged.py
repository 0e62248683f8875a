"""Whether an adjusted rig is any better, what cannot be known, and what is measured of the detector on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate.body import align_views, measure_noise, measured_sightings, place_landmarks
from simulacra.recon.calibrate.joint import adjust_rig, fit_rig, refuse_no_better, rig_problem
from simulacra.recon.calibrate.joint_report import changes, remarks
from simulacra.recon.multiview.bundle import adjust_bundle
from simulacra.recon.multiview.prior import Prior
from simulacra.recon.multiview.rig import CameraRig
from simulacra.render.runtime.errors import CalibrationError, CaptureError
from tests.recon.calibrate.planted_people import CAMERAS, planted_scene


def test_a_turned_camera_is_found_and_what_was_left_out_falls() -> None:
    scene = planted_scene(3, frames=24, turn_deg=0.0, place_m=0.0, boards=0)
    turned = scene.truth.viewmats.copy()
    turned[2, :3] = Rotation.from_rotvec([0.0, np.radians(2.0), 0.0]).as_matrix() @ turned[2, :3]
    given = CameraRig(scene.truth.intrinsics, turned)
    found = adjust_rig(rig_problem(given, CAMERAS, scene.body))
    refuse_no_better(found)
    turns, _ = changes(found)
    # The world is where all cameras agree best that it is: a quarter of the turn is theirs, the other way round.
    assert np.linalg.norm(turns, axis=-1).argmax() == 2
    assert turns[2, 1] == pytest.approx(-1.5, abs=0.4)
    assert found.frames is not None and found.parts is not None
    assert found.frames.better and found.parts.better and found.frames.gain > 0.2
    assert found.frames.after[2] < 0.5 * found.frames.before[2]
    assert any("as given" in text for text in remarks(found))


def test_a_sound_calibration_is_not_replaced() -> None:
    scene = planted_scene(1, frames=24, turn_deg=0.0, place_m=0.0, boards=0, bias_m=0.01)
    with pytest.raises(CalibrationError, match=r"no better|constant errors"):
        refuse_no_better(adjust_rig(rig_problem(scene.truth, CAMERAS, scene.body)))


def test_what_cannot_be_known_is_named() -> None:
    still = planted_scene(0, frames=30, boards=0, still=True)
    with pytest.raises(CaptureError, match="hardly moves"):
        fit_rig(rig_problem(still.given, CAMERAS, still.body))
    short = planted_scene(0, frames=12, boards=0)
    with pytest.raises(CaptureError, match="too few frames"):
        fit_rig(rig_problem(short.given, CAMERAS, short.body))
    pair = planted_scene(0, frames=30, cameras=2, boards=0)
    with pytest.raises(CaptureError, match="too few cameras"):
        fit_rig(rig_problem(pair.given, CAMERAS[:2], pair.body))
    scene = planted_scene(0, frames=30, boards=0)
    detections = scene.body.detections
    confidence = detections.confidence.copy()
    confidence[:, 1] = 0
    unseen = replace(scene.body, detections=replace(detections, confidence=confidence))
    with pytest.raises(CalibrationError, match="does not fix its rotation") as raised:
        fit_rig(rig_problem(scene.given, CAMERAS, unseen))
    assert "left" in str(raised.value)
    with pytest.raises(CaptureError, match="nothing was seen"):
        fit_rig(rig_problem(scene.given, CAMERAS, None))


def test_noise_is_measured_as_planted() -> None:
    white = planted_scene(0, frames=50, boards=0, bias_m=0.0, slow_m=0.0, white_m=0.01)
    fixed = planted_scene(0, frames=50, boards=0, bias_m=0.01, slow_m=0.0, white_m=0.001)
    found = []
    for scene in (white, fixed):
        body, rig = scene.body, scene.truth
        landmarks = place_landmarks(body, np.ones((50, 33), dtype=bool), rig, rig)
        sightings = replace(landmarks.sightings, sigma=np.full(len(landmarks.frame), 4.0))
        still = np.zeros((4, 9), dtype=bool)
        bundle = adjust_bundle(rig, landmarks.bodies, sightings, still, poses="held")
        found.append(measure_noise(replace(landmarks, bodies=bundle.bodies), bundle.residuals, rig, body))
        shared = measured_sightings(landmarks, found[-1], rig, body)
        assert shared.share is not None and shared.share.max() <= 1
    assert np.median(found[0].landmark_m) == pytest.approx(0.01, rel=0.25)
    assert found[0].repeat < 1.5 and found[1].repeat > 40


def test_shares_count_as_shares() -> None:
    """Sightings that are worth half say the same of the rig, half as surely."""
    scene = planted_scene(6, frames=6, boards=0)
    landmarks = place_landmarks(scene.body, np.ones((6, 33), dtype=bool), scene.given, scene.given)
    whole = replace(landmarks.sightings, sigma=np.full(len(landmarks.frame), 6.0))
    half = replace(whole, share=np.full(len(whole.sigma), 0.5))
    free, prior = np.zeros((4, 9), dtype=bool), Prior(scene.given, 10.0, 10.0, scaled=False)
    a, b = (
        adjust_bundle(scene.given, landmarks.bodies, each, free, prior=prior, tolerance=1e-8)
        for each in (whole, half)
    )
    turns, shifts = scene.errors(a.rig, False)
    again, shifted = scene.errors(b.rig, False)
    np.testing.assert_allclose(turns, again, atol=5e-3)
    np.testing.assert_allclose(shifts, shifted, atol=1e-3)
    assert b.spread == pytest.approx(a.spread, rel=0.02)
    # Not by the root of two throughout: gradients, by which errors are told too, know of no shares.
    ratio = b.uncertainty.rotations_deg / a.uncertainty.rotations_deg
    assert 1.1 < np.median(ratio) < 1.45


def test_what_is_believed_for_certain_stays() -> None:
    scene = planted_scene(6, frames=6, boards=0)
    landmarks = place_landmarks(scene.body, np.ones((6, 33), dtype=bool), scene.given, scene.given)
    seen = replace(landmarks.sightings, sigma=np.full(len(landmarks.frame), 6.0))
    certain = Prior(scene.given, 1e-6, 1e-6, scaled=False)
    found = adjust_bundle(scene.given, landmarks.bodies, seen, np.zeros((4, 9), dtype=bool), prior=certain)
    np.testing.assert_allclose(found.rig.viewmats, scene.given.viewmats, atol=1e-5)


def test_uneven_frames_have_no_clock() -> None:
    scene = planted_scene(0, frames=40, boards=0)
    numbers = np.cumsum(np.tile([1, 2], 20))
    views = align_views(numbers, scene.body.detections, scene.given)
    assert not views.lags.frames.any() and not np.isfinite(views.lags.standard_errors).any()
