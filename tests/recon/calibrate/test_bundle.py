"""The bundle adjustment finds what was planted, and its standard errors are as large as the errors are."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate.lens import free_intrinsics, sightings_of
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.multiview.bundle import adjust_bundle
from simulacra.recon.multiview.prior import Prior
from simulacra.recon.multiview.rig import CameraRig, Sightings, body_pose, project_bodies, project_points
from simulacra.render.runtime.errors import CalibrationError
from tests.recon.calibrate.planted_rig import BOARD, PlantedRig, planted_rig, rig_difference


def _problem(planted: PlantedRig, sigma: float) -> tuple[Sightings, np.ndarray]:
    moments = sorted({view.moment for view in planted.found.views}, key=int)
    bodies = np.array([moments.index(view.moment) for view in planted.found.views])
    sightings = sightings_of(planted.found.views, BOARD, bodies, np.full(len(planted.rig.viewmats), sigma))
    return sightings, np.stack([_true_pose(planted, moment) for moment in moments])


def _true_pose(planted: PlantedRig, moment: str) -> np.ndarray:
    view = next(view for view in planted.found.views if view.moment == moment)
    local = body_pose(
        BOARD.corners[view.corners.numbers], view.corners.pixels, planted.rig.intrinsics[view.camera]
    )
    assert local is not None
    return np.linalg.inv(planted.rig.viewmats[view.camera]) @ local


def _off(rig: CameraRig) -> CameraRig:
    generator = np.random.default_rng(3)
    viewmats = rig.viewmats.copy()
    turns = Rotation.from_rotvec(0.02 * generator.standard_normal((len(viewmats) - 1, 3))).as_matrix()
    viewmats[1:, :3, :3] = turns @ viewmats[1:, :3, :3]
    viewmats[1:, :3, 3] += 0.03 * generator.standard_normal((len(viewmats) - 1, 3))
    intrinsics = rig.intrinsics * np.array([1.04, 1.05, 1.01, 0.98, 0, 0, 0, 0, 0])
    return CameraRig(intrinsics, viewmats)


def test_a_perfect_rig_is_found_exactly() -> None:
    planted = planted_rig(noise=0.0)
    # Corners sure to a ten thousandth of a pixel: beside them nothing counts of what lenses are believed to be like.
    sightings, bodies = _problem(planted, 1e-4)
    free = np.tile(free_intrinsics(2), (3, 1))
    found = adjust_bundle(_off(planted.rig), bodies, sightings, free, robust=False)
    np.testing.assert_allclose(found.rig.intrinsics[:, :4], planted.rig.intrinsics[:, :4], atol=1e-3)
    np.testing.assert_allclose(found.rig.intrinsics[:, 4:], planted.rig.intrinsics[:, 4:], atol=1e-5)
    apart, turned = rig_difference(found.rig.viewmats, planted.rig.viewmats)
    assert apart.max() < 1e-6 and turned.max() < 1e-4


def test_cameras_that_can_only_turn_turn_back_and_keep_their_places() -> None:
    planted = planted_rig(noise=0.0)
    sightings, bodies = _problem(planted, 0.1)
    turns = Rotation.from_rotvec(0.02 * np.random.default_rng(3).standard_normal((3, 3))).as_matrix()
    viewmats = planted.rig.viewmats.copy()
    viewmats[:, :3] = turns @ viewmats[:, :3]
    off, held = CameraRig(planted.rig.intrinsics, viewmats), np.zeros((3, 9), dtype=bool)
    # A radian is believed, and a tenth of a pixel seen: the prior moves nothing by a thousandth of a degree.
    found = adjust_bundle(off, bodies, sightings, held, prior=Prior(off, 1.0, 1.0), poses="turns")
    np.testing.assert_allclose(found.rig.centres, planted.rig.centres, atol=1e-12)
    np.testing.assert_allclose(found.rig.viewmats, planted.rig.viewmats, atol=2e-5)
    # The control: cameras that are held see every corner pixels away.
    still = adjust_bundle(off, bodies, sightings, held, poses="held")
    assert np.abs(still.residuals).mean() > 1.0 > 100 * np.abs(found.residuals).mean()


def test_standard_errors_are_those_of_many_draws() -> None:
    scores = []
    for seed in range(8):
        planted = planted_rig(moments=25, noise=0.3, seed=seed)
        sightings, bodies = _problem(planted, 0.3)
        free = np.tile(free_intrinsics(2), (3, 1))
        found = adjust_bundle(planted.rig, bodies, sightings, free)
        assert found.spread == pytest.approx(1.0, abs=0.12)
        error = (found.rig.intrinsics - planted.rig.intrinsics)[:, :6]
        scores.append((error / found.uncertainty.intrinsics[:, :6]).ravel())
        moved = found.rig.viewmats @ np.linalg.inv(laid_over(found.rig.viewmats, planted.rig.viewmats))
        apart = CameraRig(found.rig.intrinsics, moved).centres - planted.rig.centres
        scores.append((apart / found.uncertainty.centres_m).ravel())
    z = np.concatenate(scores)
    # Of 8 draws x 27 numbers, correlated within a draw: rms 1, told conservatively (the larger of two errors).
    assert 0.55 < np.sqrt((z**2).mean()) < 1.25
    assert np.abs(z).max() < 4.5


def test_jacobians_are_those_of_differences() -> None:
    generator = np.random.default_rng(1)
    local = np.array([0.1, -0.2, 1.5]) + 0.3 * generator.standard_normal((5, 3))
    intrinsics = np.array([900.0, 910, 640, 360, -0.2, 0.1, 0.01, -0.02, 0.03])
    _, by_point, by_intrinsics = project_points(local, intrinsics)
    step = 1e-6
    for axis in range(3):
        moved = local + step * np.eye(3)[axis]
        back = local - step * np.eye(3)[axis]
        slope = (project_points(moved, intrinsics)[0] - project_points(back, intrinsics)[0]) / (2 * step)
        np.testing.assert_allclose(by_point[:, :, axis], slope, rtol=1e-6, atol=1e-5)
    for unknown in range(9):
        change = step * max(1.0, abs(intrinsics[unknown])) * np.eye(9)[unknown]
        slope = (
            project_points(local, intrinsics + change)[0] - project_points(local, intrinsics - change)[0]
        ) / (2 * change[unknown])
        np.testing.assert_allclose(by_intrinsics[:, :, unknown], slope, rtol=1e-5, atol=1e-5)


def test_the_lens_is_opencvs() -> None:
    generator = np.random.default_rng(2)
    local = np.array([0, 0, 2.0]) + 0.5 * generator.standard_normal((20, 3))
    intrinsics = np.array([900.0, 910, 640, 360, -0.2, 0.1, 0.01, -0.02, 0.03])
    K = np.array([[900.0, 0, 640], [0, 910, 360], [0, 0, 1]])
    expected = cv2.projectPoints(local, np.zeros(3), np.zeros(3), K, intrinsics[4:])[0][:, 0]
    np.testing.assert_allclose(project_points(local, intrinsics)[0], expected, atol=1e-9)


def test_outliers_do_not_move_the_rig() -> None:
    planted = planted_rig(noise=0.1)
    sightings, bodies = _problem(planted, 0.1)
    pixels = sightings.pixels.copy()
    wrong = np.random.default_rng(4).random(len(pixels)) < 0.03
    pixels[wrong] += 40.0
    free = np.tile(free_intrinsics(2), (3, 1))
    spoilt = replace(sightings, pixels=pixels)
    robust = adjust_bundle(planted.rig, bodies, spoilt, free)
    plain = adjust_bundle(planted.rig, bodies, spoilt, free, robust=False)
    assert rig_difference(robust.rig.viewmats, planted.rig.viewmats)[0].max() < 0.004
    assert robust.weights[wrong].max() < 0.01
    # The control: without robustness the same corners spoil it.
    assert rig_difference(plain.rig.viewmats, planted.rig.viewmats)[0].max() > 0.01


def test_single_points_are_bodies_too() -> None:
    planted = planted_rig(noise=0.1)
    sightings, bodies = _problem(planted, 0.1)
    generator = np.random.default_rng(5)
    points = np.array([0, 0, 0.2]) + 0.3 * generator.standard_normal((40, 3))
    poses = np.tile(np.eye(4), (40, 1, 1))
    poses[:, :3, 3] = points
    camera, body = (each.ravel() for each in np.meshgrid(np.arange(3), np.arange(40), indexing="ij"))
    zero = np.zeros((120, 3))
    lone = Sightings(camera, body, zero, np.zeros((120, 2)), np.full(120, 0.5), np.zeros((120, 2)))
    seen = project_bodies(planted.rig, poses, lone).pixels + 0.5 * generator.standard_normal((120, 2))
    both = Sightings(
        np.append(sightings.camera, camera),
        np.append(sightings.body, body + len(bodies)),
        np.concatenate([sightings.places, zero]),
        np.concatenate([sightings.pixels, seen]),
        np.append(sightings.sigma, np.full(120, 0.5)),
        np.zeros((len(sightings.pixels) + 120, 2)),
    )
    poses[:, :3, 3] += 0.02
    free = np.tile(free_intrinsics(2), (3, 1))
    found = adjust_bundle(planted.rig, np.concatenate([bodies, poses]), both, free)
    assert np.median(np.linalg.norm(found.bodies[len(bodies) :, :3, 3] - points, axis=-1)) < 0.01
    assert rig_difference(found.rig.viewmats, planted.rig.viewmats)[0].max() < 0.003


def test_boards_parallel_to_the_image_fix_no_focal_length() -> None:
    intrinsics = np.array([900.0, 900, 640, 360, 0, 0, 0, 0, 0])
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[:, :3, 3] = [[-0.2, -0.2, 1.0 + 0.1 * i] for i in range(6)]
    count = len(BOARD.corners)
    sightings = Sightings(
        np.zeros(6 * count, dtype=np.int64),
        np.repeat(np.arange(6), count),
        np.tile(BOARD.corners, (6, 1)),
        np.zeros((6 * count, 2)),
        np.full(6 * count, 0.1),
        np.zeros((6 * count, 2)),
    )
    rig = CameraRig(intrinsics[None], np.eye(4)[None])
    seen = replace(sightings, pixels=project_bodies(rig, poses, sightings).pixels)
    with pytest.raises(CalibrationError, match="do not fix"):
        adjust_bundle(rig, poses, seen, free_intrinsics(0)[None], poses="held")
