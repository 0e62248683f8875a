"""What is wrong with a capture is said; of a sound one nothing is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.fit import FitConfig, fit_body, load_fit, save_fit
from simulacra.recon.fit.turned import robust_turn
from simulacra.render.body import BodyModel
from tests.recon.planted_body import PlantedBody, plant
from tests.recon.planted_rigs import (
    PlantedRig,
    doubts_of,
    random_rig,
    with_camera_turned,
    with_landmarks_missing,
    with_sides_exchanged,
)


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> PlantedBody:
    return plant(body, frames=3)


@pytest.fixture(scope="module")
def rig(scene: PlantedBody) -> PlantedRig:
    return random_rig(scene, 0, cameras=4)


def _kinds(rig: PlantedRig, frames: int | None = None) -> list[tuple[str, str | None]]:
    return [(doubt.kind, doubt.camera) for doubt in doubts_of(rig, frames)]


def test_sound_captures_raise_no_doubt(scene: PlantedBody) -> None:
    for seed in range(6):
        assert _kinds(random_rig(scene, seed, cameras=3 + seed % 2)) == []


def test_landmarks_that_are_missing_are_counted(rig: PlantedRig) -> None:
    """The tenth that bodies hide of themselves is not remarkable, three tenths are."""
    assert _kinds(with_landmarks_missing(rig, 0.1)) == []
    (doubt,) = doubts_of(with_landmarks_missing(rig, 0.3))
    assert doubt.kind == "missing-landmarks"
    # Standard deviation of a share of 396 landmarks: 2.3 %.
    assert doubt.numbers["missing_share"] == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize("column", [0, 3])
def test_the_camera_that_looks_elsewhere_is_named_with_its_angle(rig: PlantedRig, column: int) -> None:
    (doubt,) = doubts_of(with_camera_turned(rig, column, 3.0))
    assert (doubt.kind, doubt.camera) == ("camera-turned", f"c{column}")
    assert doubt.numbers["turn_deg"] == pytest.approx(3.0, abs=0.3)
    assert f"Camera c{column}" in doubt.text and "Calibrate again" in doubt.text


def test_a_turn_smaller_than_landmarks_err_is_not_believed(rig: PlantedRig) -> None:
    assert _kinds(with_camera_turned(rig, 1, 0.2)) == []


def test_one_view_with_left_and_right_exchanged_is_named(rig: PlantedRig) -> None:
    (doubt,) = doubts_of(with_sides_exchanged(rig, 2))
    assert (doubt.kind, doubt.camera) == ("sides-exchanged", "c2")
    assert doubt.numbers["frames_share"] == 1


def test_two_cameras_and_two_frames_are_said(scene: PlantedBody, rig: PlantedRig) -> None:
    assert _kinds(random_rig(scene, 0, cameras=2)) == [("few-cameras", None)]
    (doubt,) = doubts_of(rig, frames=2)
    assert doubt.kind == "few-frames" and doubt.text.startswith("Only 2 frames show the person")


def test_doubts_do_not_depend_on_pixels_a_radian(rig: PlantedRig) -> None:
    """Twice the focal length and pictures twice as large: the same rays, the same angle."""
    turned = with_camera_turned(rig, 1, 3.0)
    (before,) = doubts_of(turned)
    seen, session = turned.scene.observations, turned.scene.session
    scale = np.diag([2.0, 2.0, 1.0])
    cameras = tuple(replace(each, width=4000, height=4000, K=scale @ each.K) for each in session.cameras)
    scene = replace(
        turned.scene,
        session=replace(session, cameras=cameras),
        observations=replace(seen, pose_px=2 * seen.pose_px),
    )
    (after,) = doubts_of(replace(turned, scene=scene))
    assert after.camera == before.camera
    assert after.numbers["turn_deg"] == pytest.approx(before.numbers["turn_deg"], rel=1e-3)


def test_a_planted_turn_is_found_among_outliers() -> None:
    """Directions of noise 2 mrad, a fifth of them anywhere: 200 others leave 0.14 mrad along an axis, roll a little
    more for directions within 20 degrees of the axis.
    """
    generator = np.random.default_rng(1)
    there = np.concatenate([0.3 * generator.standard_normal((250, 2)), np.ones((250, 1))], -1)
    there /= np.linalg.norm(there, axis=-1, keepdims=True)
    turn = np.array([0.03, -0.05, 0.02])
    detected = Rotation.from_rotvec(turn).apply(there) + 0.002 * generator.standard_normal((250, 3))
    detected[:50] += 0.3 * generator.standard_normal((50, 3))
    detected /= np.linalg.norm(detected, axis=-1, keepdims=True)
    found, spread = robust_turn(there, detected)
    np.testing.assert_allclose(found, turn, atol=0.002)
    assert 0.0015 < spread < 0.004


def test_a_fit_keeps_what_it_doubts(body: BodyModel, rig: PlantedRig, tmp_path: Path) -> None:
    scene = with_camera_turned(rig, 1, 3.0).scene
    config = FitConfig(iterations=2, rounds=0, refine_rounds=0, masks=False, depth=False)
    fit = fit_body(scene.session, scene.observations, config, rig.names, [0, 1], body=body)
    assert [(doubt.kind, doubt.camera) for doubt in fit.doubts] == [
        ("few-frames", None),
        ("camera-turned", "c1"),
    ]
    save_fit(fit, tmp_path)
    again = load_fit(tmp_path).doubts
    assert [doubt.as_json() for doubt in again] == [doubt.as_json() for doubt in fit.doubts]
